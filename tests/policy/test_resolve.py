"""The laws of merging: denials win, limits take the minimum, order and place decide nothing, and a resolved policy is a fixed point."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safeload.errors import PolicyFileError
from safeload.limits import DEFAULT_LIMITS
from safeload.policy.model import Policy
from safeload.policy.resolve import MAX_ANCESTORS, load_policy, policy_from_dict

ROOT = Path(__file__).resolve().parents[2]
HEAD: dict[str, Any] = {"schema": 1, "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}


def document(name: str = "acme", **keys: Any) -> dict[str, Any]:
    return {**HEAD, "name": name, **keys}


def allow(*names: str, id: str = "a", as_: str = "dtype", uses: tuple[str, ...] = ("reference",), **keys: Any) -> dict[str, Any]:
    return {"id": id, "globals": list(names), "uses": list(uses), "as": as_, "capability": "data.x", "reason": "r", **keys}


def opaque(*names: str, id: str = "o", capability: str = "data.x") -> dict[str, Any]:
    return {"id": id, "globals": list(names), "capability": capability, "reason": "r"}


def deny(*names: str, id: str = "d", capability: str = "process.exec") -> dict[str, Any]:
    return {"id": id, "globals": list(names), "capability": capability, "reason": "r"}


def write(folder: Path, name: str, **keys: Any) -> str:
    """The document as a TOML file called `<name>.toml`; its path."""
    lines, tables = [], []
    for key, value in (document(name) | keys).items():
        if key in ("allow", "opaque", "deny"):
            tables += [f"[[{key}]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in entry.items()) for entry in value]
        elif key == "limits":
            tables.append("[limits]\n" + "".join(f"{k} = {v}\n" for k, v in value.items()))
        else:
            lines.append(f"{key} = {toml(value)}\n")
    path = folder / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines + tables), encoding="utf-8")
    return str(path)


def toml(value: Any) -> str:
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else str(value) if isinstance(value, int) else f'"{value}"'


def problems(of: dict[str, Any] | str) -> list[tuple[str, str]]:
    with pytest.raises(PolicyFileError) as caught:
        policy_from_dict(of) if isinstance(of, dict) else load_policy(of)
    return caught.value.problems


def decisions(policy: Policy) -> dict[str, tuple[str, str]]:
    """What it says about every name that any of its tables mentions, and some others."""
    names = {*policy.allow_exact, *policy.opaque_exact, *policy.deny_exact, *(f"{prefix}probe" for prefix in [*policy.deny_prefix, *policy.opaque_prefix])}
    return {name: (decision.kind, decision.capability) for name in {*names, "acme.Unknown", "x.y.z"} for decision in [policy.decide(name)]}


# ---- what load_policy takes -------------------------------------------------------------------------------------------------------------


def test_a_policy_is_loaded_by_name_by_path_or_taken_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", extends=["weights-only"])
    assert load_policy("checkpoint").name == "checkpoint"
    assert load_policy(path) == load_policy(Path(path))
    assert load_policy(path).file == path
    mine = load_policy(path)
    assert load_policy(mine) is mine


def test_what_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not int"):
        load_policy(5)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        load_policy(str(tmp_path / "none.toml"))
    with pytest.raises(PolicyFileError, match="did you mean 'checkpoint'"):
        load_policy("checkpiont")
    with pytest.raises(PolicyFileError, match=r"ends in \.toml"):
        load_policy("../policies/checkpoint")


def test_nobody_can_change_the_next_ones_policy() -> None:
    first = load_policy("checkpoint")
    first.allow_exact.clear()
    first.deny_exact.clear()
    assert load_policy("checkpoint").decide("collections.OrderedDict").kind == "allowed"
    assert load_policy("checkpoint").decide("builtins.eval").entry is not None


# ---- denials ----------------------------------------------------------------------------------------------------------------------------


def test_a_denial_beats_what_a_parent_allows() -> None:
    policy = policy_from_dict(document(extends=["checkpoint"], deny=[deny("numpy.*", capability="unknown")]))
    assert policy.decide("numpy.dtype").kind == "denied"
    assert "numpy.dtype" not in policy.allow_exact
    assert policy.decide("torch.float32").kind == "allowed"


def test_a_denial_of_one_parent_beats_what_another_allows(tmp_path: Path) -> None:
    strict = write(tmp_path, "strict", deny=[deny("torch.float32")])
    for parents in ([strict, "weights-only"], ["weights-only", strict]):
        assert policy_from_dict(document(extends=parents, formats=["*"])).decide("torch.float32").kind == "denied"


def test_a_denial_is_inherited_by_grandchildren(tmp_path: Path) -> None:
    write(tmp_path, "a", deny=[deny("acme.Bomb")], opaque=[opaque("acme.*")])
    write(tmp_path, "b", extends=["a.toml"])
    policy = load_policy(write(tmp_path, "c", extends=["b.toml"]))
    assert policy.decide("acme.Bomb").kind == "denied"
    assert policy.decide("acme.Bomb.__init__").kind == "denied"
    assert policy.decide("acme.Bomber").kind == "opaque"
    assert policy.parents == ("b",)


@pytest.mark.parametrize(
    "entry", [{"allow": [allow("os.system")]}, {"opaque": [opaque("os.system")]}, {"opaque": [opaque("os.*")]}, {"opaque": [opaque("os.path.*")]}]
)
def test_an_entry_that_a_denial_covers_is_an_error(entry: dict[str, Any]) -> None:
    ((path, message),) = problems(document(extends=["known-danger"], **entry))
    assert path in ("allow[0].globals[0]", "opaque[0].globals[0]")
    assert "is denied by entry 'process' of policy 'known-danger'" in message


def test_an_own_denial_counts_too() -> None:
    ((path, message),) = problems(document(allow=[allow("torch.float32", "torch.int8")], deny=[deny("torch.int8")]))
    assert path == "allow[0].globals[1]"
    assert "would never match" in message


def test_a_denial_cannot_be_undone_by_denying_again_with_less() -> None:
    policy = policy_from_dict(document(extends=["known-danger"], deny=[deny("builtins.eval", capability="unknown")]))
    assert policy.decide("builtins.eval").capability == "code.exec"


def test_a_written_pattern_is_quoted_before_what_only_hangs_on_a_name() -> None:
    for order in (1, -1):
        entries = [deny("acme.B", capability="net"), deny("acme.B.*", id="e", capability="code.exec")][::order]
        policy = policy_from_dict(document(deny=entries))
        assert [policy.decide(name).capability for name in ("acme.B", "acme.B.x")] == ["net", "code.exec"]


def test_denials_in_an_old_spelling() -> None:
    policy = policy_from_dict(document(deny=[deny("__builtin__.reduce", "numpy.core.multiarray.scalar")]))
    assert policy.decide("functools.reduce").kind == "denied"
    assert policy.decide("numpy._core.multiarray.scalar").entry is not None


def test_denying_everything() -> None:
    policy = policy_from_dict(document(extends=["inspect"], deny=[deny("*")]))
    assert not policy.allow_exact
    assert not policy.has_opaque
    assert policy.decide("torch.float32").entry is not None


# ---- allow and opaque add up ------------------------------------------------------------------------------------------------------------


def test_a_child_adds_names() -> None:
    policy = policy_from_dict(document(extends=["weights-only"], allow=[allow("acme.float3", id="acme")], opaque=[opaque("acme.cfg.*", "acme.One")]))
    assert policy.decide("acme.float3").kind == "allowed"
    assert policy.decide("acme.cfg.Config").kind == "opaque"
    assert policy.decide("acme.One").kind == "opaque"
    assert policy.decide("acme.Two").kind == "denied"
    assert policy.has_opaque
    assert not load_policy("weights-only").has_opaque


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"allow": [allow("torch.float32")]}, "allow[0].globals[0]"),
        ({"allow": [allow("acme.X", "torch.Size", as_="size", uses=("call", "reference"))]}, "allow[0].globals[1]"),
        ({"allow": [allow("numpy.core.multiarray.scalar", as_="numpy-scalar", uses=("call",))]}, "allow[0].globals[0]"),
        ({"opaque": [opaque("torch.float32")]}, "opaque[0].globals[0]"),
        ({"opaque": [opaque("*")]}, "opaque[0].globals[0]"),
        ({"opaque": [opaque("dill.*")]}, "opaque[0].globals[0]"),
    ],
)
def test_a_name_of_a_parent_cannot_be_redefined(entry: dict[str, Any], path: str) -> None:
    ((found, message),) = problems(document(extends=["inspect"], **entry))
    assert found == path
    assert "is listed already, by entry" in message
    (table,) = entry.values()
    if len(table[0]["globals"]) == 1 and "core" not in table[0]["globals"][0]:
        assert message.startswith(f"{table[0]['globals'][0]} is listed"), "it is named as it was written"


def test_two_parents_with_two_meanings_cannot_be_merged(tmp_path: Path) -> None:
    one = write(tmp_path, "one", allow=[allow("acme.X")])
    two = write(tmp_path, "two", allow=[allow("acme.X", as_="qscheme")])
    ((path, message),) = problems(document(extends=[one, two]))
    assert path == "extends"
    assert "acme.X means entry 'a' of policy 'one' and entry 'a' of policy 'two'" in message


def test_two_parents_with_one_meaning_can(tmp_path: Path) -> None:
    one = write(tmp_path, "one", allow=[allow("acme.X")], opaque=[opaque("acme.y.*", id="p")])
    two = write(tmp_path, "two", allow=[allow("acme.X", id="b")], opaque=[opaque("acme.y.*", id="q")])
    merged = [policy_from_dict(document(extends=parents)) for parents in ([one, two], [two, one])]
    assert {policy.allow_exact["acme.X"].policy for policy in merged} == {"one"}
    assert {policy.opaque_prefix["acme.y."].policy for policy in merged} == {"one"}
    assert merged[0].sha256 == merged[1].sha256


def test_a_diamond_is_no_conflict() -> None:
    policy = policy_from_dict(document(extends=["checkpoint", "weights-only", "known-danger"]))
    assert decisions(policy) == decisions(load_policy("checkpoint"))


def test_what_one_parent_allows_another_may_keep_opaque(tmp_path: Path) -> None:
    one = write(tmp_path, "one", allow=[allow("acme.X")])
    two = write(tmp_path, "two", opaque=[opaque("acme.X", "acme.*")])
    for parents in ([one, two], [two, one]):
        policy = policy_from_dict(document(extends=parents))
        assert policy.decide("acme.X").kind == "allowed"
        assert policy.decide("acme.Y").kind == "opaque"


# ---- limits, modes, formats -------------------------------------------------------------------------------------------------------------


def test_limits_take_the_minimum(tmp_path: Path) -> None:
    one = write(tmp_path, "one", limits={"opcodes": 100, "members": 50}, opaque=[opaque("a.b")])
    two = write(tmp_path, "two", limits={"opcodes": 70}, opaque=[opaque("a.b")])
    for parents in ([one, two], [two, one]):
        limits = policy_from_dict(document(extends=parents, limits={"opcodes": 90, "members": 10, "nesting-depth": 10**9})).limits
        assert (limits.opcodes, limits.members) == (70, 10)
        assert limits.nesting_depth == DEFAULT_LIMITS.nesting_depth
        assert limits.tensors == DEFAULT_LIMITS.tensors


def test_a_scan_only_policy_has_no_loading_children(tmp_path: Path) -> None:
    gate = write(tmp_path, "gate", mode="scan-only", opaque=[opaque("a.b")])
    ((path, message),) = problems(document(extends=[gate]))
    assert path == "mode"
    assert "never loosen" in message
    assert policy_from_dict({**document(extends=[gate]), "mode": "audit"}).mode == "audit"


def test_formats_are_what_all_parents_cover_and_only_get_fewer(tmp_path: Path) -> None:
    one = write(tmp_path, "one", formats=["torch.zip", "pickle"], opaque=[opaque("a.b")])
    two = write(tmp_path, "two", formats=["torch.zip", "npy"], opaque=[opaque("a.b")])
    three = write(tmp_path, "three", formats=["npz"], opaque=[opaque("a.b")])
    for parents in ([one, two], [two, one], [two, one, "checkpoint"]):
        assert policy_from_dict(document(extends=parents)).formats == ("torch.zip",)
    assert policy_from_dict(document(extends=[one], formats=["pickle"])).formats == ("pickle",)
    assert policy_from_dict(document(opaque=[opaque("a.b")])).formats == ("*",)
    assert problems(document(extends=[one, three])) == [("extends", "there is no format that all of the parents cover")]
    for wider in ("npy", "*"):
        ((path, message),) = problems(document(extends=[one], formats=[wider]))
        assert path == "formats[0]"
        assert message.endswith("is more than the parents cover, which is pickle, torch.zip")


# ---- extends ----------------------------------------------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    write(tmp_path / "base", "a", opaque=[opaque("acme.A")])
    write(tmp_path / "base", "b", extends=["a.toml"])
    path = write(tmp_path / "team", "c", extends=["../base/b.toml"])
    assert load_policy(path).decide("acme.A").kind == "opaque"
    assert policy_from_dict(document(extends=["b.toml"]), base=str(tmp_path / "base")).decide("acme.A").kind == "opaque"


def test_a_mapping_has_no_place_of_its_own() -> None:
    assert problems(document(extends=["b.toml"]))[0] == ("extends[0]", "'b.toml' is relative to no file; give an absolute path, or base=")


@pytest.mark.parametrize(("names", "place"), [(["weights-onyl"], "extends[0]"), (["weights-only", "/no/such/file.toml"], "extends[1]")])
def test_parents_that_are_not_there(names: list[str], place: str) -> None:
    ((path, message),) = problems(document(extends=names))
    assert path == place
    assert message.endswith("cannot be read: No such file or directory") or message.startswith("there is no shipped policy 'weights-onyl'; did you mean")


def test_cycles_are_refused(tmp_path: Path) -> None:
    itself = write(tmp_path, "self", extends=["self.toml"])
    assert problems(itself) == [("extends[0]", "'self.toml' leads back to this policy: a policy cannot extend itself")]
    write(tmp_path, "a", extends=["b.toml"])
    write(tmp_path, "b", extends=["weights-only", "c.toml"])
    write(tmp_path, "c", extends=["a.toml"])
    with pytest.raises(PolicyFileError) as caught:
        load_policy(tmp_path / "a.toml")
    assert caught.value.file.endswith("c.toml")
    os.symlink(tmp_path / "a.toml", tmp_path / "alias.toml")
    assert problems(write(tmp_path, "c", extends=["alias.toml"]))


def test_a_line_of_ancestors_without_end_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "p0", opaque=[opaque("a.b")])
    for number in range(1, MAX_ANCESTORS + 3):
        write(tmp_path, f"p{number}", extends=[f"p{number - 1}.toml"])
    assert load_policy(tmp_path / f"p{MAX_ANCESTORS - 1}.toml").decide("a.b").kind == "opaque"
    with pytest.raises(PolicyFileError, match="policies away from the first"):
        load_policy(tmp_path / f"p{MAX_ANCESTORS}.toml")


def test_what_is_wrong_with_a_parent_is_said_of_the_parent(tmp_path: Path) -> None:
    write(tmp_path, "a", opaque=[opaque("a*")])
    with pytest.raises(PolicyFileError) as caught:
        load_policy(write(tmp_path, "b", extends=["a.toml"]))
    assert caught.value.file.endswith("a.toml")


# ---- the digest -------------------------------------------------------------------------------------------------------------------------

ENTRIES: dict[str, Any] = {
    "allow": [allow("torch.x1", "torch.x2", id="a1"), allow("torch.y", id="a2", as_="size", uses=("call", "reference"), args=["int"])],
    "opaque": [opaque("acme.*", id="o1"), opaque("other.Thing", id="o2")],
    "deny": [deny("acme.bad", id="d1"), deny("acme.bad.*", "evil.*", id="d2", capability="net")],
}


def shuffled(seed: int) -> dict[str, Any]:
    order = random.Random(seed)
    entries = {kind: [{**entry, "globals": order.sample(entry["globals"], len(entry["globals"]))} for entry in listed] for kind, listed in ENTRIES.items()}
    for listed in entries.values():
        order.shuffle(listed)
    keys = list((document() | entries).items())
    order.shuffle(keys)
    return dict(keys)


def test_the_order_of_entries_decides_nothing() -> None:
    policies = [policy_from_dict(shuffled(seed)) for seed in range(20)]
    assert len({policy.sha256 for policy in policies}) == 1
    assert all(decisions(policy) == decisions(policies[0]) for policy in policies)


def test_prose_and_place_are_not_in_the_digest(tmp_path: Path) -> None:
    entry = {**opaque("acme.*"), "reason": "another"}
    one = policy_from_dict(document(opaque=[opaque("acme.*")]))
    two = load_policy(write(tmp_path, "acme", summary="Other.", owner="someone", opaque=[{**entry, "evidence": ["x"]}]))
    assert one.sha256 == two.sha256
    assert one.file is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"}, {"version": "2"}, {"mode": "audit"}, {"formats": ["pickle"]}, {"limits": {"opcodes": 5}},
        {"allow": [allow("torch.x1", "torch.x3", id="a1"), ENTRIES["allow"][1]]},
        {"allow": [ENTRIES["allow"][0], {**ENTRIES["allow"][1], "args": ["int", "int"]}]},
        {"allow": [ENTRIES["allow"][0], {**ENTRIES["allow"][1], "uses": ["call"]}]},
        {"allow": [{**ENTRIES["allow"][0], "as": "qscheme"}, ENTRIES["allow"][1]]},
        {"opaque": [opaque("acme.*", id="o1"), opaque("other.*", id="o2")]},
        {"deny": [ENTRIES["deny"][0]]},
        {"deny": [ENTRIES["deny"][0], {**ENTRIES["deny"][1], "capability": "native"}]},
        {"extends": ["known-danger"]}, {"provenance": {"require": "sha256", "digests": ["a" * 64]}},
    ],
)  # fmt: skip
def test_everything_that_decides_is_in_the_digest(change: dict[str, Any]) -> None:
    assert policy_from_dict(document(**ENTRIES) | change).sha256 != policy_from_dict(document(**ENTRIES)).sha256


def test_which_digests_are_allowed_is_in_the_digest() -> None:
    def digest(*digests: str) -> str:
        return policy_from_dict(document(**ENTRIES, provenance={"require": "sha256", "digests": [digit * 64 for digit in digests]})).sha256

    assert digest("a") != digest("a", "b") == digest("b", "a")


def test_a_denied_entry_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    parent = {"opaque": [opaque("acme.One")]}
    with_it = write(tmp_path, "p", allow=[allow("acme.Two")], **parent)
    child = document(extends=[with_it], deny=[deny("acme.Two")])
    first = policy_from_dict(child).sha256
    write(tmp_path, "p", **parent)
    assert policy_from_dict(child).sha256 == first


def test_the_digest_is_the_same_in_every_process() -> None:
    program = "from safeload.policy.resolve import load_policy; print(*(load_policy(n).sha256 for n in ('checkpoint', 'inspect')))"
    outputs = set()
    for seed in ("1", "2"):
        run = [sys.executable, "-c", program]
        outputs.add(subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}).stdout)
    assert outputs == {f"{load_policy('checkpoint').sha256} {load_policy('inspect').sha256}\n"}


# ---- the fixed point --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["known-danger", "weights-only", "checkpoint", "inspect"])
def test_extending_a_policy_with_nothing_decides_as_it_does(name: str) -> None:
    once = policy_from_dict(document("same", extends=[name]))
    assert decisions(once) == decisions(load_policy(name))
    assert once.limits == load_policy(name).limits
    again = policy_from_dict(document("same", extends=sorted({name, "known-danger"})))
    assert again.sha256 == once.sha256
