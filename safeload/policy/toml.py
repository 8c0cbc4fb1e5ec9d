"""One policy file becomes records, or one `PolicyFileError` that lists everything that is wrong with it.

Strict on purpose: a rule that is misspelt and silently never matches is how allowlists fail (a string where a list was meant, a key nobody reads).
Unknown keys, wrong types, wildcards in `[[allow]]`, names listed twice, constructors that do not exist, uses that a constructor does not have, rules that
cannot be graded or waived: all are refused, each with its key path and, where there is a text, its line. The keys stand in `language`.

Parents, lock files and keys are not looked at here; `resolve` does that. The one clock is `today`, for the year within which a waiver ends.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from safeload.errors import PolicyFileError
from safeload.findings import Level
from safeload.policy import fields
from safeload.policy.aliases import canonical_name
from safeload.policy.contracts import CONTRACTS
from safeload.policy.fields import Problems
from safeload.policy.language import ENTRIES, MAX_WAIVER_DAYS, NEVER, TOP
from safeload.policy.lines import line_of, positions
from safeload.policy.model import Allow, Deny, Mode, Opaque, Raise, Require, Waive
from safeload.policy.today import utc_today

MAX_POLICY_BYTES = 4 << 20  # bytes of one policy file; the largest shipped one is below 32 KiB, so anything near this is no policy
_Entry = TypeVar("_Entry", Allow, Opaque, Deny, Raise, Waive)


class Parent(msgspec.Struct, frozen=True):
    """One element of `extends`."""

    policy: str
    sha256: str | None = None  # what its digest has to be


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """`[provenance]` as it was written: files are named and not yet read."""

    require: Require = "nothing"
    digests: tuple[str, ...] = ()
    lock: str | None = None
    key: str | None = None
    identity: str | None = None
    issuer: str | None = None


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True):
    """One policy as it was written: valid by itself, parents named and not yet merged. Entries keep the order of the file."""

    name: str
    version: str
    summary: str
    owner: str
    mode: Mode
    extends: tuple[Parent, ...]
    formats: tuple[str, ...] | None  # None: as the parents say
    limits: dict[str, int]
    allow: tuple[Allow, ...]
    opaque: tuple[Opaque, ...]
    deny: tuple[Deny, ...]
    file: str | None
    expires: datetime.date | None = None
    rules: dict[str, Level] = {}
    raises: tuple[Raise, ...] = ()
    waives: tuple[Waive, ...] = ()
    provenance: Origin | None = None  # None: as the parents say
    text: str = ""  # what it was read from, for the lines of later problems

    def error(self, problems: Problems) -> PolicyFileError:
        """The error for problems that show only when parents are merged in."""
        return policy_file_error(self.file, problems, self.text)


def read_policy(path: str, today: datetime.date | None = None) -> PolicyFile:
    """The policy in the file at `path`. Raises `OSError` where it cannot be read, `PolicyFileError` where it is not right."""
    with open(path, "rb") as stream:
        data = stream.read(MAX_POLICY_BYTES + 1)
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyFileError(path, [("", f"larger than {MAX_POLICY_BYTES:,} bytes; this is no policy")])
    return parse_policy(data, path, today)


def parse_policy(data: bytes, file: str, today: datetime.date | None = None) -> PolicyFile:
    """The policy in these bytes of TOML; `file` is for messages and for what `extends` is relative to."""
    text, document = parse_toml(data, file)
    return check_policy(document, file, today, text)


def parse_toml(data: bytes, file: str) -> tuple[str, dict[str, Any]]:
    """Text and document of a TOML file. Raises `PolicyFileError` for what is none."""
    import tomllib  # only here, so that a caller with no policy file never pays for it

    try:
        text = data.decode("utf-8")
        return text.replace("\r\n", "\n"), tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise PolicyFileError(file, [("", f"not UTF-8 text, at byte {error.start}")]) from None
    except (ValueError, RecursionError) as error:  # a ValueError that is no TOMLDecodeError: numbers longer than Python converts
        raise PolicyFileError(file, [("", f"not TOML: {error}")]) from None


def check_policy(document: Mapping[str, Any], file: str | None, today: datetime.date | None = None, text: str = "") -> PolicyFile:
    """The policy in a mapping with the keys of the TOML format; `text` is what it was parsed from. `today` is the day (UTC) from which the year of a waiver
    counts; None: now. Raises `PolicyFileError` with every problem at once.
    """
    problems: Problems = []
    top = fields.table(document, "", TOP, problems)
    tables = {kind: _entries(document.get(kind, []), kind, problems) for kind in ENTRIES}
    for place, entry in enumerate(tables["allow"]):
        _check_constructor(entry, f"allow[{place}]", problems)
    _check_repeats({kind: tables[kind] for kind in ("allow", "opaque", "deny")}, problems)
    _check_waivers(tables["waive"], today, problems)
    if not any(tables[kind] for kind in ("allow", "opaque", "deny")) and not document.get("extends"):
        problems.append(("", "the policy is empty: it has no entry and extends nothing"))
    if problems:
        raise policy_file_error(file, problems, text)
    lines = positions(text) if text else {}

    def made(type_: type[_Entry], kind: str) -> tuple[_Entry, ...]:
        return tuple(_record(type_, entry, top["name"], file, lines.get(f"{kind}[{place}]")) for place, entry in enumerate(tables[kind]))

    return PolicyFile(
        name=top["name"],
        version=top["version"],
        summary=top["summary"],
        owner=top["owner"],
        mode=top["mode"],
        extends=tuple(Parent(policy, pin) for policy, pin in top.get("extends", ())),
        formats=top.get("formats"),
        limits=top.get("limits", {}),
        allow=made(Allow, "allow"),
        opaque=made(Opaque, "opaque"),
        deny=made(Deny, "deny"),
        file=file,
        expires=top.get("expires"),
        rules=top.get("rules", {}),
        raises=made(Raise, "raise"),
        waives=made(Waive, "waive"),
        provenance=Origin(**top["provenance"]) if "provenance" in top else None,
        text=text,
    )


def policy_file_error(file: str | None, problems: Problems, text: str) -> PolicyFileError:
    """The one error, with the lines of its problems where there is a text."""
    lines = positions(text) if text else {}
    return PolicyFileError(file or "<policy>", problems, [line_of(lines, path) for path, _ in problems])


def _entries(value: Any, kind: str, problems: Problems) -> list[dict[str, Any]]:
    if type(value) not in (list, tuple):
        return []  # and that has been said
    return [fields.table(item, f"{kind}[{place}]", ENTRIES[kind], problems, never=NEVER.get(kind)) for place, item in enumerate(value)]


# ---- what one value cannot show ---------------------------------------------------------------------------------------------------------


def _check_constructor(entry: dict[str, Any], path: str, problems: Problems) -> None:
    """An entry narrows its constructor; it can ask for no use that the constructor does not have."""
    contract = CONTRACTS.get(entry.get("as") or "")
    if contract is None:
        return
    extra = sorted(entry.get("uses", frozenset()) & frozenset(fields.USES) - contract.uses)
    if extra:
        has = ", ".join(use for use in fields.USES if use in contract.uses)
        problems.append((f"{path}.uses", f"the constructor {contract.id!r} does not have {', '.join(extra)}; it has {has}"))
    if entry.get("args") is not None and not contract.uses & {"call", "new"}:
        problems.append((f"{path}.args", f"the constructor {contract.id!r} is never called, so there are no arguments to narrow"))


def _check_repeats(tables: dict[str, list[dict[str, Any]]], problems: Problems) -> None:
    """An id belongs to one entry. A name has one meaning: it stands in one entry of allow and opaque together, and in one of deny."""
    ids: dict[str, str] = {}
    meanings: dict[str, str] = {}
    denials: dict[str, str] = {}
    for kind, entries in tables.items():
        names = denials if kind == "deny" else meanings
        for place, entry in enumerate(entries):
            path = f"{kind}[{place}]"
            _claim(ids, entry.get("id"), path, f"{path}.id", "the id", problems)
            for position, name in enumerate(entry.get("globals", ())):
                full = name if "*" in name else canonical_name(name)  # within one entry, two spellings of a name may stand side by side
                _claim(names, full, path, f"{path}.globals[{position}]", "the name", problems)


def _claim(owners: dict[str, str], key: str | None, owner: str, path: str, what: str, problems: Problems) -> None:
    if not key:
        return  # missing or wrong, and reported
    first = owners.setdefault(key, owner)
    if first != owner:
        problems.append((path, f"{what} {key!a:.80} is taken by {first}"))


def _check_waivers(entries: list[dict[str, Any]], today: datetime.date | None, problems: Problems) -> None:
    """One waiver for one rule and one file, and an end within a year."""
    last = (today or utc_today()) + datetime.timedelta(days=MAX_WAIVER_DAYS) if entries else datetime.date.max
    claimed: dict[str, str] = {}
    for place, entry in enumerate(entries):
        path, expires = f"waive[{place}]", entry.get("expires")
        if expires is not None and expires > last:
            problems.append((f"{path}.expires", f"{expires} is more than a year away; a waiver ends by {last}, and is looked at again"))
        if entry.get("rule") and entry.get("sha256"):
            _claim(claimed, f"{entry['rule']} for {entry['sha256']}", path, path, "the waiver of", problems)


# ---- records ----------------------------------------------------------------------------------------------------------------------------


def _record(type_: type[_Entry], entry: dict[str, Any], policy: str, file: str | None, line: int | None) -> _Entry:
    """The record of a checked entry: the keys of the format are the names of the fields, but for these."""
    values = {_FIELDS.get(key, key): value for key, value in entry.items()}
    if type_ is Allow:
        values.setdefault("args", None)
    if type_ is Allow or type_ is Opaque:
        values.setdefault("evidence", ())
    return type_(**values, policy=policy, file=file, line=line)


_FIELDS = {"as": "constructor", "to": "value", "reviewed-by": "reviewed_by", "reviewed-on": "reviewed_on"}
