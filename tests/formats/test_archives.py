"""TorchScript, torch.package and torch.export archives: the weights come out, the code is never run, and every lie about the weights is refused."""

from __future__ import annotations

import io
import json
import warnings
from typing import Any

import numpy as np
import pytest

import safeload
from safeload.errors import CheckpointError, PolicyRejected
from safeload.opcodes.assemble import assemble
from safeload.values import OpaqueObject
from tests.containers.zipbuild import Part, build

MODULE = """
PROTO 2
GLOBAL __torch__ Net
EMPTY_TUPLE
NEWOBJ
EMPTY_DICT
MARK
BINUNICODE 'w'
GLOBAL torch._utils _rebuild_tensor_v2
MARK
MARK
BINUNICODE 'storage'
GLOBAL torch FloatStorage
BINUNICODE '0'
BINUNICODE 'cpu'
BININT1 2
TUPLE
BINPERSID
BININT1 0
BININT1 2
TUPLE1
BININT1 1
TUPLE1
NEWFALSE
GLOBAL collections OrderedDict
EMPTY_TUPLE
REDUCE
TUPLE
REDUCE
BINUNICODE 'training'
NEWTRUE
BINUNICODE 'sizes'
GLOBAL torch.jit._pickle build_intlist
EMPTY_LIST
MARK
BININT1 3
BININT1 4
APPENDS
TUPLE1
REDUCE
SETITEMS
BUILD
STOP
"""
SYSTEM = "GLOBAL posix mkdir\nBINUNICODE 'archive-payload-ran'\nTUPLE1\nREDUCE\nSTOP\n"
TWO = np.array([1.5, 2.5], "<f4").tobytes()


def script(**members: bytes) -> bytes:
    """A TorchScript archive of one module with one tensor; members by name, replaced or added."""
    named = {
        "data.pkl": assemble(MODULE),
        "data/0": TWO,
        "constants.pkl": assemble("PROTO 2\nEMPTY_TUPLE\nSTOP\n"),
        "code/__torch__.py": b'class Net(Module):\n  __parameters__ = ["w", ]\n',
        "version": b"3\n",
        **members,
    }
    return build([Part(f"m/{name}".encode(), data) for name, data in named.items()])


# ---- TorchScript ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["weights-only", "checkpoint"])
def test_code_is_rejected_where_the_policy_keeps_no_records(policy: str) -> None:
    report = safeload.scan(script(), policy=policy)
    code = next(finding for finding in report.errors if finding.rule == "SL124")
    assert report.verdict == "rejected" and report.format == "torch.script"
    assert (code.member, code.capability) == ("m/code/__torch__.py", "code.exec") and "inspect" in code.message
    assert "__torch__.Net" in {finding.global_name for finding in report.errors}
    with pytest.raises(PolicyRejected):
        safeload.load(script(), policy=policy)


def test_inspect_takes_the_weights_and_notes_the_code() -> None:
    report = safeload.scan(script(), policy="inspect")
    assert report.verdict == "accepted" and [(finding.rule, finding.level) for finding in report.findings if finding.rule == "SL124"] == [("SL124", "note")]
    assert report.bytes_accounted == report.bytes_total
    module = safeload.load(script(), policy="inspect")
    assert isinstance(module, OpaqueObject) and module.type_name == "__torch__.Net"
    assert module.attributes["sizes"] == [3, 4]
    state = safeload.state_dict(module)
    assert list(state) == ["w"] and state["w"].tolist() == [1.5, 2.5]
    with safeload.open(script(), policy="inspect") as file:
        assert file.keys() == ["w"] and file.get_tensor("w").tolist() == [1.5, 2.5]


