"""The command line: words become a call of one verb, and what comes of it an exit code.

One module for each verb, imported when the verb is used, so `safeload --help` and `scan` load neither numpy nor rich nor fickling. Exit codes, the same for
every verb and format: 0 accepted, 1 rejected, 2 no verdict or wrong usage, 3 nothing to check. This is the outermost edge: nothing leaves it as a traceback.
"""

from __future__ import annotations

import os
import sys

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
    "lock": "Record files and their verdicts; scan --locked compares with that.",
    "policy": "Write, test, review and compare policies.",
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
        if cmd_name == "policy":
            from safeload.cli.policy import policy

            return policy
        if cmd_name == "lock":
            from safeload.cli.lock import lock

            return lock
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


def main(arguments: list[str] | None = None) -> None:
    """The entry point `safeload`. Always ends in `SystemExit`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks must not end the report
    code = _run(arguments)
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    word = _both(sys.argv[1:] if arguments is None else arguments)
    if word is not None:
        complain(f"{word!r} is an option here, and there is a file of that name: write ./{word} for the file, or rename it")
        return EXIT_NO_VERDICT
    try:
        code = cli.main(args=arguments, prog_name="safeload", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return EXIT_NO_VERDICT
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return EXIT_NO_VERDICT
    except (BrokenPipeError, SystemExit):
        # click turns EPIPE into SystemExit(1), and 1 means rejected here.
        _close_stdout()
        return EXIT_NO_VERDICT
    except Exception as error:
        complain(f"internal error, please report it: {type(error).__name__}: {error} ({_last_frame(error)})")
        return EXIT_NO_VERDICT


def _both(words: list[str]) -> str | None:
    """A word that is read as an option and that is the name of a file: `scan *` in a folder with a file named --policy=x.toml would be judged by that file."""
    options = words[: words.index("--")] if "--" in words else words
    return next((word for word in options if len(word) > 1 and word.startswith("-") and os.path.lexists(word)), None)


def _close_stdout() -> None:
    """The reader has gone: what is still buffered goes nowhere, and the interpreter's own flush at exit must not complain."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def _last_frame(error: Exception) -> str:
    """Where it happened: `judge.py:123`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace is not None else "?"
