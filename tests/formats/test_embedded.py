"""Plain pickles of tensors: storages that stand as bytes in the stream, in every protocol, and what only looks like them."""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
import warnings
from typing import Any

import numpy as np
import pytest
from hostile.hostile import SYSTEM, archive
from policy.listings import outcome, refused

import safeload
from safeload.opcodes.assemble import assemble

from .test_legacy import MAGIC, pack

LOADER = "GLOBAL torch.storage _load_from_bytes\n"
PID = "MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE 'k'\nBINUNICODE 'cpu'\nBININT1 3\nNONE\nTUPLE\nBINPERSID\n"
PAYLOAD = np.arange(3, dtype="<f4").tobytes()


def save(obj: str = PID, keys: tuple[str, ...] = ("k",), payload: bytes | None = None, info: str = "EMPTY_DICT\n") -> bytes:
    """A legacy file of what this listing makes; a storage of three floats unless told."""
    head = pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + assemble(f"PROTO 2\n{info}STOP")
    return head + assemble(f"PROTO 2\n{obj}STOP") + pickle.dumps(list(keys), 2) + (pack("<q", 3) + PAYLOAD if payload is None else payload)


def loading(data: bytes, protocol: int = 3) -> str:
    """The call that stands for a storage, as pickle spells it."""
    if protocol >= 3:
        return f"{LOADER}BINBYTES {data!r}\nTUPLE1\nREDUCE\n"
    return f"{LOADER}GLOBAL _codecs encode\nBINUNICODE {data.decode('latin-1')!a}\nBINUNICODE 'latin1'\nTUPLE2\nREDUCE\nTUPLE1\nREDUCE\n"


def whole(listing: str, protocol: int = 3) -> bytes:
    return assemble(f"PROTO {protocol}\n{listing}STOP")


def tensors_of(stored: str) -> str:
    """A list of two tensors on one storage, which is memoised between them."""
    second = stored + "BINPUT 9\n", "BINGET 9\n"
    made = [
        f"GLOBAL torch._utils _rebuild_tensor_v2\nMARK\n{part}BININT1 {at}\nBININT1 2\nTUPLE1\nBININT1 1\nTUPLE1\nNEWFALSE\n"
        "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE\nREDUCE\n"
        for at, part in enumerate(second)
    ]
    return "EMPTY_LIST\nMARK\n" + "".join(made) + "APPENDS\n"


@pytest.mark.parametrize("protocol", [2, 3])
def test_tensors_on_a_memoised_storage_share_it(protocol: int) -> None:
    data = whole(tensors_of(loading(save(), protocol)), protocol)
    report = safeload.scan(data)
    assert (report.verdict, report.format, report.tensors, report.bytes_accounted) == ("accepted", "pickle", 2, len(data))
    one, other = safeload.load(data)
    assert one.tolist() == [0.0, 1.0] and other.tolist() == [1.0, 2.0] and np.shares_memory(one, other)
    one[1] = 9
    assert other[0] == 9 and safeload.load(data)[1][0] == 1


def test_a_storage_as_a_value_and_lazily() -> None:
    stored = safeload.load(whole(loading(save())))
    assert stored.array.tolist() == [0.0, 1.0, 2.0] and (stored.dtype, stored.size, stored.location) == ("float32", 3, "cpu")
    with safeload.open(whole(tensors_of(loading(save())))) as file:
        assert file.keys() == ["0", "1"] and file.get_tensor("1").tolist() == [1.0, 2.0] and file.info("1").file_offset is None
        assert file.info("0").storage == file.info("1").storage and file.get_slice("0")[1:].tolist() == [1.0]
    two = safeload.load(whole(f"EMPTY_LIST\nMARK\nBINBYTES {save()!r}\nBINPUT 1\nPOP\n" + 2 * f"{LOADER}BINGET 1\nTUPLE1\nREDUCE\n" + "APPENDS\n"))
    assert two[0] is not two[1] and not np.shares_memory(two[0].array, two[1].array)  # the same bytes, called twice, make two storages
    seen = []
    located = save(PID.replace("cpu", "cuda:3"))
    safeload.load(whole(loading(located)), map_location=lambda storage, tag: seen.append(tag) or storage)
    assert seen == ["cuda:3"]


