"""Checks of single values in a policy file: each takes a value and its key path, and returns what it means or adds a problem.

Refuses nothing by itself: problems are collected, so that an author sees all of them at once. A check that failed returns None, which no record
ever shows, because `toml` raises before it builds one.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from safeload.findings import BY_CODE, GRADED, WAIVABLE
from safeload.limits import Limits
from safeload.policy.aliases import canonical_name, canonical_package
from safeload.policy.contracts import CONTRACTS
from safeload.policy.shapes import parse_signature

Problems = list[tuple[str, str]]  # (key path, message), in file order
Check = Callable[[Any, str, Problems], Any]

USES = ("reference", "call", "new", "build", "storage-type")
MODES = ("enforce", "scan-only", "audit")
HARMFUL = ("code.exec", "code.import", "code.deserialize", "code.attribute", "process.exec", "fs.read", "fs.write", "net", "native", "unknown")
HARMLESS = "data."  # and a word: data.tensor, data.container, data.config, ...

FORMATS = (
    "torch.zip", "torch.legacy", "torch.tar", "torch.script", "torch.package", "torch.export", "torch.dcp", "shards", "safetensors", "gguf", "npy", "npz",
    "joblib", "pickle", "zip", "zip-sequence", "tar", "7z", "hdf5", "keras", "msgpack",
)  # fmt: skip
"""What `formats` may name: what a report calls a file, without the compression around it. A test holds it against the readers there are."""

LEVELS = ("note", "warning", "error")  # from the mildest
REQUIREMENTS = ("nothing", "sha256", "signature")
ANY_FORMAT = "*"
DIGEST = re.compile("[0-9a-f]{64}")

_TYPE_NAMES = {bool: "a boolean", int: "a whole number", float: "a float", str: "a string", list: "an array", dict: "a table"}


class Key(msgspec.Struct, frozen=True):
    """One key of a table: how its value is checked, what JSON Schema says of it, what it does, and whether it must be there."""

    check: Check
    schema: dict[str, Any] = {}
    doc: str = ""
    required: bool = True


def table(value: Any, path: str, keys: Mapping[str, Key], problems: Problems, *, never: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The checked values of one table. Unknown keys and missing keys are problems, each by name; for some, `never` knows why they are none."""
    if not isinstance(value, Mapping):
        problems.append((path, f"expected a table, found {kind(value)}"))
        return {}
    prefix = f"{path}." if path else ""
    found = {}
    for name, item in value.items():
        if name in keys:
            found[name] = keys[name].check(item, f"{prefix}{name}", problems)
        elif never is not None and name in never:
            problems.append((f"{prefix}{name}", never[name]))
        else:
            problems.append((f"{prefix}{name}", f"unknown key{suggestion(str(name), keys)}"))
    problems.extend((f"{prefix}{name}", "missing") for name, key in keys.items() if key.required and name not in value)
    return found


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the list of what there is."""
    from difflib import get_close_matches  # only a wrong file pays for it

    names = list(known)
    close = get_close_matches(word.lower().replace("_", "-"), names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(names)}"


def kind(value: Any) -> str:
    """The type of a TOML value, for messages."""
    return _TYPE_NAMES.get(type(value), f"a {type(value).__name__}")


def text(value: Any, path: str, problems: Problems) -> str | None:
    """A string with something in it."""
    if type(value) is not str:
        problems.append((path, f"expected a string, found {kind(value)}"))
    elif not value.strip():
        problems.append((path, "is empty"))
    else:
        return value
    return None


def path_text(value: Any, path: str, problems: Problems) -> str | None:
    """A string that the system can take for a path; whether there is a file is not looked at."""
    found = text(value, path, problems)
    if found is not None and ("\0" in found or (not found.isascii() and any(0xD800 <= ord(char) <= 0xDFFF for char in found))):
        problems.append((path, f"{found!a:.80} is no path"))
        return None
    return found


def identifier(value: Any, path: str, problems: Problems) -> str | None:
    """Letters, digits, `.`, `_` and `-`, beginning with a letter or digit: names of policies and entries stand in reports and on command lines."""
    found = text(value, path, problems)
    if found is not None and not (found.isascii() and found[0].isalnum() and found.translate(_NO_MARKS).isalnum()):
        problems.append((path, f"{found!a:.60} may hold only letters, digits, '.', '_' and '-', and begins with a letter or digit"))
        return None
    return found


_NO_MARKS = {ord(mark): "" for mark in "._-"}


def one_of(*accepted: str) -> Check:
    """One of these words."""

    def check(value: Any, path: str, problems: Problems) -> str | None:
        if type(value) is str and value in accepted:
            return value
        found = repr(value) if type(value) is str else kind(value)
        problems.append((path, f"expected {' or '.join(map(repr, accepted))}, found {found}"))
        return None

    return check


def schema(value: Any, path: str, problems: Problems) -> None:
    """The number 1."""
    if type(value) is not int:
        problems.append((path, f"expected the whole number 1, found {kind(value)}"))
    elif value != 1:
        problems.append((path, f"schema {value} is not known to this version of safeload, which reads schema 1"))


def texts(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    """An array of strings. What is none becomes `""`, so that the places of the others stay what they are."""
    if type(value) not in (list, tuple):
        problems.append((path, f"expected an array of strings, found {kind(value)}"))
        return ()
    return tuple(text(item, f"{path}[{place}]", problems) or "" for place, item in enumerate(value))


def some_texts(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    """An array of at least one string, none of them twice."""
    found = texts(value, path, problems)
    if type(value) in (list, tuple) and not value:
        problems.append((path, "is empty"))
    first: dict[str, int] = {}
    for place, item in enumerate(found):
        if item and first.setdefault(item, place) != place:
            problems.append((f"{path}[{place}]", f"{item!a:.80} stands here twice"))
    return found


def date(value: Any, path: str, problems: Problems) -> datetime.date | None:
    """A TOML date, or the same as a string."""
    if type(value) is datetime.date:
        return value
    if type(value) is str:
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            problems.append((path, f"{value!a:.60} is not a date (2026-09-30)"))
    else:
        problems.append((path, f"expected a date, found {kind(value)}"))
    return None


def sha256(value: Any, path: str, problems: Problems) -> str | None:
    """A digest as 64 hexadecimal digits."""
    found = text(value, path, problems)
    if found is not None and not DIGEST.fullmatch(found.lower()):
        problems.append((path, f"{found!a:.80} is no sha256; it has 64 hexadecimal digits"))
        return None
    return found.lower() if found is not None else None


def digests(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    """At least one digest, none of them twice."""
    found = some_texts(value, path, problems)
    return tuple(sha256(item, f"{path}[{place}]", problems) or "" for place, item in enumerate(found) if item)


def formats(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    """Names of formats, or `*` alone for all of them."""
    found = some_texts(value, path, problems)
    for place, item in enumerate(found):
        if item == ANY_FORMAT and len(found) > 1:
            problems.append((f"{path}[{place}]", "'*' means every format, and stands alone"))
        elif item and item not in (*FORMATS, ANY_FORMAT):
            problems.append((f"{path}[{place}]", f"there is no format {item!a:.60}{suggestion(item, FORMATS)}"))
    return found


def levels(value: Any, path: str, problems: Problems) -> dict[str, str]:
    """`[rules]`: code of a rule to level. What carries a law stays an error."""
    if not isinstance(value, Mapping):
        problems.append((path, f"expected a table, found {kind(value)}"))
        return {}
    found = {}
    for code, item in value.items():
        where = f"{path}.{code}"
        if code not in BY_CODE:
            named = next((rule.code for rule in BY_CODE.values() if rule.name == code), None)
            problems.append((where, f"rules are graded by their code; write {named}" if named else f"there is no such rule{suggestion(str(code), BY_CODE)}"))
            continue
        level = one_of(*LEVELS)(item, where, problems)
        if level is not None and level != "error" and code not in GRADED:
            problems.append((where, f"{BY_CODE[code].name} is always an error; a policy grades {', '.join(sorted(GRADED))}"))
        elif level is not None and code in GRADED:
            found[code] = level
    return found


def waivable(value: Any, path: str, problems: Problems) -> str | None:
    """The code of a rule whose findings a policy may waive."""
    found = text(value, path, problems)
    if found is None or found in WAIVABLE:
        return found
    if found in BY_CODE:
        problems.append((path, f"{found} ({BY_CODE[found].name}) cannot be waived: it says that a file was not read, or may not be built"))
    else:
        problems.append((path, f"there is no rule {found!a:.60}{suggestion(found, sorted(WAIVABLE))}"))
    return None


def limit_name(value: Any, path: str, problems: Problems) -> str | None:
    """One limit, spelled with `-`. Returned with `_`, as `Limits` spells it."""
    found = text(value, path, problems)
    names = [name.replace("_", "-") for name in Limits.names()]
    if found is not None and found not in names:
        problems.append((path, f"there is no limit {found!a:.60}{suggestion(found, names)}"))
        return None
    return found.replace("-", "_") if found is not None else None


def uses(value: Any, path: str, problems: Problems) -> frozenset[str]:
    """Words of `USES`."""
    found = some_texts(value, path, problems)
    for place, item in enumerate(found):
        if item and item not in USES:
            problems.append((f"{path}[{place}]", f"{item!a:.60} is no use of a name{suggestion(item, USES)}"))
    return frozenset(found)


def constructor(value: Any, path: str, problems: Problems) -> str | None:
    """An id of the closed table (the second key)."""
    found = text(value, path, problems)
    if found is not None and found not in CONTRACTS:
        problems.append((path, f"there is no constructor {found!a:.60}{suggestion(found, CONTRACTS)}"))
        return None
    return found


def shapes(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    """Argument shapes, as `policy.shapes` reads them. An empty array means: no arguments."""
    found = texts(value, path, problems)
    try:
        parse_signature(tuple(item for item in found if item))
    except ValueError as error:
        problems.append((path, str(error)))
    for place, item in enumerate(found):
        for name in item.removesuffix("?").removeprefix("global:").split("|") if item.startswith("global:") else ():
            if "." in name and canonical_name(name) != name:
                problems.append((f"{path}[{place}]", f"{name} is an old spelling; write {canonical_name(name)}"))
    return found


def capability(*, harmless: bool, harmful: bool) -> Check:
    """What a name gives (`data.*`) or could do (`HARMFUL`)."""

    def check(value: Any, path: str, problems: Problems) -> str | None:
        found = text(value, path, problems)
        if found is None:
            return None
        if harmless and found.startswith(HARMLESS) and found.removeprefix(HARMLESS).replace("-", "").isalnum():
            return found
        if harmful and found in HARMFUL:
            return found
        accepted = [*(["data.*"] if harmless else []), *(HARMFUL if harmful else [])]
        problems.append((path, f"{found!a:.60} is not a capability of such an entry{suggestion(found, accepted)}"))
        return None

    return check


def limits(value: Any, path: str, problems: Problems) -> dict[str, int]:
    """`[limits]`: limit to whole number, spelled with `-`. Returned with `_`, as `Limits` spells them."""
    names = [name.replace("_", "-") for name in Limits.names()]
    checked = table(value, path, {name: Key(whole_number, required=False) for name in names}, problems)
    return {name.replace("-", "_"): number for name, number in checked.items()}


def whole_number(value: Any, path: str, problems: Problems) -> int | None:
    """An int from 0; a boolean is none."""
    if type(value) is not int:
        problems.append((path, f"expected a whole number, found {kind(value)}"))
    elif value < 0:
        problems.append((path, f"{value} is below zero"))
    else:
        return value
    return None


def exact_names(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    """Full names, no wildcards: `[[allow]]` gives each name a meaning, and nobody knows what `package.*` means tomorrow."""
    return _names(value, path, problems, patterns=False)


def name_patterns(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    """Full names, `package.*` or `*`."""
    return _names(value, path, problems, patterns=True)


def _names(value: Any, path: str, problems: Problems, *, patterns: bool) -> tuple[str, ...]:
    found = some_texts(value, path, problems)
    for place, name in enumerate(found):
        wrong = _name_problem(name, patterns) if name else None
        if wrong is not None:
            problems.append((f"{path}[{place}]", f"{name!a:.80} {wrong}"))
    return found


def _name_problem(name: str, patterns: bool) -> str | None:
    """Why this is no name or pattern."""
    if "*" in name:
        if not patterns:
            return "holds a wildcard; an allow entry names exactly what it lets through"
        if name == "*":
            return None
        package = name.removesuffix(".*")
        if "*" in package or not _dotted(package):
            return "is no pattern; write package.* or *"
        better = canonical_package(package)
        return None if better is None else f"matches nothing, because files are judged by today's spelling; write {better}.*"
    if "." not in name:
        return "is not a full name; write module.name"
    return None if _dotted(name) else "is not a full name; every part of module.name is an ASCII identifier"


def _dotted(name: str) -> bool:
    return name.isascii() and all(part.isidentifier() for part in name.split("."))
