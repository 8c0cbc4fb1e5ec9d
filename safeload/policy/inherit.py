"""What a policy says beside its entries, merged with what its parents say: mode, formats, limits and raises, levels of rules, provenance, expiry.

The laws, each a test: a child loads nothing that a parent does not load; it covers no format that a parent does not cover; a limit takes the minimum and only
`[[raise]]` lifts it, until a day; a level that a parent set is not lowered; what a parent requires of a file's provenance stays required; the earliest date
counts. The order of the parents decides nothing.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from safeload.errors import PolicyFileError
from safeload.findings import Level
from safeload.limits import DEFAULT_LIMITS, Limits
from safeload.policy.fields import ANY_FORMAT, LEVELS, Problems
from safeload.policy.lockfile import read_lock
from safeload.policy.model import Policy, Provenance, Raise, Signer, Waive
from safeload.policy.toml import Origin, PolicyFile

MAX_KEY_BYTES = 64 << 10  # bytes of a public key in PEM; an RSA key of 16,384 bits has 3 KiB
PEM = "-----BEGIN "


def check_mode(file: PolicyFile, parents: Sequence[Policy], problems: Problems) -> None:
    """What extends a policy that loads nothing loads nothing either."""
    for parent in parents:
        if file.mode == "enforce" and parent.mode != "enforce":
            message = f"'enforce' loads files, and parent {parent.name!r} is {parent.mode!r}: a policy can tighten its parents, never loosen them"
            problems.append(("mode", message))


def merge_formats(file: PolicyFile, parents: Sequence[Policy], problems: Problems) -> tuple[str, ...]:
    """What all parents cover, narrowed to the file's own."""
    covered: set[str] | None = None  # None: every format
    for parent in parents:
        if ANY_FORMAT not in parent.formats:
            covered = set(parent.formats) if covered is None else covered & set(parent.formats)
    if file.formats is None:
        if covered is not None and not covered:
            problems.append(("extends", "there is no format that all of the parents cover"))
        return (ANY_FORMAT,) if covered is None else tuple(sorted(covered))
    if covered is not None:
        for place, name in enumerate(file.formats):
            if name not in covered:
                problems.append((f"formats[{place}]", f"{name!r} is more than the parents cover, which is {', '.join(sorted(covered)) or 'nothing'}"))
    return tuple(sorted(file.formats))


def merge_rules(file: PolicyFile, parents: Sequence[Policy], problems: Problems) -> dict[str, Level]:
    """The strictest level that a parent sets, or the file's own where it is no milder."""
    merged: dict[str, Level] = {}
    for code, level in chain.from_iterable(parent.rules.items() for parent in parents):
        if LEVELS.index(level) > LEVELS.index(merged.get(code, LEVELS[0])) or code not in merged:
            merged[code] = level
    for code, level in file.rules.items():
        if code in merged and LEVELS.index(level) < LEVELS.index(merged[code]):
            problems.append((f"rules.{code}", f"{level!r} is milder than {merged[code]!r}, which a parent says; a level is raised and never lowered"))
        merged[code] = level
    return dict(sorted(merged.items()))


def merge_expires(file: PolicyFile, parents: Sequence[Policy]) -> datetime.date | None:
    """The earliest date of them all."""
    dates = [date for date in (file.expires, *(parent.expires for parent in parents)) if date is not None]
    return min(dates, default=None)


def merge_waives(file: PolicyFile, parents: Sequence[Policy]) -> tuple[Waive, ...]:
    """All of them; of two for the same findings the one that holds longer, and of equals the first by policy."""
    kept: dict[tuple[str, str], Waive] = {}
    waives = sorted(chain(file.waives, *(parent.waives for parent in parents)), key=lambda waive: (waive.policy, waive.owner, waive.reason))
    for waive in waives:
        known = kept.get((waive.rule, waive.sha256))
        if known is None or waive.expires > known.expires:
            kept[waive.rule, waive.sha256] = waive
    return tuple(kept[key] for key in sorted(kept))


# ---- limits -----------------------------------------------------------------------------------------------------------------------------


def merge_limits(file: PolicyFile, parents: Sequence[Policy], problems: Problems) -> tuple[Limits, tuple[Raise, ...]]:
    """The limits without any raise, and the raises, in a form that is the same for equal meanings: for one limit, the later ends the lower."""
    limits = DEFAULT_LIMITS
    for parent in parents:
        limits = limits.tightened(parent.limits.as_dict())
    limits = limits.tightened(file.limits)
    bases = limits.as_dict()
    raises: list[Raise] = []
    for name in sorted({entry.limit for entry in chain(file.raises, *(parent.raises for parent in parents))}):
        inherited = _inherited(name, parents, file.limits.get(name))
        own = []
        for place, entry in enumerate(file.raises):
            if entry.limit == name and entry.value <= bases[name]:
                spelled = name.replace("_", "-")
                problems.append((f"raise[{place}].to", f"{entry.value:,} raises nothing: {spelled} is {bases[name]:,} without it; [limits] lowers"))
            elif entry.limit == name:
                own.append(entry)
        raises += _steps([*inherited, *own], bases[name])
    return limits, tuple(raises)


