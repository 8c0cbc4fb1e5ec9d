"""`safeload policy ...`: the verbs for those who write, test and review policies. Each is imported when it is used."""

from __future__ import annotations

import click

POLICY_VERBS: dict[str, str] = {
    "list": "The shipped policies, a line each.",
    "show": "One policy: what it permits, keeps and denies, and why.",
    "validate": "Check policy files; every problem at once.",
    "test": "Run the tests of policies: programs to accept, near misses to refuse.",
    "explain": "Which entry decides about a name, and what would change it.",
    "diff": "What a second policy permits that the first does not, and the reverse.",
    "learn": "Draft a policy from files that you trust.",
    "unused": "Entries of a policy that none of some files needs.",
    "expiring": "What of some policies ends soon.",
    "lock": "The parents of a policy, with the digests that pin them.",
    "schema": "The JSON Schema of policy files, for editors.",
}


class PolicyVerbs(click.Group):
    """The verbs of `POLICY_VERBS`, each imported on first use; written out, as in `safeload.cli`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(POLICY_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, None for a verb that does not exist."""
        if cmd_name in ("list", "show"):
            from safeload.cli.policy import show

            return show.list_ if cmd_name == "list" else show.show
        if cmd_name == "validate":
            from safeload.cli.policy.validate import validate

            return validate
        if cmd_name == "test":
            from safeload.cli.policy.test import test

            return test
        if cmd_name == "explain":
            from safeload.cli.policy.explain import explain

            return explain
        if cmd_name == "diff":
            from safeload.cli.policy.diff import diff

            return diff
        if cmd_name == "learn":
            from safeload.cli.policy.learn import learn

            return learn
        if cmd_name == "unused":
            from safeload.cli.policy.unused import unused

            return unused
        if cmd_name == "expiring":
            from safeload.cli.policy.expiring import expiring

            return expiring
        if cmd_name == "lock":
            from safeload.cli.policy.lock import lock

            return lock
        if cmd_name == "schema":
            from safeload.cli.policy.schema import schema

            return schema
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, without importing any verb."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(POLICY_VERBS.items()))


@click.group(cls=PolicyVerbs)
def policy() -> None:
    """Write, test, review and compare policies.

    POLICY is the name of a shipped policy, or the path of a TOML file. Exit codes:
    0 as it should be, 1 something to mend, 2 wrong usage or an unreadable file.
    """