@pytest.mark.parametrize("name", ["data.pkl", "constants.pkl", "bytecode.pkl", "code/__torch__.py.debug_pkl", "extra/notes", "traced_inputs.pkl"])
def test_a_payload_is_found_in_every_pickle(name: str) -> None:
    report = safeload.scan(script(**{name: assemble("PROTO 2\n" + SYSTEM)}), policy="inspect")
    finding = next(finding for finding in report.errors if finding.rule == "SL301")
    assert (report.verdict, finding.global_name, finding.capability, finding.member) == ("rejected", "posix.mkdir", "fs.write", f"m/{name}")


@pytest.mark.parametrize("stray", [b"evil.pkl", b"n/data.pkl", b"mm/data.pkl"])
def test_a_member_outside_of_the_folder_is_refused(stray: bytes) -> None:
    """torch reads below the first folder alone. What stands beside it is refused, and a payload in it is named all the same."""
    parts = [Part(b"m/data.pkl", assemble(MODULE)), Part(b"m/data/0", TWO), Part(b"m/constants.pkl", assemble("PROTO 2\nEMPTY_TUPLE\nSTOP\n"))]
    parts.append(Part(b"m/version", b"3\n"))
    report = safeload.scan(build([*parts, Part(stray, assemble(SYSTEM))]), policy="inspect")
    assert report.verdict == "rejected"
    assert {(finding.rule, finding.member) for finding in report.errors} >= {("SL120", stray.decode()), ("SL301", stray.decode())}
    harmless = build([*parts, Part(stray, assemble("NONE\nSTOP\n"))])
    report = safeload.scan(harmless, policy="inspect")
    assert (report.verdict, [(finding.rule, finding.member) for finding in report.errors]) == ("inconclusive", [("SL120", stray.decode())])
    with pytest.raises(CheckpointError, match="outside of the archive's folder"):
        safeload.load(harmless, policy="inspect")


def test_what_is_called_code_is_text() -> None:
    report = safeload.scan(script(**{"code/__torch__.py": assemble("PROTO 2\n" + SYSTEM)}), policy="inspect")
    assert report.verdict == "rejected" and {finding.rule for finding in report.errors} == {"SL301", "SL122"}
    assert safeload.scan(script(**{"code/__torch__.py": b"\xff\xfe\0"}), policy="inspect").verdict == "inconclusive"
    assert safeload.scan(script(**{"extra/raw": b"\xff\xfe\0"}), policy="inspect").verdict == "inconclusive"
    assert safeload.scan(script(**{"extra/readme.txt": b"hello"}), policy="inspect").verdict == "accepted"


def test_native_code_is_told_apart() -> None:
    report = safeload.scan(script(**{"extra/lib.so": b"\x7fELF\2\1\1" + bytes(20)}))
    assert {finding.capability for finding in report.errors if finding.rule == "SL124"} == {"code.exec", "native"}


MODEL: dict[str, Any] = {
    "mainModule": {
        "parameters": [{"isBuffer": True, "tensorId": "1", "name": "b"}],
        "submodules": [{"name": "l", "parameters": [{"isBuffer": False, "tensorId": "0", "name": "weight"}]}],
    },
    "tensors": [
        {"dims": ["2"], "offset": "0", "strides": ["1"], "requiresGrad": True, "dataType": "FLOAT", "data": {"key": "tensors/0"}, "device": "cpu"},
        {"dims": ["1"], "offset": "1", "strides": ["1"], "requiresGrad": False, "dataType": "FLOAT", "data": {"key": "tensors/0"}, "device": "cpu"},
    ],
}


def old(model: Any = None, **more: bytes) -> bytes:
    """A TorchScript archive of torch 1.0: `model.json` and two tensors of one storage."""
    text = model if isinstance(model, bytes) else json.dumps(MODEL if model is None else model).encode()
    parts = {"version": b"1\n", "code/m.py": b"op_version_set = 0\n", "tensors/0": TWO, "model.json": text, **more}
    return build([Part(f"m/{name}".encode(), data) for name, data in parts.items()])


