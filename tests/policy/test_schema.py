"""The JSON Schema and the reference are those of the table that checks: current, and of one mind with `check_policy` about what one value can show."""

from __future__ import annotations

import datetime
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from safeload.errors import PolicyFileError
from safeload.limits import Limits
from safeload.policy.language import ENTRIES, EXTENDS, PROVENANCE, TOP
from safeload.policy.schema import json_schema
from safeload.policy.shipped import SHIPPED, shipped_path
from safeload.policy.toml import check_policy
from tests.cli.inputs import run
from tests.policy.reference import WRITTEN, limit_docs
from tests.policy.test_toml import ALLOW, DENY, OPAQUE, RAISE, WAIVE, policy

VALIDATOR = Draft202012Validator(json_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def plain(value: Any) -> Any:
    """A TOML document as JSON has it: dates are strings."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_what_is_written_from_the_table_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == WRITTEN[path](), "python -m tests.policy.reference writes it anew"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())
    outcome = run("policy", "schema")
    assert (outcome.code, json.loads(outcome.out)) == (0, json_schema())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_policies_satisfy_it(name: str) -> None:
    VALIDATOR.validate(plain(tomllib.loads(Path(shipped_path(name)).read_text(encoding="utf-8"))))


def test_every_key_says_what_it_does() -> None:
    for keys in (TOP, EXTENDS, PROVENANCE, *ENTRIES.values()):
        for name, key in keys.items():
            assert key.doc.endswith("."), name
            assert key.schema, name
    assert set(limit_docs()) == set(Limits.names())


GOOD: dict[str, dict[str, Any]] = {
    "plain": {},
    "parents": {"extends": ["checkpoint", {"policy": "a.toml", "sha256": "a" * 64}]},
    "all of it": {
        "expires": "2027-03-31", "formats": ["torch.zip"], "limits": {"opcodes": 5}, "rules": {"SL123": "error", "SL110": "error", "SL310": "warning"},
        "provenance": {"require": "sha256", "digests": ["b" * 64]}, "raise": [RAISE], "waive": [WAIVE], "reviewed-by": "me", "reviewed-on": "2026-01-02",
        "allow": [{**ALLOW, "args": ["storage", "bool?"], "expires": "2027-01-01", "evidence": ["x"]}],
    },
    "a key": {"provenance": {"require": "signature", "key": "key.pem"}},
    "an identity": {"provenance": {"require": "signature", "identity": "a", "issuer": "b"}},
}  # fmt: skip
BAD: dict[str, dict[str, Any]] = {
    "no name": {"name": None},
    "a name": {"name": "../x"},
    "a schema": {"schema": 2},
    "a boolean schema": {"schema": True},
    "a default": {"default": "allow"},
    "a mode": {"mode": "warn"},
    "an empty text": {"summary": "  "},
    "an unknown key": {"opaques": []},
    "extends a string": {"extends": "checkpoint"},
    "extends nothing": {"extends": []},
    "a short pin": {"extends": [{"policy": "checkpoint", "sha256": "abc"}]},
    "a nameless pin": {"extends": [{"sha256": "a" * 64}]},
    "a format": {"formats": ["torch.zp"]},
    "a limit": {"limits": {"opcode": 1}},
    "a boolean limit": {"limits": {"opcodes": True}},
    "a limit below zero": {"limits": {"opcodes": -1}},
    "a rule": {"rules": {"SL999": "error"}},
    "a level": {"rules": {"SL123": "fatal"}},
    "a fixed rule": {"rules": {"SL301": "warning"}},
    "a date": {"expires": "31.3.2027"},
    "a requirement": {"provenance": {"require": "trust"}},
    "a wildcard": {"allow": [{**ALLOW, "globals": ["torch.*"]}]},
    "a bare name": {"allow": [{**ALLOW, "globals": ["tensor"]}]},
    "a use": {"allow": [{**ALLOW, "uses": ["calls"]}]},
    "no use": {"allow": [{**ALLOW, "uses": []}]},
    "a constructor": {"allow": [{**ALLOW, "as": "os.system"}]},
    "a harmful allow": {"allow": [{**ALLOW, "capability": "code.exec"}]},
    "a pattern": {"opaque": [{**OPAQUE, "globals": ["acme*"]}]},
    "a harmless deny": {"deny": [{**DENY, "capability": "data.x"}]},
    "a denial that ends": {"deny": [{**DENY, "expires": "2027-01-01"}]},
    "an empty reason": {"opaque": [{**OPAQUE, "reason": ""}]},
    "a limit to raise": {"raise": [{**RAISE, "limit": "opcode"}]},
    "a raise for ever": {"raise": [{key: value for key, value in RAISE.items() if key != "expires"}]},
    "a waiver of a law": {"waive": [{**WAIVE, "rule": "SL301"}]},
    "a waiver for all": {"waive": [{**WAIVE, "sha256": "*"}]},
    "nothing at all": {"allow": None, "opaque": None, "deny": None},
}


@pytest.mark.parametrize("name", GOOD)
def test_what_both_take(name: str) -> None:
    document = policy(**GOOD[name])
    VALIDATOR.validate(document)
    check_policy(document, None, datetime.date(2026, 11, 27))


@pytest.mark.parametrize("name", BAD)
def test_what_both_refuse(name: str) -> None:
    document = policy(**BAD[name])
    with pytest.raises(PolicyFileError):
        check_policy(document, None, datetime.date(2026, 11, 27))
    assert not VALIDATOR.is_valid(document)
