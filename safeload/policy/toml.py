"""One policy file becomes records, or one `PolicyFileError` that lists everything that is wrong with it.

Strict on purpose: a rule that is misspelt and silently never matches is how allowlists fail (a string where a list was meant, a key nobody reads).
Unknown keys, wrong types, wildcards in `[[allow]]`, names listed twice, constructors that do not exist, uses that a constructor does not have: all
are refused, each with its key path. What a later version will know (`expires`, `[rules]`, `[[raise]]`, `[[waive]]`, `[provenance]`) is refused by name.

    schema = 1   name version summary owner   mode = enforce | scan-only | audit   default = "deny"   extends formats   [limits]
    [[allow]]    id globals uses args as capability reason evidence
    [[opaque]]   id globals capability reason evidence
    [[deny]]     id globals capability reason

Parents are not looked at here; `resolve` merges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from safeload.errors import PolicyFileError
from safeload.policy import fields
from safeload.policy.aliases import canonical_name
from safeload.policy.contracts import CONTRACTS
from safeload.policy.fields import Key, Problems
from safeload.policy.model import Allow, Deny, Mode, Opaque

MAX_POLICY_BYTES = 4 << 20  # bytes of one policy file; the largest shipped one is below 32 KiB, so anything near this is no policy


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True):
    """One policy as it was written: valid by itself, parents named and not yet merged. Entries keep the order of the file."""

    name: str
    version: str
    summary: str
    owner: str
    mode: Mode
    extends: tuple[str, ...]
    formats: tuple[str, ...] | None  # None: as the parents say
    limits: dict[str, int]
    allow: tuple[Allow, ...]
    opaque: tuple[Opaque, ...]
    deny: tuple[Deny, ...]
    file: str | None


def read_policy(path: str) -> PolicyFile:
    """The policy in the file at `path`. Raises `OSError` where it cannot be read, `PolicyFileError` where it is not right."""
    with open(path, "rb") as stream:
        data = stream.read(MAX_POLICY_BYTES + 1)
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyFileError(path, [("", f"larger than {MAX_POLICY_BYTES:,} bytes; this is no policy")])
    return parse_policy(data, path)


def parse_policy(data: bytes, file: str) -> PolicyFile:
    """The policy in these bytes of TOML; `file` is for messages and for what `extends` is relative to."""
    import tomllib  # only here, so that a caller with no policy file never pays for it

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PolicyFileError(file, [("", f"not UTF-8 text, at byte {error.start}")]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyFileError(file, [("", f"not TOML: {error}")]) from None
    return check_policy(document, file)


def check_policy(document: Mapping[str, Any], file: str | None) -> PolicyFile:
    """The policy in a mapping with the keys of the TOML format. Raises `PolicyFileError` with every problem at once."""
    problems: Problems = []
    top = fields.table(document, "", _TOP, _LATER, problems)
    tables = {kind: _entries(document.get(kind, []), kind, keys, problems) for kind, keys in _ENTRIES.items()}
    for place, entry in enumerate(tables["allow"]):
        _check_constructor(entry, f"allow[{place}]", problems)
    _check_repeats(tables, problems)
    if not any(tables.values()) and not document.get("extends"):
        problems.append(("", "the policy is empty: it has no entry and extends nothing"))
    if problems:
        raise PolicyFileError(file or "<policy>", problems)
    return PolicyFile(
        name=top["name"],
        version=top["version"],
        summary=top["summary"],
        owner=top["owner"],
        mode=top["mode"],
        extends=top.get("extends", ()),
        formats=top.get("formats"),
        limits=top.get("limits", {}),
        allow=tuple(_allow(entry, top["name"]) for entry in tables["allow"]),
        opaque=tuple(_opaque(entry, top["name"]) for entry in tables["opaque"]),
        deny=tuple(_deny(entry, top["name"]) for entry in tables["deny"]),
        file=file,
    )


# ---- the format -------------------------------------------------------------------------------------------------------------------------


def _entry_list(value: Any, path: str, problems: Problems) -> None:
    """The entries themselves are checked by `_entries`."""
    if type(value) not in (list, tuple):
        problems.append((path, f"expected an array of tables ([[{path}]]), found {fields.kind(value)}"))


_REVIEW = {"reviewed-by": Key(fields.text, required=False), "reviewed-on": Key(fields.date, required=False)}
_LATER = ("expires", "rules", "raise", "waive", "provenance")

_TOP = {
    "schema": Key(fields.schema),
    "name": Key(fields.identifier),
    "version": Key(fields.text),
    "summary": Key(fields.text),
    "owner": Key(fields.text),
    "mode": Key(fields.one_of(*fields.MODES)),
    "default": Key(fields.one_of("deny")),
    "extends": Key(fields.some_texts, required=False),
    "formats": Key(fields.some_texts, required=False),
    "limits": Key(fields.limits, required=False),
    "allow": Key(_entry_list, required=False),
    "opaque": Key(_entry_list, required=False),
    "deny": Key(_entry_list, required=False),
    **_REVIEW,
}
_ENTRIES: dict[str, dict[str, Key]] = {
    "allow": {
        "id": Key(fields.identifier),
        "globals": Key(fields.exact_names),
        "uses": Key(fields.uses),
        "args": Key(fields.shapes, required=False),
        "as": Key(fields.constructor),
        "capability": Key(fields.capability(harmless=True, harmful=False)),
        "reason": Key(fields.text),
        "evidence": Key(fields.some_texts, required=False),
        **_REVIEW,
    },
    "opaque": {
        "id": Key(fields.identifier),
        "globals": Key(fields.name_patterns),
        "capability": Key(fields.capability(harmless=True, harmful=True)),
        "reason": Key(fields.text),
        "evidence": Key(fields.some_texts, required=False),
        **_REVIEW,
    },
    "deny": {
        "id": Key(fields.identifier),
        "globals": Key(fields.name_patterns),
        "capability": Key(fields.capability(harmless=False, harmful=True)),
        "reason": Key(fields.text),
        **_REVIEW,
    },
}


def _entries(value: Any, kind: str, keys: dict[str, Key], problems: Problems) -> list[dict[str, Any]]:
    if type(value) not in (list, tuple):
        return []  # `_entry_list` has said so
    return [fields.table(item, f"{kind}[{place}]", keys, ("expires",), problems) for place, item in enumerate(value)]


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


# ---- records ----------------------------------------------------------------------------------------------------------------------------


def _allow(entry: dict[str, Any], policy: str) -> Allow:
    return Allow(
        id=entry["id"],
        globals=entry["globals"],
        uses=entry["uses"],
        constructor=entry["as"],
        args=entry.get("args"),
        capability=entry["capability"],
        reason=entry["reason"],
        evidence=entry.get("evidence", ()),
        policy=policy,
    )


def _opaque(entry: dict[str, Any], policy: str) -> Opaque:
    return Opaque(
        id=entry["id"], globals=entry["globals"], capability=entry["capability"], reason=entry["reason"], evidence=entry.get("evidence", ()), policy=policy
    )


def _deny(entry: dict[str, Any], policy: str) -> Deny:
    return Deny(id=entry["id"], globals=entry["globals"], capability=entry["capability"], reason=entry["reason"], policy=policy)