def changed(*path: Any, value: Any) -> Any:
    """MODEL with one value replaced."""
    copy = json.loads(json.dumps(MODEL))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def test_model_json_names_the_tensors() -> None:
    value = safeload.load(old(), policy="inspect")
    assert list(value) == ["b", "l.weight"]
    assert value["l.weight"].tolist() == [1.5, 2.5] and value["b"].tolist() == [2.5]
    assert np.shares_memory(value["b"], value["l.weight"])


@pytest.mark.parametrize(
    "model",
    [
        b"[]", b"{}", b"{", b'{"mainModule": 3}', b'{"a": 1, "a": 2}', b'{"mainModule":' * 50_000,
        changed("tensors", 0, "dims", value=["3"]), changed("tensors", 0, "dims", value=["-1"]), changed("tensors", 0, "dims", value=[1.0]),
        changed("tensors", 0, "strides", value=["9"]), changed("tensors", 0, "strides", value=[]), changed("tensors", 0, "offset", value="1"),
        changed("tensors", 0, "offset", value=True), changed("tensors", 0, "dataType", value="STRING"), changed("tensors", 0, "data", value={"key": "../x"}),
        changed("tensors", 0, "data", value={"key": "code/m.py"}), changed("tensors", 0, "data", value={}), changed("tensors", 0, "device", value=3),
        changed("tensors", 0, "device", value="cuda:0"), changed("mainModule", "parameters", 0, "tensorId", value="2"),
        changed("mainModule", "parameters", 0, "tensorId", value="-1"), changed("mainModule", "parameters", 0, "name", value=3),
        changed("mainModule", "submodules", 0, "name", value=None), changed("mainModule", "attributes", value=[{"type": "Tensor", "name": "a", "id": "0"}]),
        changed("mainModule", "parameters", value=[{"tensorId": "0", "name": "x"}, {"tensorId": "0", "name": "x"}]),
    ],
)  # fmt: skip
def test_a_model_json_that_lies_does_not_load(model: Any) -> None:
    report = safeload.scan(old(model), policy="inspect")
    assert report.verdict != "accepted" and {finding.rule for finding in report.errors} & {"SL133", "SL401", "SL404", "SL405"}
    with pytest.raises(CheckpointError):
        safeload.load(old(model), policy="inspect")


# ---- torch.package ----------------------------------------------------------------------------------------------------------------------


def package(pickle: str = MODULE, **more: bytes) -> bytes:
    named = {
        ".data/0.storage": TWO,
        "model/model.pkl": assemble(pickle.replace("PROTO 2", "PROTO 3").replace("__torch__ Net", "tiny Net")),
        "model/notes.txt": b"hello",
        ".data/extern_modules": b"torch\n",
        ".data/version": b"6\n",
        **more,
    }
    return build([Part(f"p/{name}".encode(), data) for name, data in named.items()])


def test_the_resources_of_a_package() -> None:
    assert safeload.scan(package()).verdict == "rejected"
    value = safeload.load(package(), policy="inspect")
    assert list(value) == ["model/model.pkl"]
    assert value["model/model.pkl"].attributes["w"].tolist() == [1.5, 2.5]
    with safeload.open(package(), policy="inspect") as file:
        assert file.keys() == ["model/model.pkl.w"]


def test_the_code_of_a_package_is_rejected_or_noted() -> None:
    data = package(**{"tiny.py": b"class Net: ...\n"})
    assert "SL124" in {finding.rule for finding in safeload.scan(data).errors}
    assert safeload.scan(data, policy="inspect").verdict == "accepted"


def test_a_call_by_persistent_id_is_refused() -> None:
    """torch.package's `reduce_package` runs a function of the package while it is read (PackageImporter.load_pickle, torch #194694)."""
    stream = "PROTO 3\nMARK\nBINUNICODE 'reduce_package'\nGLOBAL tiny make\nEMPTY_TUPLE\nTUPLE\nBINPERSID\nSTOP\n"
    report = safeload.scan(package(stream), policy="inspect")
    assert (report.verdict, report.errors[0].rule) == ("rejected", "SL306") and "reduce_package" in report.errors[0].message


