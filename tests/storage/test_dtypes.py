"""The table of dtypes against torch's own, where torch is installed, and against itself."""

from __future__ import annotations

import pytest
from hostile.hostile import archive, ints, storage, tensor
from policy.listings import outcome, paired, refused, tensor_v3

from safeload.storage.dtypes import ALIASES, DTYPES, STORAGE_TYPES, dtype_named

FLAGS = ["", paired(neg="NEWTRUE\n"), paired(conj="NEWTRUE\n")]


def test_storages_and_aliases_name_rows_of_the_table() -> None:
    assert set(STORAGE_TYPES.values()) <= set(DTYPES)
    assert set(ALIASES.values()) <= set(DTYPES)
    assert all(dtype.swap_bytes and dtype.itemsize % dtype.swap_bytes == 0 for dtype in DTYPES.values())


@pytest.mark.parametrize("spelled", ["float33", "", "torch.", "torch.torch.float32", "Float32", "float32 ", "os.float32"])
def test_nothing_else_is_a_dtype(spelled: str) -> None:
    assert dtype_named(spelled) is None


def test_item_sizes_and_aliases_are_torchs() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    for name, dtype in DTYPES.items():
        theirs = getattr(torch, name, None)
        if theirs is not None:
            assert theirs.itemsize == dtype.itemsize, name
            assert theirs.is_floating_point == (dtype.family == "float") or dtype.family == "bits", name
            assert theirs.is_complex == (dtype.family == "complex"), name
    for alias, name in ALIASES.items():
        assert getattr(torch, alias) is getattr(torch, name)


@pytest.mark.parametrize("flags", FLAGS, ids=["plain", "neg", "conj"])
@pytest.mark.parametrize("name", sorted(DTYPES))
def test_every_dtype_loads_with_every_lazy_flag(name: str, flags: str) -> None:
    """Bit patterns of every kind; a flag that means nothing for a dtype is refused by scan or does nothing."""
    nbytes = DTYPES[name].itemsize * 4
    outcome(archive(tensor_v3(name, nbytes, ints(4) + ints(1), flags=flags), {"0": bytes(range(1, nbytes + 1))}))


@pytest.mark.parametrize("kind", sorted(set(STORAGE_TYPES) - {"TypedStorage"}))  # which the policy does not list
def test_every_storage_type_loads_as_a_tensor_and_as_a_value(kind: str) -> None:
    nbytes = DTYPES[STORAGE_TYPES[kind]].itemsize * 4
    stored = storage(kind, numel="BININT1 4")
    assert outcome(archive(tensor(ints(4), ints(1), stored=stored), {"0": bytes(nbytes)})).shape == (4,)
    assert outcome(archive(stored, {"0": bytes(nbytes)})).nbytes == nbytes
    refused(archive(stored, {"0": bytes(nbytes + 1)}), "SL402")
