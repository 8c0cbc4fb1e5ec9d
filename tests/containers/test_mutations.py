"""Any bytes give a `Container` or a `CheckpointError`, and an accepted file is accounted for to the last byte (laws 3 and 4)."""

from __future__ import annotations

import io
import random
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.containers.detect import open_container
from safeload.containers.inflate import read_member
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS

from .zipbuild import Part, build, source_of, torch_parts

LIMITS = DEFAULT_LIMITS.replaced({"member_bytes": 1 << 20, "inflated_bytes": 1 << 20})
DEFLATED = build([Part(part.name, part.data, method=8 if part.data else 0) for part in torch_parts()])
SEEDS = [build(torch_parts()), build(torch_parts(), zip64=False), DEFLATED]


def outcome(data: bytes) -> str:
    """The rule that refuses `data`, or what it is. Every member of an accepted file is read."""
    source = source_of(data)
    try:
        container = open_container(source, LIMITS)
        assert container.accounted == (0 if container.format == "torch.legacy" else len(data))
        for member in container.members.values():
            assert len(read_member(source, member, LIMITS)) == member.size
    except CheckpointError as error:
        assert error.rule.startswith("SL") and str(error)
        return error.rule
    return container.format


def mutated(data: bytes, rng: random.Random) -> bytes:
    bent = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(bent))
        match rng.randrange(5):
            case 0:
                bent[at] ^= 1 << rng.randrange(8)
            case 1:
                bent[at] = rng.choice((0, 1, 0x7F, 0xFF))
            case 2:
                bent[at : at + 4] = rng.choice((b"\xff" * 4, b"PK\5\6", b"PK\3\4", bytes(4)))
            case 3:
                del bent[at : at + rng.randrange(1, 40)]
            case _:
                bent[at:at] = bytes(rng.randrange(1, 20))
        if not bent:
            break
    return bytes(bent)


def test_bent_archives_end_in_a_container_or_a_checkpoint_error() -> None:
    rng = random.Random(20240607)
    seen = {outcome(mutated(rng.choice(SEEDS), rng)) for _ in range(6000)}
    assert {"SL004", "SL105", "SL109", "SL110", "SL114", "SL115", "torch.zip"} <= seen


def test_bent_files_of_torch_itself() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: only archives of our own making are bent")
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(40), "empty": torch.zeros(0), "step": 3}, buffer)
    assert outcome(buffer.getvalue()) == "torch.zip"
    rng = random.Random(1950)
    seen = {outcome(mutated(buffer.getvalue(), rng)) for _ in range(4000)}
    seen |= {outcome(buffer.getvalue()[: rng.randrange(len(buffer.getvalue()))]) for _ in range(500)}
    assert {"SL004", "SL105", "SL109", "SL110", "SL114", "SL115", "torch.zip"} <= seen


def test_every_single_truncation() -> None:
    for seed in SEEDS:
        assert outcome(seed) == "torch.zip"
        for length in range(len(seed)):
            assert outcome(seed[:length]) != "torch.zip"


def test_every_single_bit_of_the_records_matters_or_is_named() -> None:
    """A flipped bit is refused, or lands where nothing is read: times, versions, attributes, padding, a name in one place only by both."""
    data = SEEDS[1]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    for at in range(len(data)):
        bent = bytearray(data)
        bent[at] ^= 0x10
        if outcome(bytes(bent)) == "torch.zip":
            container = open_container(source_of(bytes(bent)), LIMITS)
            found = {name: read_member(source_of(bytes(bent)), member, LIMITS) for name, member in container.members.items()}
            assert found == contents, f"byte {at:#x} changed what is read and was not noticed"


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([b"", b"PK\3\4", b"\x80\x02", b"PK\5\6", b"\0" * 8, b"<", b"{", b"version https://git-lfs"]), data=st.binary(max_size=200))
def test_any_bytes_end_in_a_container_or_a_checkpoint_error(head: bytes, data: bytes) -> None:
    assert outcome(head + data)
    assert outcome(head + data + SEEDS[1][-22:])