@pytest.mark.parametrize("key", ["NEWTRUE", "BININT -1", "LONG 99999999999999999999999", "NONE", "BINUNICODE '../0'", "BINUNICODE '1'"])
def test_storage_keys_of_every_wrong_shape(key: str) -> None:
    report = safeload.scan(package(MODULE.replace("BINUNICODE '0'", key)), policy="inspect")
    assert report.verdict == "rejected" and report.errors[0].rule in ("SL306", "SL403")
    good = safeload.load(package(MODULE.replace("BINUNICODE '0'", "BININT1 0")), policy="inspect")
    assert good["model/model.pkl"].attributes["w"].tolist() == [1.5, 2.5]


def test_a_payload_in_any_resource_is_found() -> None:
    for name in ("model/other.pkl", "model/data.bin", "model/readme.txt"):
        report = safeload.scan(package(**{name: assemble("PROTO 3\n" + SYSTEM)}), policy="inspect")
        assert report.verdict == "rejected" and "posix.mkdir" in {finding.global_name for finding in report.errors}


# ---- torch.export -----------------------------------------------------------------------------------------------------------------------

META: dict[str, Any] = {
    "dtype": 7, "sizes": [{"as_int": 2}], "requires_grad": True, "device": {"type": "cpu", "index": None}, "strides": [{"as_int": 1}],
    "storage_offset": {"as_int": 0}, "layout": 7,
}  # fmt: skip


def payload(**more: Any) -> dict[str, Any]:
    return {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": {**META, **more.pop("meta", {})}, **more}


def exported(config: Any = None, constants: Any = None, **more: bytes) -> bytes:
    named = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        "models/model.json": b'{"graph_module": {}, "x": 1.5}',
        "data/weights/weight_0": TWO,
        "data/weights/model_weights_config.json": json.dumps({"config": {"l.w": payload()} if config is None else config}).encode(),
        "data/constants/model_constants_config.json": json.dumps({"config": constants or {}}).encode(),
        ".data/version": b"6\n",
        **more,
    }
    return build([Part(f"e/{name}".encode(), data) for name, data in named.items()])


def test_exported_weights_by_their_names() -> None:
    shared = {"a": payload(), "b": payload(meta={"sizes": [{"as_int": 1}], "storage_offset": {"as_int": 1}})}
    for data, names in ((exported(), ["l.w"]), (exported(shared), ["a", "b"])):
        report = safeload.scan(data)
        assert (report.verdict, report.format, report.bytes_accounted) == ("accepted", "torch.export", len(data))
        value = safeload.load(data)
        assert list(value) == ["model"] and list(value["model"]) == names
        assert value["model"][names[0]].tolist() == [1.5, 2.5]
        assert list(safeload.state_dict(value)) == names
    assert np.shares_memory(value["model"]["a"], value["model"]["b"]) and value["model"]["b"].tolist() == [2.5]


def test_pickled_weights_are_files_of_their_own() -> None:
    tensor = MODULE.replace("GLOBAL __torch__ Net\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nMARK\nBINUNICODE 'w'\n", "")
    tensor = tensor[: tensor.index("BINUNICODE 'training'")] + "STOP\n"
    inner = build([Part(b"a/data.pkl", assemble(tensor)), Part(b"a/data/0", TWO), Part(b"a/version", b"3\n")])
    data = exported({"x": payload(path_name="weight_1", use_pickle=True, tensor_meta=None)}, **{"data/weights/weight_1": inner, "data/weights/weight_0": b""})
    assert safeload.load(data)["model"]["x"].tolist() == [1.5, 2.5]
    evil = build([Part(b"a/data.pkl", assemble("PROTO 2\n" + SYSTEM)), Part(b"a/version", b"3\n")])
    for member in ("data/weights/weight_1", "data/sample_inputs/model.pt"):
        config = {"x": payload(path_name="weight_1", use_pickle=True)} if member.endswith("_1") else None
        report = safeload.scan(exported(config, **{member: evil}), policy="inspect")
        finding = next(finding for finding in report.errors if finding.rule == "SL301")
        assert report.verdict == "rejected" and finding.member == f"e/{member}!/a/data.pkl"


