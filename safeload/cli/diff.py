"""`safeload diff A B`: what the second of two checkpoints has and the first has not: names and capabilities, tensors, values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import click
import msgspec

from safeload.cli.bar import bar
from safeload.cli.common import EXIT_NO_VERDICT, EXIT_REJECTED, check_encoding, complain, encoding_option, exit_of, policy_option, project_policy
from safeload.cli.policy.common import say, width
from safeload.difference import Difference, NameChange, Side, Tensor, TensorChange, ValueChange, difference, digest_of
from safeload.errors import CheckpointError
from safeload.escape import escape
from safeload.findings import Report
from safeload.policy.model import Policy
from safeload.report.layout import columns, cut, cut_middle, plural

SCHEMA = "safeload-diff-v1"
MAX_VALUES = 100_000  # values of one file that are compared, in the order of the file
MAX_DEPTH = 64  # levels of containers that a path leads through
MAX_SHOWN = 40  # lines of one list, unless --all
MAX_PATH = 200  # characters of a path


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@policy_option
@encoding_option
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--exact", is_flag=True, help="Exit 1 for any difference.")
@click.option("--all", "show_all", is_flag=True, help=f"Lists in full, not {MAX_SHOWN} lines of each.")
def diff(before: str, after: str, policy: str | None, encoding: str, format_: str, exact: bool, show_all: bool) -> int:
    """What checkpoint B holds that A does not, and the reverse.

    Names and capabilities gained and lost; tensors added, removed, renamed,
    reshaped, and changed by the digest of their elements; other values.

    Exit codes: 0 B is accepted and gains no capability but to hold data; 1 B is
    rejected, or gains one; 2 one of them has no verdict.
    """
    check_encoding(encoding)
    resolved = project_policy(policy, [before, after]).policy
    with ExitStack() as stack:
        opened: list[tuple[Side, Any]] = []
        for path in (before, after):
            try:
                opened.append(_side(path, resolved, encoding, stack))
            except OSError as error:
                complain(f"{path}: {error.strerror or error}")
                return EXIT_NO_VERDICT
        (first, _), (second, _) = opened
        checkpoints = {id(side): checkpoint for side, checkpoint in opened}
        with bar("comparing tensors", sum(len(side.tensors or ()) for side, _ in opened)) as advance:

            def digest(side: Side, name: str) -> str:
                advance(1)
                value = checkpoints[id(side)].get_tensor(name)
                return digest_of(value) if hasattr(value, "flags") else f"no data: {value!r}"

            try:
                found = difference(first, second, digest)
            except CheckpointError as error:  # a file that changed while it was read
                complain(f"{error.path or before}: {error.message} [{error.rule}]")
                return EXIT_NO_VERDICT
    if format_ == "json":
        sys.stdout.write(_json(first, second, found))
    else:
        say(_text(first, second, found, None if show_all else MAX_SHOWN))
    return _exit(first.report, second.report, found, exact)


def _exit(first: Report, second: Report, found: Difference, exact: bool) -> int:
    if second.verdict == "rejected" or found.gains:
        return EXIT_REJECTED
    if "inconclusive" in (first.verdict, second.verdict):
        return EXIT_NO_VERDICT
    return EXIT_REJECTED if exact and not found.is_empty else exit_of(second)


def _side(path: str, policy: Policy, encoding: str, stack: ExitStack) -> tuple[Side, Any]:
    """One file: its report, and where it was accepted, what it holds without the bytes of its tensors."""
    from safeload import api

    report = api.scan(path, policy=policy, encoding=encoding, digest=True)
    if report.verdict != "accepted":
        return Side(report=report), None
    try:
        checkpoint = stack.enter_context(api.open(path, policy=policy, encoding=encoding))
    except CheckpointError as error:
        complain(f"{path}: {error.message}; only names are compared")
        return Side(report=report), None
    infos = [checkpoint.info(name) for name in checkpoint.keys()]  # noqa: SIM118 - a Checkpoint is no mapping
    tensors = {info.name: Tensor(dtype=info.dtype, shape=info.shape) for info in infos}
    return Side(report=report, tensors=tensors, values=dict(_values(checkpoint.tree()))), checkpoint


def _values(tree: Any) -> Iterator[tuple[str, str]]:
    """Path and description of each value that is no dense tensor, in file order; a container that was met already is not walked again."""
    from itertools import islice

    from safeload.cli.tree import describe, parts
    from safeload.lazy import LazyTensor

    def walk() -> Iterator[tuple[str, str]]:
        seen: set[int] = set()
        pending: list[tuple[str, int, Any]] = [("", 0, tree)]
        while pending:
            path, depth, value = pending.pop()
            if isinstance(value, LazyTensor):
                continue
            _, children = parts(value)
            if children is None:
                yield path or "(value)", describe(value)
            elif id(value) not in seen and depth < MAX_DEPTH:
                seen.add(id(value))
                pending.extend(reversed([(f"{path}/{label}" if path else label, depth + 1, child) for label, child in islice(children, MAX_VALUES)]))

    return islice(walk(), MAX_VALUES)


# ---- in words ---------------------------------------------------------------------------------------------------------------------------


def _text(first: Side, second: Side, found: Difference, limit: int | None) -> list[str]:
    lines = _heads(first.report, second.report)
    lines += _list("names gained", "+", found.names_gained, _name_row, limit)
    lines += _list("names lost", "-", found.names_lost, _name_row, limit)
    for title, words in (("capabilities gained", found.capabilities_gained), ("capabilities lost", found.capabilities_lost)):
        if words:
            lines += ["", f"{title}: {', '.join(words)}"]
    if not found.compared:
        refused = [letter for letter, side in (("A", first), ("B", second)) if side.tensors is None]
        return [*lines, "", f"tensors and values were not compared: {' and '.join(refused)} did not open"]
    lines += _list("tensors added", "+", found.added, lambda change: (change.name, change.after or ""), limit)
    lines += _list("tensors removed", "-", found.removed, lambda change: (change.name, change.before or ""), limit)
    lines += _list("tensors renamed", "=", found.renamed, lambda change: (change.name, f"-> {escape(change.renamed_to or '')}"), limit)
    lines += _list("tensors reshaped", "~", found.reshaped, lambda change: (change.name, f"{change.before} -> {change.after}"), limit)
    lines += _list("tensors changed", "~", found.changed, lambda change: (change.name, change.after or ""), limit)
    lines += _list("values changed", "~", found.values, lambda change: (change.path, _value(change)), limit)
    same = f"{plural(found.same, 'tensor')} {'is' if found.same == 1 else 'are'} the same"
    return [*lines, "", "the files hold the same" if found.is_empty else same]


def _heads(first: Report, second: Report) -> list[str]:
    rows = [
        (letter, cut_middle(escape(report.path), 40), report.verdict, report.format, plural(report.bytes_total, "byte"))
        for letter, report in (("A", first), ("B", second))
    ]
    same = ["the files are the same, byte for byte"] if first.sha256 is not None and first.sha256 == second.sha256 else []
    errors = [f"   {finding.rule} {escape(finding.message)}" for report in (first, second) for finding in report.errors[:1]]
    return [*columns(rows, indent=""), *(cut(line, width()) for line in errors), *same]


def _list(title: str, sign: str, changes: tuple[Any, ...], row: Callable[[Any], tuple[str, ...]], limit: int | None) -> list[str]:
    if not changes:
        return []
    room = max(width() // 2, 20)
    rows = [(sign, *(cut_middle(escape(cell, MAX_PATH), room) for cell in row(change))) for change in changes[:limit]]
    more = [f"  ... {len(changes) - len(rows):,} more (--all)"] if len(rows) < len(changes) else []
    return ["", f"{title} ({len(changes):,}):", *(cut(line, width()) for line in columns(rows, gap=" ")), *more]


def _name_row(change: NameChange) -> tuple[str, ...]:
    return (change.name, change.capability, change.decision)


def _value(change: ValueChange) -> str:
    if change.before is None:
        return f"+ {change.after}"
    return f"- {change.before}" if change.after is None else f"{change.before} -> {change.after}"


# ---- for programs -----------------------------------------------------------------------------------------------------------------------


def _json(first: Side, second: Side, found: Difference) -> str:
    from safeload.report.json_v1 import clean, encode

    def head(report: Report) -> dict[str, Any]:
        return {"path": clean(report.path), "verdict": report.verdict, "format": report.format, "bytes": report.bytes_total, "sha256": report.sha256}

    def rows(changes: tuple[NameChange, ...] | tuple[TensorChange, ...] | tuple[ValueChange, ...]) -> list[dict[str, Any]]:
        fields = [msgspec.structs.asdict(change) for change in changes]
        return [{name: clean(value) if isinstance(value, str) else value for name, value in row.items()} for row in fields]

    document = {
        "schema": SCHEMA,
        "before": head(first.report),
        "after": head(second.report),
        "names": {"gained": rows(found.names_gained), "lost": rows(found.names_lost)},
        "capabilities": {"gained": list(found.capabilities_gained), "lost": list(found.capabilities_lost)},
        "compared": found.compared,
        "tensors": {
            "added": rows(found.added),
            "removed": rows(found.removed),
            "renamed": rows(found.renamed),
            "reshaped": rows(found.reshaped),
            "changed": rows(found.changed),
            "same": found.same,
        },
        "values": rows(found.values),
        "identical": found.is_empty,
    }
    return encode(document)