def _inherited(name: str, parents: Sequence[Policy], own: int | None) -> list[Raise]:
    """What the raises of the parents come to: on every day the minimum of what the parents say, and of the child's own `[limits]`."""
    found = []
    for day in sorted({entry.expires for parent in parents for entry in parent.raises if entry.limit == name}):
        holding = [[entry for entry in parent.raises if entry.limit == name and entry.expires >= day] for parent in parents]
        said = [max([parent.limits.as_dict()[name], *(entry.value for entry in held)]) for parent, held in zip(parents, holding, strict=True)]
        lowest = min(said if own is None else [*said, own])
        quoted = min(chain.from_iterable(holding), key=lambda entry: (entry.value, entry.policy, entry.owner, entry.reason))
        found.append(msgspec.structs.replace(quoted, value=lowest, expires=day))
    return found


def _steps(entries: Iterable[Raise], base: int) -> list[Raise]:
    """Those that make a difference on some day, the latest first."""
    kept: list[Raise] = []
    highest = base
    for entry in sorted(entries, key=lambda entry: (entry.expires, entry.value, entry.policy), reverse=True):
        if entry.value > highest:
            kept.append(entry)
            highest = entry.value
    return kept


# ---- provenance -------------------------------------------------------------------------------------------------------------------------


def merge_provenance(file: PolicyFile, parents: Sequence[Policy], base: str | None, problems: Problems) -> Provenance:
    """What the file requires and what its parents require, all of it."""
    own = _written(file.provenance, base, problems) if file.provenance is not None else Provenance()
    required = [parent.provenance for parent in parents]
    if file.provenance is not None and file.provenance.require == "nothing" and any(each.require != "nothing" for each in required):
        problems.append(("provenance.require", "a parent requires more than nothing, and that stays"))
    lists = [each.digests for each in (own, *required) if each.digests is not None]
    digests = frozenset.intersection(*lists) if lists else None
    if lists and not digests and not any(path.startswith("provenance") for path, _ in problems):
        problems.append(("provenance", "there is no digest that this policy and its parents all list, so no file could pass"))
    signers = {each.signer for each in (own, *required) if each.signer is not None}
    if len(signers) > 1:
        problems.append(("provenance", "the policy and its parents require different signers, and a file has one signature"))
    return Provenance(digests=digests, signer=next(iter(signers), None))


def _written(origin: Origin, base: str | None, problems: Problems) -> Provenance:
    """The requirement with the files that it names read."""
    digests = set(origin.digests)
    if origin.lock is not None:
        path = _beside(origin.lock, base, "provenance.lock", problems)
        if path is not None:
            try:
                digests |= {entry.sha256 for entry in read_lock(path).files if entry.sha256}
            except OSError as error:
                problems.append(("provenance.lock", f"{origin.lock!a:.80} cannot be read: {error.strerror or error}"))
            except PolicyFileError as error:
                problems.append(("provenance.lock", f"{origin.lock!a:.80}: {error.problems[0][1]}"))
    signer = None
    if origin.require == "signature":
        key = _key(origin.key, base, problems) if origin.key is not None else None
        signer = Signer(key=key, identity=origin.identity, issuer=origin.issuer)
    return Provenance(digests=frozenset(digests) if origin.digests or origin.lock is not None else None, signer=signer)


def _key(key: str, base: str | None, problems: Problems) -> str | None:
    """The PEM text of a public key."""
    if key.startswith(PEM):
        return key
    path = _beside(key, base, "provenance.key", problems)
    if path is None:
        return None
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        problems.append(("provenance.key", f"{key!a:.80} cannot be read: {error.strerror or error}"))
        return None
    text = data.decode("ascii", "replace")
    if len(data) > MAX_KEY_BYTES or not text.startswith(PEM):
        problems.append(("provenance.key", f"{key!a:.80} is no public key in PEM"))
        return None
    return text


def _beside(name: str, base: str | None, where: str, problems: Problems) -> str | None:
    """The path of a file that a policy names, relative to the policy's own."""
    if base is None and not os.path.isabs(name):
        problems.append((where, f"{name!a:.80} is relative to no file; give an absolute path, or base="))
        return None
    return os.path.join(base or "", name)
