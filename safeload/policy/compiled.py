"""The default policy, as it was resolved when the project was built: `compiled.json` beside the policy files becomes a `Policy`, or None.

What bytecode is to a module: it lies beside the files that it was made from, names them with their lengths and CRC-32s, and counts only as long as they are
still those. Otherwise, and for every other policy, the TOML files are read. A test holds it against what they mean. Reading and merging three files takes
20 ms, which was a fifth of a scan of a small file.

Refuses nothing: what is missing, does not decode or does not fit is None. It lies inside the installation, and whoever can write there needs no policy.
"""

from __future__ import annotations

import os
import zlib
from typing import TypeVar

import msgspec

from safeload.policy.model import Allow, Deny, Opaque, Policy
from safeload.policy.shipped import DEFAULT_POLICY, shipped_path

COMPILED = DEFAULT_POLICY  # alone: each more is 100 KiB that a test has to hold against its source
FILE = "compiled.json"
_PLACE = b'"file": "//'  # stands before the name of a policy file, where its folder belongs; a quote inside of a text is escaped, so it stands nowhere else
_Entry = TypeVar("_Entry", Allow, Opaque, Deny)


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """One file that went in."""

    name: str
    size: int  # bytes
    crc: int  # CRC-32: this is no defence, and a mistake is found


Places = tuple[tuple[str, int], ...]
"""A table: names and the places of their entries, in the order of the policy."""


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. An entry stands in it once, however many names it has: the tables of `policy` are empty, and name the entries by their place."""

    origins: tuple[Origin, ...]
    policy: Policy
    allow: tuple[Allow, ...]
    opaque: tuple[Opaque, ...]
    deny: tuple[Deny, ...]
    allow_exact: Places
    opaque_exact: Places
    opaque_prefix: Places
    deny_exact: Places
    deny_prefix: Places


def compiled_policy(name: str) -> Policy | None:
    """The shipped policy `name`, None where the TOML files have to be read."""
    if name != COMPILED:
        return None
    folder = os.path.dirname(shipped_path(name))
    try:
        with open(os.path.join(folder, FILE), "rb") as stream:
            data = stream.read()
        found = msgspec.json.decode(data.replace(_PLACE, _in_folder(folder)), type=Compiled)
        if any(origin_of(folder, origin.name) != origin for origin in found.origins):
            return None
        return _with_tables(found)
    except (OSError, msgspec.MsgspecError, UnicodeError, IndexError):  # UnicodeError: a folder whose name is no text
        return None


def _with_tables(found: Compiled) -> Policy:
    allow, opaque, deny = found.allow, found.opaque, found.deny
    return msgspec.structs.replace(
        found.policy,
        allow_exact={name: allow[place] for name, place in found.allow_exact},
        opaque_exact={name: opaque[place] for name, place in found.opaque_exact},
        opaque_prefix={name: opaque[place] for name, place in found.opaque_prefix},
        deny_exact={name: deny[place] for name, place in found.deny_exact},
        deny_prefix={name: deny[place] for name, place in found.deny_prefix},
    )


def origin_of(folder: str, name: str) -> Origin:
    """A policy file as it is now. Raises `OSError`."""
    with open(os.path.join(folder, name), "rb") as stream:
        data = stream.read()
    return Origin(name, len(data), zlib.crc32(data))


def _in_folder(folder: str) -> bytes:
    """The key `file` and the path in front of the name, as JSON has them, without the closing quote."""
    return b'"file": ' + msgspec.json.encode(os.path.join(folder, ""))[:-1]


# ---- writing it -------------------------------------------------------------------------------------------------------------------------


def compiled_bytes(policy: Policy, folder: str) -> bytes:
    """What `FILE` has to hold: `policy` as it was read from the files in `folder`."""
    files = {policy.file, *(ancestor.file for ancestor in policy.ancestors)}
    allow, allow_places = _placed(policy.allow_exact)
    opaque, opaque_places = _placed(policy.opaque_exact, policy.opaque_prefix)
    deny, deny_places = _placed(policy.deny_exact, policy.deny_prefix)
    compiled = Compiled(
        origins=tuple(origin_of(folder, os.path.basename(file)) for file in sorted(file for file in files if file is not None)),
        policy=msgspec.structs.replace(policy, allow_exact={}, opaque_exact={}, opaque_prefix={}, deny_exact={}, deny_prefix={}),
        allow=allow,
        opaque=opaque,
        deny=deny,
        allow_exact=allow_places[0],
        opaque_exact=opaque_places[0],
        opaque_prefix=opaque_places[1],
        deny_exact=deny_places[0],
        deny_prefix=deny_places[1],
    )
    return msgspec.json.format(msgspec.json.encode(compiled, order="sorted"), indent=1).replace(_in_folder(folder), _PLACE) + b"\n"


def _placed(*tables: dict[str, _Entry]) -> tuple[tuple[_Entry, ...], list[Places]]:
    """The entries of some tables, each once, and the tables."""
    places: dict[int, int] = {}
    entries: list[_Entry] = []
    for table in tables:
        for entry in table.values():
            if id(entry) not in places:
                places[id(entry)] = len(entries)
                entries.append(entry)
    return tuple(entries), [tuple((name, places[id(entry)]) for name, entry in table.items()) for table in tables]
