"""Every key of the policy language, in one table: how its value is checked, what JSON Schema says of it, and what it does.

`toml` checks by it, `schema` and the reference in the docs are generated from it. Refuses nothing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safeload.findings import BY_CODE, GRADED, WAIVABLE
from safeload.limits import Limits
from safeload.policy import fields
from safeload.policy.contracts import CONTRACTS
from safeload.policy.fields import Key, Problems

MAX_WAIVER_DAYS = 366  # a waiver is looked at again within a year


def extends(value: Any, path: str, problems: Problems) -> tuple[tuple[str, str | None], ...]:
    """An array of names, paths, or tables `{policy, sha256}`: (policy, pin) each."""
    if type(value) not in (list, tuple):
        problems.append((path, f"expected an array of strings or tables, found {fields.kind(value)}"))
        return ()
    if not value:
        problems.append((path, "is empty"))
    found: list[tuple[str, str | None]] = []
    for place, item in enumerate(value):
        where = f"{path}[{place}]"
        if isinstance(item, Mapping):
            parent = fields.table(item, where, EXTENDS, problems)
            name, pin = parent.get("policy"), parent.get("sha256")
        else:
            name, pin = fields.path_text(item, where, problems), None
        if name and any(name == other for other, _ in found):
            problems.append((where, f"{name!a:.80} stands here twice"))
        found.append((name or "", pin))
    return tuple(found)


def provenance(value: Any, path: str, problems: Problems) -> dict[str, Any]:
    """`[provenance]`: the requirement, and what it is held against."""
    found = fields.table(value, path, PROVENANCE, problems)
    require, given = found.get("require"), set(value) & set(PROVENANCE) if isinstance(value, Mapping) else set()
    has_list, has_identity = bool(given & {"digests", "lock"}), {"identity", "issuer"} <= given
    if require == "nothing" and given > {"require"}:
        problems.append((path, f"'nothing' is required, so {', '.join(sorted(given - {'require'}))} would never be looked at"))
    if require == "sha256":
        if not has_list:
            problems.append((path, "a list of digests is missing: digests = [...], or lock = the path of a lock file"))
        if given & {"key", "identity", "issuer"}:
            problems.append((f"{path}.require", "a key or an identity is only looked at where 'signature' is required"))
    if require == "signature" and ("key" in given) == has_identity:
        problems.append((path, "who signs is not said: key = the path of a public key, or identity and issuer"))
    elif require == "signature" and len(given & {"identity", "issuer"}) == 1:
        problems.append((path, "identity and issuer are only meaningful together"))
    return found


def _entry_list(value: Any, path: str, problems: Problems) -> None:
    """The entries themselves are checked by `toml`."""
    if type(value) not in (list, tuple):
        problems.append((path, f"expected an array of tables ([[{path}]]), found {fields.kind(value)}"))


# ---- JSON Schema of single values -------------------------------------------------------------------------------------------------------

_TEXT = {"type": "string", "pattern": r"\S"}
_IDENTIFIER = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
_DATE = {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_DIGEST = {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}
_NAME = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$"}
_PATTERN = {"type": "string", "pattern": r"^(\*|[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\.\*|[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+)$"}
_HARMLESS = {"type": "string", "pattern": "^data\\.[A-Za-z0-9]+(-[A-Za-z0-9]+)*$"}
_HARMFUL = {"enum": list(fields.HARMFUL)}
_LIMITS = [name.replace("_", "-") for name in Limits.names()]
_NUMBER = {"type": "integer", "minimum": 0}


def _some(item: dict[str, Any], least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least, "uniqueItems": True}


def _words(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


# ---- the tables -------------------------------------------------------------------------------------------------------------------------

_REVIEW = {
    "reviewed-by": Key(fields.text, _TEXT, "Who looked at this last. Shown in traces; decides nothing.", required=False),
    "reviewed-on": Key(fields.date, _DATE, "When. Decides nothing.", required=False),
}
_EXPIRES = Key(
    fields.date,
    _DATE,
    "The last day (UTC) on which the entry holds. From the day after, its names are refused (SL321), also where a wider entry would cover them. "
    "Default: it never expires.",
    required=False,
)
_ID = Key(fields.identifier, _IDENTIFIER, "The name of the entry in reports: letters, digits, `.`, `_`, `-`. Each stands once in a file.")
_REASON = Key(fields.text, _TEXT, "Why this is right. Shown in traces; an empty one is refused.")
_EVIDENCE = Key(fields.some_texts, _some(_TEXT), "Where the reason can be checked: source files, links. Decides nothing.", required=False)
_OWNER = Key(fields.text, _TEXT, "Who answers for it.")
_PATTERNS = Key(fields.name_patterns, _some(_PATTERN), "Full names, `package.*` (everything below a package) or `*`.")

TOP: dict[str, Key] = {
    "schema": Key(fields.schema, {"const": 1}, "The version of this language: `1`."),
    "name": Key(fields.identifier, _IDENTIFIER, "What reports call the policy."),
    "version": Key(fields.text, _TEXT, "Yours to choose; reports show it."),
    "summary": Key(fields.text, _TEXT, "One sentence: what the policy lets through."),
    "owner": Key(fields.text, _TEXT, "Who answers for the policy."),
    "mode": Key(
        fields.one_of(*fields.MODES),
        _words(*fields.MODES),
        "`enforce`: `scan` gates and `load` loads what is accepted. `scan-only`: `scan` gates, nothing loads (SL320). "
        "`audit`: verdicts are reported, `scan` exits 0 whatever they are, and nothing loads: for trying a policy out. "
        "What extends a policy that loads nothing loads nothing either.",
    ),
    "default": Key(
        fields.one_of("deny"), {"const": "deny"}, "What becomes of a name that no entry lists. `deny` is the only value; it is written out for readers."
    ),
    "extends": Key(
        extends,
        {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [_TEXT, {"$ref": "#/$defs/extends"}]},
        },
        "Parents, whose entries are taken over: names of shipped policies, paths ending in `.toml` (relative to this file), or tables "
        "`{policy, sha256}`. Their order decides nothing. Default: none.",
        required=False,
    ),
    "formats": Key(
        fields.formats,
        _some({"enum": [*fields.FORMATS, fields.ANY_FORMAT]}),
        "The formats that the policy covers, by content; a file of another one is rejected (SL322), and so is one that holds such a file. "
        "Compression does not matter. No more than all parents cover. "
        'Default: what all parents cover, without parents `["*"]`.',
        required=False,
    ),
    "expires": Key(
        fields.date,
        _DATE,
        "The last day (UTC) on which the policy holds. From the day after, it and every policy that extends it reject every file (SL321). "
        "Default: it never expires.",
        required=False,
    ),
    "limits": Key(
        fields.limits,
        {"type": "object", "additionalProperties": False, "properties": dict.fromkeys(_LIMITS, _NUMBER)},
        "Bounds on what one file may ask for, each a whole number. The lowest of the default, the parents and this counts. Default: the parents'.",
        required=False,
    ),
    "rules": Key(
        fields.levels,
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {code: _words(*fields.LEVELS) if code in GRADED else _words("error") for code in sorted(BY_CODE)},
        },
        f"Level of a rule by its code: `note`, `warning`, `error`. Only {', '.join(sorted(GRADED))} can be graded; every other rule carries a law and is an "
        "error. What a parent grades cannot be lowered. Default: the parents' levels, else the rule's own.",
        required=False,
    ),
    "provenance": Key(provenance, {"$ref": "#/$defs/provenance"}, "Where a file has to come from. What a parent requires stays required.", required=False),
    "allow": Key(_entry_list, {"type": "array", "items": {"$ref": "#/$defs/allow"}}, "Names that mean one of safeload's constructors.", required=False),
    "opaque": Key(_entry_list, {"type": "array", "items": {"$ref": "#/$defs/opaque"}}, "Names that become inert records.", required=False),
    "deny": Key(
        _entry_list, {"type": "array", "items": {"$ref": "#/$defs/deny"}}, "Names that nothing can let through here or in what extends this.", required=False
    ),
    "raise": Key(_entry_list, {"type": "array", "items": {"$ref": "#/$defs/raise"}}, "The one way to loosen an inherited limit.", required=False),
    "waive": Key(_entry_list, {"type": "array", "items": {"$ref": "#/$defs/waive"}}, "Findings about one file that do not decide.", required=False),
    **_REVIEW,
}

ENTRIES: dict[str, dict[str, Key]] = {
    "allow": {
        "id": _ID,
        "globals": Key(fields.exact_names, _some(_NAME), "Full names, `module.name`, exactly; no wildcards. Old and new spellings of one name are the same."),
        "uses": Key(
            fields.uses,
            _some(_words(*fields.USES)),
            "What may be done with them: `reference` (stand as a value), `call`, `new` (instantiate), `build` (be given a state), `storage-type`.",
        ),
        "args": Key(
            fields.shapes,
            {"type": "array", "items": _TEXT},
            "Shapes of the arguments of a call, narrower than the constructor's own; `[]` means none. Default: the constructor's own alone.",
            required=False,
        ),
        "as": Key(fields.constructor, _words(*sorted(CONTRACTS)), "The constructor of safeload's closed table that gives the names their meaning."),
        "capability": Key(fields.capability(harmless=True, harmful=False), _HARMLESS, "What the names give: `data.` and a word."),
        "reason": _REASON,
        "evidence": _EVIDENCE,
        "expires": _EXPIRES,
        **_REVIEW,
    },
    "opaque": {
        "id": _ID,
        "globals": _PATTERNS,
        "capability": Key(
            fields.capability(harmless=True, harmful=True),
            {"anyOf": [_HARMLESS, _HARMFUL]},
            "What the names give (`data.` and a word), or what they could do under a loader that imports them.",
        ),
        "reason": _REASON,
        "evidence": _EVIDENCE,
        "expires": _EXPIRES,
        **_REVIEW,
    },
    "deny": {
        "id": _ID,
        "globals": _PATTERNS,
        "capability": Key(fields.capability(harmless=False, harmful=True), _HARMFUL, "What the names could do."),
        "reason": _REASON,
        **_REVIEW,
    },
    "raise": {
        "limit": Key(fields.limit_name, _words(*_LIMITS), "The limit, as `[limits]` spells it."),
        "to": Key(fields.whole_number, _NUMBER, "What it is raised to. Above what is inherited and what `[limits]` of the same file says."),
        "reason": _REASON,
        "owner": _OWNER,
        "expires": Key(fields.date, _DATE, "The last day (UTC) on which the limit is raised. After it, the inherited one counts again."),
    },
    "waive": {
        "rule": Key(
            fields.waivable,
            _words(*sorted(WAIVABLE)),
            f"The rule, by its code. Only {', '.join(sorted(WAIVABLE))} can be waived: what the others find means that a file was not read, or may not be "
            "built.",
        ),
        "sha256": Key(fields.sha256, _DIGEST, "The file: the sha256 of all of its bytes. A checkpoint of several files cannot be waived anything."),
        "reason": _REASON,
        "owner": _OWNER,
        "expires": Key(
            fields.date, _DATE, f"The last day (UTC) on which the findings are waived: at most {MAX_WAIVER_DAYS} days from the day on which the policy is read."
        ),
    },
}

EXTENDS: dict[str, Key] = {
    "policy": Key(fields.path_text, _TEXT, "The name of a shipped policy, or a path ending in `.toml`."),
    "sha256": Key(
        fields.sha256,
        _DIGEST,
        "The digest of the resolved parent, as reports show it. Another one is an error: what the parent decides has changed. Default: any.",
        required=False,
    ),
}

PROVENANCE: dict[str, Key] = {
    "require": Key(
        fields.one_of(*fields.REQUIREMENTS),
        _words(*fields.REQUIREMENTS),
        "`nothing`; `sha256`: the file's digest is one of a list; `signature`: an OpenSSF model signature, beside the file under its name and `.sig`, "
        "by who is named here. What does not hold is SL323.",
    ),
    "digests": Key(fields.digests, _some(_DIGEST), "The sha256 of the files that may pass.", required=False),
    "lock": Key(fields.path_text, _TEXT, "The path of a lock file (`safeload lock`), relative to this file: its digests count too.", required=False),
    "key": Key(fields.path_text, _TEXT, "The path of a public key in PEM, relative to this file, or the PEM itself.", required=False),
    "identity": Key(fields.text, _TEXT, "Whose Sigstore certificate must have signed, exactly.", required=False),
    "issuer": Key(fields.text, _TEXT, "Which OpenID Connect issuer must have vouched for the identity, exactly.", required=False),
}

NEVER: dict[str, dict[str, str]] = {"deny": {"expires": "a denial does not expire; take the entry away, under review, where it is wrong"}}
"""Keys that an entry does not have, and why: better than `unknown key`."""