ZIP = archive("EMPTY_LIST\n")
SECOND = loading(save())
NEAR = {
    "no-bytes": (f"{LOADER}EMPTY_TUPLE\nREDUCE\n", "SL304"),
    "text": (f"{LOADER}BINUNICODE 'x'\nTUPLE1\nREDUCE\n", "SL304"),
    "bytearray": (f"{LOADER}BYTEARRAY8 {save()!r}\nTUPLE1\nREDUCE\n", "SL304"),
    "two-arguments": (f"{LOADER}BINBYTES {save()!r}\nNONE\nTUPLE2\nREDUCE\n", "SL304"),
    "another-codec": (f"{LOADER}GLOBAL _codecs encode\nBINUNICODE 'x'\nBINUNICODE 'rot13'\nTUPLE2\nREDUCE\nTUPLE1\nREDUCE\n", "SL304"),
    "empty": (loading(b""), "SL304"),
    "a-pickle": (loading(b"\x80\x02N."), "SL304"),
    "a-zip": (loading(ZIP), "SL304"),
    "a-zip-of-a-storage": (loading(archive(PID.replace("'k'", "'0'").replace("BININT1 3\nNONE", "BININT1 6"))), "SL304"),
    "an-object": (loading(save("EMPTY_LIST\n", (), b"")), "SL304"),
    "a-list-of-a-storage": (loading(save(f"EMPTY_LIST\n{PID}APPEND\n")), "SL304"),
    "a-tensor": (loading(save(tensors_of(PID))), "SL304"),
    "a-storage-behind-a-dropped-one": (loading(save(f"{PID}POP\n{PID}")), "SL304"),
    "a-storage-behind-a-dropped-call": (loading(save(f"GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nPOP\n{PID}")), "SL304"),
    "a-view": (loading(save(PID.replace("NONE", "BINUNICODE 'v'\nBININT1 1\nBININT1 2\nTUPLE3"))), "SL304"),
    "trailing": (loading(save() + b"\0"), "SL207"),
    "two-saves": (loading(save() + save()), "SL207"),
    "cut": (loading(save()[:-1]), "SL004"),
    "no-payload": (loading(save(keys=(), payload=b"")), "SL120"),
    "another-length": (loading(save(payload=pack("<q", 2) + PAYLOAD[:8])), "SL402"),
    "huge-length": (loading(save(PID.replace("BININT1 3", f"LONG1 {1 << 61}"), payload=pack("<q", 1 << 61))), "SL004"),
    "a-name-in-the-header": (loading(save(info="GLOBAL posix mkdir\n")), "SL120"),
    "third-level": (loading(save(SECOND, (), b"")), "SL304"),
    "third-level-as-a-tensor": (loading(save(tensors_of(SECOND), (), b"")), "SL304"),
    "payload-inside": (loading(save(SYSTEM, (), b"")), "SL301"),
    "payload-dropped-inside": (loading(save(f"{SYSTEM}POP\n{PID}")), "SL301"),
    "payload-before-a-break": (loading(save(SYSTEM, (), b"").replace(b"R.", b"R\xff")), "SL301"),
    "payload-in-a-zip": (loading(archive(SYSTEM)), "SL301"),
    "payload-in-a-pickle": (loading(assemble(f"PROTO 2\n{SYSTEM}STOP")), "SL301"),
    "payload-as-the-type": (loading(save(PID.replace("torch FloatStorage", "posix mkdir"))), "SL120"),
    "name-as-a-value": (LOADER, "SL302"),
    "new-and-not-called": (f"{LOADER}BINBYTES {save()!r}\nTUPLE1\nNEWOBJ\n", "SL302"),
    "given-a-state": (f"{loading(save())}EMPTY_DICT\nBUILD\n", "SL305"),
    "given-items": (f"{loading(save())}NONE\nAPPEND\n", "SL305"),
    "called": (f"{loading(save())}EMPTY_TUPLE\nREDUCE\n", "SL303"),
    "beyond": (tensors_of(loading(save())).replace("BININT1 2", "BININT1 4"), "SL401"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR)
@pytest.mark.parametrize("policy", ["checkpoint", "inspect"])
def test_what_only_looks_like_a_storage(name: str, policy: str) -> None:
    listing, rule = NEAR[name]
    if policy == "inspect" and name == "name-as-a-value":
        assert safeload.load(whole(listing), policy=policy).full == "torch.storage._load_from_bytes"  # an inert record, as any name
        return
    refused(whole(listing, 5), rule, policy=policy)
    refused(archive(listing), rule, policy=policy)


def test_weights_only_does_not_list_it() -> None:
    """Nor does torch: whoever loads with another unpickler would unpickle the bytes."""
    data = whole(tensors_of(loading(save())))
    refused(data, "SL301", policy="weights-only")
    assert safeload.get_unsafe_globals_in_checkpoint(data) == ["torch.storage._load_from_bytes"]


def test_the_inner_names_stand_in_the_report() -> None:
    report = safeload.scan(whole(loading(save())))
    assert {use.global_name: use.uses for use in report.globals} == {"torch.storage._load_from_bytes": ("call",), "torch.FloatStorage": ("storage-type",)}
    bad = safeload.scan(whole(loading(save(SYSTEM, (), b""))))
    assert any(finding.global_name == "posix.mkdir" and finding.member and finding.member.startswith("bytes at 0x") for finding in bad.errors)


def test_bytes_named_again_and_again_cost_what_the_budget_allows() -> None:
    stored = save(PID.replace("BININT1 3", "BININT 250000"), payload=pack("<q", 250_000) + bytes(1_000_000))
    again = f"{LOADER}BINGET 1\nTUPLE1\nREDUCE\n" * 40
    data = whole(f"EMPTY_LIST\nMARK\nBINBYTES {stored!r}\nBINPUT 1\nPOP\n{again}APPENDS\n")
    found = safeload.scan(data)
    assert found.verdict == "inconclusive" and {finding.rule for finding in found.errors} == {"SL901"}
    assert safeload.scan(data, limits={"copy_ratio": 50}).verdict == "accepted"


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_cut_file_is_never_accepted(cut: int) -> None:
    data = whole(tensors_of(loading(save())))
    assert safeload.scan(data[: len(data) * cut // 30]).verdict != "accepted"


def test_changed_bytes_give_a_value_or_a_refusal() -> None:
    import random

    rng = random.Random("bytes of an embedded storage")
    for protocol in (2, 3):
        good = whole(tensors_of(loading(save(), protocol)), protocol)
        for _ in range(800):
            data = bytearray(good)
            data[rng.randrange(len(data))] = rng.randrange(256)
            outcome(bytes(data))


# ---- as torch writes them ---------------------------------------------------------------------------------------------------------------


def state() -> dict[str, Any]:
    import torch

    base = torch.arange(6.0).reshape(2, 3)
    return {
        "w": base,
        "again": base,
        "t": base.t(),
        "part": base[:, 1],
        "parameter": torch.nn.Parameter(base + 1),
        "half": base.half(),
        "long": base.long(),
        "bool": base > 2,
        "complex": torch.complex(base, -base),
        "conj": torch.complex(base, -base).conj(),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.filterwarnings("ignore")
def test_every_protocol_of_a_state_dict(protocol: int) -> None:
    pytest.importorskip("torch", reason="torch is not installed: nothing writes such a file")
    made = state()
    data = pickle.dumps(made, protocol)
    assert safeload.scan(data).verdict == "accepted"
    found, oracle = safeload.load(data), pickle.loads(data)
    assert list(found) == list(made) and found["w"] is found["again"]
    for key, wanted in oracle.items():
        assert np.array_equal(found[key], wanted.detach().resolve_conj().numpy()), key
        assert found[key].dtype == wanted.detach().resolve_conj().numpy().dtype and found[key].shape == tuple(wanted.shape)
    assert found["t"].strides == (4, 12)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.filterwarnings("ignore")
def test_every_protocol_of_a_module_and_an_optimizer(protocol: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing writes such a file")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    found = safeload.load(pickle.dumps({"model": module.state_dict(), "optimizer": optimizer.state_dict()}, protocol))
    assert isinstance(found["model"], collections.OrderedDict) and found["model"]._metadata["1"] == {"version": 2}
    for key, wanted in module.state_dict().items():
        assert np.array_equal(found["model"][key], wanted.numpy())
    assert np.array_equal(found["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"].numpy())
    whole_module = safeload.load(pickle.dumps(module, protocol), policy="inspect")
    weights = safeload.state_dict(whole_module)
    assert {key: value.tolist() for key, value in weights.items()} == {key: value.tolist() for key, value in module.state_dict().items()}


@pytest.mark.filterwarnings("ignore")
def test_dtypes_that_torch_itself_cannot_read_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing writes such a file")
    for dtype in ("bfloat16", "float8_e5m2", "float8_e4m3fn", "uint16", "uint32"):
        made = torch.arange(6.0).to(getattr(torch, dtype))
        assert safeload.load(pickle.dumps(made, 2)).astype(np.float32).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(AttributeError):
        pickle.loads(pickle.dumps(torch.arange(6.0).to(torch.uint16), 2))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("protocol", range(6))
def test_sparse_and_quantised_tensors_in_plain_pickles(protocol: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing writes such a file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse, quantised = torch.eye(3).to_sparse(), torch.quantize_per_tensor(torch.arange(4.0), 0.5, 1, torch.quint8)
    found = safeload.load(pickle.dumps([sparse, sparse.to_dense().to_sparse_csr(), quantised], protocol))
    assert np.array_equal(found[0].dense(), np.eye(3)) and np.array_equal(found[1].dense(), np.eye(3))
    assert found[2].dequantize().tolist() == [0.0, 1.0, 2.0, 3.0]
    if not protocol:
        return  # it escapes zeros
    bent = pickle.dumps(torch.sparse_coo_tensor(torch.tensor([[7]]), torch.tensor([1.0]), (9,)), protocol)
    assert safeload.scan(bent.replace(b"\x07" + bytes(7), b"\x0a" + bytes(7))).verdict != "accepted"


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_alone_load_as_before(protocol: int) -> None:
    made = {"a": np.arange(3), "b": np.float32(1.5), "c": [1, "x", None]}
    found = safeload.load(pickle.dumps(made, protocol))
    assert found["a"].tolist() == [0, 1, 2] and found["b"] == 1.5 and found["c"] == [1, "x", None]


def test_what_pickle_writes_is_what_the_listings_here_spell() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing writes such a file")
    out = io.StringIO()
    pickletools.dis(pickle.dumps(torch.ones(2), 2), out)
    assert "torch.storage _load_from_bytes" in out.getvalue() and "_codecs encode" in out.getvalue()
