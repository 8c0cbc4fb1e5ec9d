"""The verbs: a `click` group, each verb one module that is imported when it is used, so `safeload --help` loads neither numpy nor rich nor fickling.

Refuses wrong usage, with exit 2.
"""

from __future__ import annotations

import click

from safeload import __version__
from safeload.cli.common import EXIT_NO_VERDICT, complain

VERBS: dict[str, str] = {
    "scan": "Judge files: is a policy content with everything in them?",
    "tensors": "List the tensors of a file: names, dtypes, shapes, bytes, storages.",
    "tree": "Show the structure of the value in a file.",
    "dis": "List the opcodes of a file's pickle, in words.",
    "explain": "Say of each name in a file which policy entry decides, and why.",
    "diff": "Compare two checkpoints: names, capabilities, tensors, values.",
    "convert": "Write the tensors of a file as .safetensors or .npz.",
    "lock": "Record files and their verdicts; scan --locked compares with that.",
    "policy": "Write, test, review and compare policies.",
    "rules": "List what can be found in a file, and what each rule means.",
    "doctor": "Say what a scan here would run on: versions, extras, policy.",
}


class Verbs(click.Group):
    """The verbs of `VERBS`, each imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, None for a verb that does not exist. Written out: a computed import is what this project exists to avoid."""
        if cmd_name == "scan":
            from safeload.cli.scan import scan

            return scan
        if cmd_name == "tensors":
            from safeload.cli.tensors import tensors

            return tensors
        if cmd_name == "tree":
            from safeload.cli.tree import tree

            return tree
        if cmd_name == "dis":
            from safeload.cli.dis import dis

            return dis
        if cmd_name == "explain":
            from safeload.cli.explain import explain

            return explain
        if cmd_name == "diff":
            from safeload.cli.diff import diff

            return diff
        if cmd_name == "convert":
            from safeload.cli.convert import convert

            return convert
        if cmd_name == "policy":
            from safeload.cli.policy import policy

            return policy
        if cmd_name == "lock":
            from safeload.cli.lock import lock

            return lock
        if cmd_name == "rules":
            from safeload.cli.rules import rules

            return rules
        if cmd_name == "doctor":
            from safeload.cli.doctor import doctor

            return doctor
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, without importing any verb."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="safeload", message="%(prog)s %(version)s")
def cli() -> None:
    """Open any PyTorch checkpoint; run none of it.

    Exit codes: 0 accepted, 1 rejected, 2 no verdict or wrong usage, 3 nothing to check.
    """


def run(arguments: list[str] | None) -> int:
    """The exit code of one command line."""
    try:
        code = cli.main(args=arguments, prog_name="safeload", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return EXIT_NO_VERDICT
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        complain("interrupted")
        return EXIT_NO_VERDICT
    return code if isinstance(code, int) else 0
