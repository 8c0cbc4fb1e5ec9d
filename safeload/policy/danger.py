"""A name that no policy lists becomes what it could do: a capability, and the way by which it would be reached.

Knowledge for messages and reports. It never decides: the name is refused already, or kept as an inert record, when anybody asks. The names of
`known-danger` come first, then names that go through a re-exported module (`torch.os.system`), then families of libraries, then the standard library by module.
"""

from __future__ import annotations

import msgspec

from safeload.policy.aliases import canonical_name
from safeload.policy.danger_table import ATTRIBUTES, EXACT, FAMILIES, MODULES, PREFIXES, REEXPORTED

UNKNOWN = "unknown"
MAX_PARTS = 32  # of a dotted name that are looked at; the longest real one has nine

COULD: dict[str, str] = {
    "process.exec": "could start processes",
    "code.exec": "could run code",
    "code.import": "could import modules",
    "code.deserialize": "could unpickle again",
    "code.attribute": "could reach attributes by name",
    "fs.read": "could read files",
    "fs.write": "could write files",
    "net": "could use the network",
    "native": "could run native code",
}


class Danger(msgspec.Struct, frozen=True, kw_only=True):
    """What a name could do. `reaches` is the name behind a re-export (`torch.os.system` reaches `os.system`)."""

    capability: str
    reaches: str | None = None

    @property
    def words(self) -> str:
        """`; it reaches os.system and could start processes`, or nothing where nothing is known."""
        could = COULD.get(self.capability)
        if self.reaches is not None:
            return f"; it reaches {self.reaches}{f' and {could}' if could else ''}"
        return f"; it {could}" if could else ""


def danger(name: str) -> Danger:
    """What is known of `module.name`, in the canonical spelling or any other. The work is bounded by the parts of the name."""
    full = canonical_name(name) if "." in name else name
    parts = full.split(".")[:MAX_PARTS]
    capability = _listed(parts)
    if capability is not None:
        return Danger(capability=capability)
    for place in range(1, len(parts)):
        rest = parts[place:]
        if rest[0] in ATTRIBUTES:
            return Danger(capability="code.attribute", reaches=".".join(rest))
        if rest[0] in REEXPORTED:
            return Danger(capability=_listed(rest) or MODULES.get(rest[0], UNKNOWN), reaches=".".join(rest))
    return Danger(capability=_by_prefix(parts, FAMILIES) or MODULES.get(parts[0], UNKNOWN))


def _listed(parts: list[str]) -> str | None:
    """By the names of known-danger: exactly, with what hangs on them, or as the whole of a module."""
    return _by_prefix(parts, EXACT) or _by_prefix(parts[:-1], PREFIXES)


def _by_prefix(parts: list[str], table: dict[str, str]) -> str | None:
    for end in range(len(parts), 0, -1):
        found = table.get(".".join(parts[:end]))
        if found is not None:
            return found
    return None