@pytest.mark.parametrize(
    "config",
    [
        [], {"a": 3}, {"a": {}}, {"a": payload(path_name="../weights/weight_0")}, {"a": payload(path_name="weight_9")},
        {"a": payload(path_name="model_weights_config.json")}, {"a": payload(path_name=3)}, {"a": payload(tensor_meta=None)},
        {"a": payload(meta={"dtype": 99})},
        {"a": payload(meta={"dtype": True})}, {"a": payload(meta={"dtype": 8})}, {"a": payload(meta={"layout": 1})},
        {"a": payload(meta={"sizes": [{"as_int": 3}]})}, {"a": payload(meta={"sizes": [{"as_int": -1}]})}, {"a": payload(meta={"sizes": [{"as_expr": "s0"}]})},
        {"a": payload(meta={"sizes": [2]})}, {"a": payload(meta={"sizes": [{"as_int": 1 << 63}]})}, {"a": payload(meta={"strides": []})},
        {"a": payload(meta={"strides": [{"as_int": 1 << 40}]})}, {"a": payload(meta={"storage_offset": {"as_int": 1}})},
        {"a": payload(meta={"device": {"type": 3}})}, {"a": payload(meta={"device": "cpu"})}, {"a": payload(meta={"requires_grad": 1})},
        {"a": payload(), "b": payload(meta={"device": {"type": "cuda", "index": 0}})},
    ],
)  # fmt: skip
def test_a_config_that_lies_does_not_load(config: Any) -> None:
    report = safeload.scan(exported(config))
    assert report.verdict != "accepted" and {finding.rule for finding in report.errors} & {"SL133", "SL401", "SL405"}
    with pytest.raises(CheckpointError):
        safeload.load(exported(config))


def test_a_name_is_a_weight_or_a_constant() -> None:
    constant = payload(path_name="constant_0")
    data = exported(None, {"c": constant}, **{"data/constants/constant_0": TWO})
    assert list(safeload.load(data)["model"]) == ["l.w", "c"]
    both = exported(None, {"l.w": constant}, **{"data/constants/constant_0": TWO})
    assert safeload.scan(both).errors[0].rule == "SL133"


def test_a_compiled_model_is_rejected() -> None:
    data = exported(**{"data/aotinductor/model/m.so": b"\x7fELF" + bytes(12)})
    assert [(finding.rule, finding.capability) for finding in safeload.scan(data).errors] == [("SL124", "native")]


# ---- with torch as the oracle -------------------------------------------------------------------------------------------------------------


def test_what_torch_writes() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: archives of its own making are not compared")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.l = torch.nn.Linear(3, 2)
            self.register_buffer("b", torch.arange(4, dtype=torch.bfloat16))
            self.again = self.l

        def forward(self, x: Any) -> Any:
            return self.again(self.l(x)[:, :2].repeat(1, 2)[:, :3]) + self.b.sum()

    net = Net().eval()
    expected = {name: tensor.detach() for name, tensor in net.state_dict().items()}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(net, torch.ones(2, 3)), file)
    state = safeload.state_dict(safeload.load(file.getvalue(), "cpu", policy="inspect"))
    assert state.keys() >= expected.keys()
    file = io.BytesIO()
    torch.export.save(torch.export.export(net, (torch.ones(2, 3),)), file)
    weights = safeload.load(file.getvalue(), "cpu")["model"]
    for found in (state, weights):
        for name, tensor in expected.items():
            if name in found:
                assert found[name].tobytes() == tensor.contiguous().view(torch.uint8).numpy().tobytes(), name
    assert {"b", "l.weight", "l.bias"} <= weights.keys()
