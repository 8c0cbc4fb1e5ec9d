"""What all verbs share: exit codes, complaints on stderr, the policy and where it comes from, the width and the paint of a terminal.

The one place that reads the environment (`SAFELOAD_POLICY`; `NO_COLOR`; the terminal's width). `click` is imported by what needs it: a plain scan does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar

from safeload.errors import CheckpointError, PolicyFileError, PolicyRejected
from safeload.escape import escape
from safeload.findings import Report, Verdict

if TYPE_CHECKING:
    from safeload.cli.config import Chosen  # reads policies: --help and --version do without
    from safeload.policy.model import Policy

ENVIRONMENT = "SAFELOAD_POLICY"

EXIT_ACCEPTED = 0
EXIT_REJECTED = 1
EXIT_NO_VERDICT = 2  # also wrong usage, as click has it
EXIT_NOTHING = 3
WORST_FIRST = (EXIT_REJECTED, EXIT_NO_VERDICT, EXIT_NOTHING, EXIT_ACCEPTED)
EXIT_OF: dict[Verdict, int] = {"accepted": EXIT_ACCEPTED, "rejected": EXIT_REJECTED, "inconclusive": EXIT_NO_VERDICT}
MAX_COMPLAINT = 2_000  # characters of one line on stderr
SHORT_REASONS = 5  # reasons that a verb other than scan prints for a rejected file
RED, GREEN, YELLOW, BLUE, BOLD, RESET = (f"\x1b[{code}m" for code in (31, 32, 33, 34, 1, 0))  # ECMA-48, SGR
COLOURS = {"error": RED, "rejected": RED, "warning": YELLOW, "inconclusive": YELLOW, "accepted": GREEN, "place": BLUE, "arrow": RED}

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Ended(Exception):
    """The run is over, and everything has been said: leave with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def complain(message: str) -> None:
    """One line on stderr, escaped."""
    print(f"safeload: {escape(message, MAX_COMPLAINT)}", file=sys.stderr, flush=True)


def policy_option(command: _Command) -> _Command:
    """`--policy / -p`, `SAFELOAD_POLICY`."""
    import click

    return click.option(
        "--policy",
        "-p",
        metavar="NAME|FILE",
        envvar=ENVIRONMENT,
        show_default="the project's, else checkpoint",
        show_envvar=True,
        help="A shipped policy, or a TOML file.",
    )(command)


def encoding_option(command: _Command) -> _Command:
    """`--encoding`."""
    import click

    text = "Of 8-bit strings that Python 2 wrote; 'bytes' leaves them bytes."
    return click.option("--encoding", metavar="CODEC", default="utf-8", show_default=True, help=text)(command)


def project_policy(name: str | None, paths: Iterable[str]) -> Chosen:
    """The policy to judge `paths` by, for a verb: `name` is what click found on its command line or in the environment."""
    import click
    from click.core import ParameterSource

    context = click.get_current_context(silent=True)
    return chosen_policy(name, paths, from_environment=context is not None and context.get_parameter_source("policy") is ParameterSource.ENVIRONMENT)


def chosen_policy(name: str | None, paths: Iterable[str], *, from_environment: bool) -> Chosen:
    """The policy to judge `paths` by: the one that is named, the project's (`cli.config`), or the default.

    What is wrong with it becomes a complaint and exit 2.
    """
    from safeload.cli.config import choose

    with _policy_complaints(name):
        return choose(name, paths, from_environment=from_environment)


def environment_policy() -> str | None:
    """What `SAFELOAD_POLICY` says, as click reads it: set to nothing is not set."""
    return os.environ.get(ENVIRONMENT) or None


def resolve_policy(name: str) -> Policy:
    """The policy of this name; what is wrong with it becomes a complaint and exit 2."""
    from safeload.policy.named import load_policy

    with _policy_complaints(name):
        return load_policy(name)


@contextmanager
def _policy_complaints(name: str | None) -> Iterator[None]:
    try:
        yield
    except PolicyFileError as error:
        for line in str(error).splitlines():
            complain(line)
        raise Ended(EXIT_NO_VERDICT) from None
    except OSError as error:
        complain(f"policy {name or error.filename or 'of the project'}: {error.strerror or error}")
        raise Ended(EXIT_NO_VERDICT) from None


def check_encoding(encoding: str) -> None:
    """Exit 2 for a codec that does not exist."""
    import codecs

    try:
        if encoding != "bytes":
            codecs.lookup(encoding)
    except (LookupError, ValueError):
        complain(f"--encoding {encoding}: there is no such codec")
        raise Ended(EXIT_NO_VERDICT) from None


def stdin_or_path(path: str) -> Any:
    """What to open for a path of the command line: `-` is standard input."""
    return sys.stdin.buffer if path == "-" else path


def refuse(error: CheckpointError | OSError, path: str) -> int:
    """Say in a few lines why a file gives nothing to show; returns the exit code."""
    if isinstance(error, PolicyRejected):
        report = error.report
        if not report.errors:  # accepted, under a policy that loads nothing
            complain(f"{path}: {error.message}")
            return EXIT_REJECTED
        complain(f"{path} is rejected by policy {report.policy}:")
        for finding in report.errors[:SHORT_REASONS]:
            print(f"  {finding.rule} {escape(finding.message)}", file=sys.stderr, flush=True)
        more = len(report.errors) - SHORT_REASONS + report.suppressed_findings
        if more > 0:
            print(f"  and {more:,} more", file=sys.stderr, flush=True)
        print("  `safeload scan` shows them all, with what could be done", file=sys.stderr, flush=True)
        return EXIT_REJECTED
    complain(f"{path}: {error.strerror or error}" if isinstance(error, OSError) else f"{path}: {_reason(error)}")
    return EXIT_NO_VERDICT


def _reason(error: CheckpointError) -> str:
    place = " : ".join(part for part in (error.member, f"{error.offset:#x}" if error.offset is not None else None) if part)
    return f"{error.message} [{error.rule}]{f' at {place}' if place else ''}"


def worst(codes: Collection[int]) -> int:
    """The exit code of several: 1, 2, 3, 0; nothing at all is 3."""
    return next((code for code in WORST_FIRST if code in codes), EXIT_NOTHING)


def terminal_width(stream: IO[str]) -> int | None:
    """Columns of the terminal behind a stream; None where there is none."""
    if not stream.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def is_screen(stream: IO[str]) -> bool:
    """Is this a terminal on which a line can be taken back?"""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def painter(stream: IO[str]) -> Callable[[str, str], str] | None:
    """Colours for a terminal that wants them (https://no-color.org), None for anything else."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return None
    return _painted


def _painted(what: str, text: str) -> str:
    bold = BOLD if what in ("error", "rejected", "accepted", "inconclusive") else ""
    return f"{COLOURS.get(what, '')}{bold}{text}{RESET}"


def exit_of(report: Report) -> int:
    """The exit code of one report. A git-LFS pointer holds nothing to check: there is no verdict on it, and nothing wrong with it."""
    pointer = report.verdict == "inconclusive" and all(finding.rule == "SL006" and finding.member is None for finding in report.errors)
    return EXIT_NOTHING if pointer else EXIT_OF[report.verdict]
