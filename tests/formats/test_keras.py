"""What describes a Keras model is judged as the program that it is: layers of code, modules that would be imported, tools that are no part of a model."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from safeload.formats import keras
from safeload.formats.hdf5 import CHUNK_BYTES
from safeload.limits import MIB
from safeload.opcodes.assemble import assemble
from tests.containers.zipbuild import build, torch_parts

from .test_plain import zipped

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(64)
METADATA = json.dumps({"keras_version": "3.15.1", "date_saved": "2026-11-28@15:52:26"}).encode()
PAYLOAD = assemble("PROTO 2\nGLOBAL posix mkdir\nBINUNICODE 'never'\nTUPLE1\nREDUCE\nSTOP")


def obj(module: str | None, name: str, config: Any = None, registered: str | None = None) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": {} if config is None else config, "registered_name": registered}


DENSE = obj("keras.layers", "Dense", {"units": 2, "activation": "relu", "dtype": obj("keras", "DTypePolicy", {"name": "float32"}), "bias": None})


def model(*layers: Any) -> Any:
    return obj("keras", "Sequential", {"name": "sequential", "layers": [obj("keras.layers", "InputLayer", {"batch_shape": [None, 2]}), DENSE, *layers]})


def archive(config: Any, **members: bytes) -> bytes:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return zipped({"metadata.json": METADATA, "config.json": text, "model.weights.h5": HDF5, **members})


def errors(data: bytes, **options: Any) -> list[tuple[str, str | None, str | None]]:
    return sorted({(each.rule, each.member, each.global_name) for each in safeload.scan(data, **options).errors}, key=lambda each: each[0])


WEIGHTS = ("SL002", "model.weights.h5", None)


def test_a_plain_model_is_named_with_what_is_not_judged() -> None:
    report = safeload.scan(archive(model()))
    assert (report.verdict, report.format) == ("inconclusive", "keras")
    (finding,) = report.errors
    assert (finding.rule, finding.member) == ("SL002", "model.weights.h5") and "the numbers and texts in it are not judged" in finding.message
    with pytest.raises(safeload.UnsupportedFormat, match="HDF5"):
        safeload.load(archive(model()))


LAMBDA = obj("keras.layers", "Lambda", {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}}})
OLD_LAMBDA = {"class_name": "Lambda", "config": {"function": ["4wEA", None, None], "function_type": "lambda", "module": "__main__"}}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (LAMBDA, ["a layer Lambda", "a __lambda__: a Python function as marshalled bytecode"]),
        (OLD_LAMBDA, ["a layer Lambda"]),
        (obj("keras.layers", "TFSMLayer", {"filepath": "/tmp/x"}), ["a layer TFSMLayer: it loads and runs a TensorFlow program"]),
    ],
    ids=["lambda", "old", "tfsm"],
)
@pytest.mark.parametrize("deep", [False, True])
def test_a_layer_of_code_is_named(layer: Any, words: list[str], deep: bool) -> None:
    inner = obj("keras.layers", "TimeDistributed", {"layer": layer}) if deep else layer
    report = safeload.scan(archive(model(inner)))
    assert report.verdict == "rejected"
    found = [each for each in report.errors if each.rule == "SL124"]
    assert [any(word in each.message for each in found) for word in words] == [True] * len(words) and len(found) == len(words)
    assert {(each.member, each.capability) for each in found} == {("config.json", "code.exec")}


@pytest.mark.parametrize("policy", ["weights-only", "checkpoint", "inspect"])
def test_a_module_that_keras_would_import_is_put_to_the_policy(policy: str) -> None:
    """CVE-2025-1550."""
    report = safeload.scan(archive(model(obj("posix", "system", "id"), obj("subprocess", "Popen", {"args": "id"}))), policy=policy)
    assert report.verdict == "rejected"
    found = {each.global_name: (each.rule, each.capability, each.entry) for each in report.errors if each.rule == "SL301"}
    assert found == {"posix.system": ("SL301", "process.exec", "process"), "subprocess.Popen": ("SL301", "process.exec", "process")}
    assert {(use.global_name, use.decision) for use in report.globals} == {("posix.system", "denied"), ("subprocess.Popen", "denied")}


def test_a_function_is_looked_up_by_its_config() -> None:
    eval_ = obj("builtins", "function", "eval", "eval")
    relu = obj("builtins", "function", "relu", "relu")
    own = obj("my.package", "function", "act", "act")
    assert errors(archive(model(obj("keras.layers", "Activation", {"activation": eval_})))) == [WEIGHTS, ("SL301", "config.json", "builtins.eval")]
    assert errors(archive(model(obj("keras.layers", "Activation", {"activation": relu})))) == [WEIGHTS]
    assert errors(archive(model(obj("keras.layers", "Activation", {"activation": own})))) == [WEIGHTS, ("SL301", "config.json", "my.package.act")]


def test_a_class_of_the_users_own_has_no_module_and_is_not_imported() -> None:
    assert errors(archive(model(obj(None, "My", {}, "my>My")))) == [WEIGHTS]


def test_a_policy_may_list_the_users_own_module(tmp_path: Path) -> None:
    policy = tmp_path / "ours.toml"
    policy.write_text(
        'schema = 1\nname = "ours"\nversion = "1"\nsummary = "Ours."\nowner = "us"\nmode = "enforce"\ndefault = "deny"\nextends = ["checkpoint"]\n'
        '[[opaque]]\nid = "ours"\nglobals = ["my.package.*"]\ncapability = "unknown"\nreason = "our layers"\n'
    )
    data = archive(model(obj("my.package", "My"), obj("my.package", "My")))
    assert errors(data) == [WEIGHTS, ("SL301", "config.json", "my.package.My")]
    report = safeload.scan(data, policy=str(policy))
    assert [each.rule for each in report.errors] == ["SL002"]
    assert [(use.global_name, use.decision, use.count) for use in report.globals] == [("my.package.My", "opaque", 2)]


@pytest.mark.parametrize(
    ("module", "name", "capability"),
    [
        ("keras.utils", "get_file", "net"),
        ("keras.src.utils.file_utils", "get_file", "net"),
        ("keras.config", "enable_unsafe_deserialization", "code.exec"),
        ("keras.models", "load_model", "code.deserialize"),
        ("keras.src.utils.python_utils", "func_load", "code.exec"),
    ],
)
@pytest.mark.parametrize("is_function", [False, True])
def test_a_tool_of_keras_is_no_part_of_a_model(module: str, name: str, capability: str, is_function: bool) -> None:
    """CVE-2025-8747."""
    layer = obj(module, "function", name) if is_function else obj(module, name)
    report = safeload.scan(archive(model(layer)))
    assert report.verdict == "rejected"
    assert [(each.global_name, each.capability) for each in report.errors if each.rule == "SL301"] == [(f"{module}.{name}", capability)]


@pytest.mark.parametrize("name", ["StringLookup", "TextVectorization"])
def test_a_vocabulary_from_a_file_is_refused(name: str) -> None:
    """CVE-2025-12058. A list of words, or none, is what Keras writes."""
    report = safeload.scan(archive(model(obj("keras.layers", name, {"vocabulary": "/etc/passwd"}))))
    assert report.verdict == "rejected" and [(each.rule, each.capability) for each in report.errors if each.rule != "SL002"] == [("SL304", "fs.read")]
    for honest in (None, ["a", "b"]):
        assert errors(archive(model(obj("keras.layers", name, {"vocabulary": honest})))) == [WEIGHTS]


def test_the_torch_module_in_a_layer_is_judged_as_a_file() -> None:
    save = build(torch_parts())
    for data, rules in ((save, {"SL002", "SL124"}), (PAYLOAD, {"SL002", "SL124", "SL301"}), (b"\0\1", {"SL001", "SL002", "SL124"})):
        layer = obj("keras.layers", "TorchModuleWrapper", {"module": base64.b64encode(data).decode(), "output_shape": None})
        report = safeload.scan(archive(model(layer)))
        assert report.verdict == "rejected" and {each.rule for each in report.errors} == rules
        assert any(use.global_name == "posix.mkdir" for use in report.globals) == (data is PAYLOAD)


BROKEN = {
    "cut": b'{"module": "keras", "class_name": "Sequential", "config": ',
    "twice": b'{"class_name": "A", "class_name": "Lambda", "config": {}}',
    "nan": b'{"class_name": "A", "config": {"x": NaN}}',
    "latin1": b'{"class_name": "\xe9", "config": {}}',
    "deep": b'{"class_name": "A", "config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_two_readers_could_take_differently_is_not_judged(name: str) -> None:
    assert errors(archive(BROKEN[name])) == [WEIGHTS, ("SL122", "config.json", None)]


def test_what_stands_beside_a_limit_is_named_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    long, evil = obj("m" * 2_000, "X"), obj("posix", "system")
    assert errors(archive(model(long, evil))) == [WEIGHTS, ("SL301", "config.json", "posix.system"), ("SL901", "config.json", None)]
    deep = obj("keras.layers", "TorchModuleWrapper", {"module": base64.b64encode(build(torch_parts())).decode()})
    report = safeload.scan(zipped({"x.keras": archive(model(evil, deep))}), limits={"container_depth": 1})
    assert {(each.rule, (each.member or "").split("!/")[1]) for each in report.errors} == {
        ("SL901", "model.weights.h5"), ("SL901", "config.json"), ("SL301", "config.json"), ("SL124", "config.json")
    }  # fmt: skip
    monkeypatch.setattr(keras, "MAX_CONFIG_BYTES", 100)
    assert "SL901" in {each.rule for each in safeload.scan(archive(model())).errors}


@pytest.mark.parametrize("module", [3, "\u00e9", "=", "AAAAA"])
def test_a_torch_module_that_is_none(module: Any) -> None:
    rules = {each.rule for each in safeload.scan(archive(model(obj("keras.layers", "TorchModuleWrapper", {"module": module})))).errors}
    assert rules >= {"SL002", "SL124"} and (("SL122" in rules) == (module in ("\u00e9", "AAAAA")))


def test_many_objects_become_few_findings() -> None:
    report = safeload.scan(archive(model(*[LAMBDA] * 5_000)))
    found = [each for each in report.errors if each.rule == "SL124"]
    assert len(found) == 2 and all("(5,000 times)" in each.message for each in found)
    many = safeload.scan(archive(model(*(obj(f"m{index}", "X") for index in range(1_500)))))
    assert sum(each.rule == "SL301" for each in many.findings) == 1_000 and many.suppressed_findings == 500


def test_a_description_alone() -> None:
    report = safeload.scan(json.dumps(model(obj("posix", "system"))).encode())
    assert (report.verdict, report.format, [each.rule for each in report.errors]) == ("rejected", "keras", ["SL301", "SL002"])
    report = safeload.scan(json.dumps(model()).encode())
    assert (report.verdict, [each.rule for each in report.errors]) == ("inconclusive", ["SL002"])
    assert safeload.scan(b'{"class_name": 3}').errors[0].rule == "SL003"


def test_names_from_a_description_are_escaped() -> None:
    report = safeload.scan(archive(model(obj("evil\x1b[31m\u202e", "X\n"))))
    (finding,) = [each for each in report.errors if each.rule == "SL301"]
    assert finding.message.isprintable() and "\u202e" not in finding.message


# ---- HDF5 -----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 512, 1_024, 8_192])
def test_hdf5_begins_where_its_specification_says(place: int) -> None:
    report = safeload.scan(bytes(place) + HDF5 if place != 8_192 else b"\n" * place + HDF5)
    assert (report.format, report.verdict, [each.rule for each in report.errors]) == ("hdf5", "inconclusive", ["SL002"])


def test_hdf5_elsewhere_is_none() -> None:
    assert safeload.scan(b"\n" * 768 + HDF5).errors[0].rule == "SL001"


@pytest.mark.parametrize("text", [b'{"class_name": "Lambda", "config"', b'"class_name":"__lambda__"', b'"class_name" :  "TFSMLayer"'])
@pytest.mark.parametrize("at", [100, CHUNK_BYTES - 10, CHUNK_BYTES + 300])
def test_a_layer_of_code_in_hdf5_is_named_once(text: bytes, at: int) -> None:
    report = safeload.scan(HDF5 + bytes(at - len(HDF5)) + text + bytes(50) + text)
    assert report.verdict == "rejected"
    (finding,) = [each for each in report.errors if each.rule == "SL124"]
    assert finding.offset == at + text.index(b'"class_name"')


def test_an_ordinary_layer_in_hdf5_is_not() -> None:
    for text in (b'"class_name": "Dense"', b'"class_name": "TFOpLambda"', b'"name": "Lambda"', b'"class_name": "LambdaCallback"'):
        assert [each.rule for each in safeload.scan(HDF5 + text).errors] == ["SL002"]


def test_hdf5_is_searched_in_little_memory() -> None:
    import tracemalloc

    data = HDF5 + bytes(24 * MIB)
    safeload.scan(HDF5)
    tracemalloc.start()
    safeload.scan(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * MIB


# ---- total ----------------------------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["module", "class_name", "config", "registered_name", "vocabulary", "x"]), inner, max_size=5),
    max_leaves=25,
)
NAMES = st.sampled_from(["Lambda", "__lambda__", "function", "StringLookup", "TorchModuleWrapper", "Dense", "get_file"])


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON | st.fixed_dictionaries({"module": JSON, "class_name": NAMES, "config": JSON}), max_size=4))
def test_any_description_ends_in_a_report(layers: list[Any]) -> None:
    report = safeload.scan(archive(model(*layers)))
    assert report.verdict != "accepted" and all(each.message.isprintable() for each in report.findings)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_text_ends_in_a_report(noise: bytes, at: int) -> None:
    text = json.dumps(model(LAMBDA)).encode()
    assert safeload.scan(archive(text[:at] + noise + text[at:])).verdict != "accepted"


def test_what_keras_itself_writes(tmp_path: Path) -> None:
    theirs = pytest.importorskip("keras", reason="keras is not installed: it is the writer to compare with")
    made = theirs.Sequential([theirs.layers.Input((2,)), theirs.layers.Lambda(lambda x: x + 1)])
    made.save(tmp_path / "x.keras")
    assert {each.rule for each in safeload.scan(tmp_path / "x.keras").errors} == {"SL002", "SL124"}
