"""Compressed files: every codec inflates exactly what it holds, within the budget, and no byte of the file goes unread."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import pickle
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard

import safeload
from safeload.budget import Budget
from safeload.containers.compressed import CODECS, codec_of, inflate
from safeload.errors import CheckpointError, ContainerError, LimitExceeded, UnsupportedFormat
from safeload.limits import DEFAULT_LIMITS, MIB
from safeload.source import ByteSource

from .zipbuild import build, torch_parts

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}
JOINED = [codec.name for codec in CODECS if codec.joined]
RANDOM = np.random.default_rng(0).bytes(3 * MIB + 17)
PICKLE = pickle.dumps({"w": list(range(100))}, 4)


def inflated(data: bytes, **limits: int) -> bytes:
    source = ByteSource(name="x", size=len(data), buffer=data)
    codec = codec_of(data[:64])
    assert codec is not None
    allowed = DEFAULT_LIMITS.replaced(limits)
    inner = inflate(source, codec, allowed, Budget(allowed))
    return inner.read(0, inner.size)


def test_every_codec_is_tested() -> None:
    assert COMPRESS.keys() == {codec.name for codec in CODECS}


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("data", [b"", b"x", PICKLE, RANDOM], ids=["empty", "one", "pickle", "random"])
def test_what_was_compressed_comes_out(name: str, data: bytes) -> None:
    assert inflated(COMPRESS[name](data)) == data


@pytest.mark.parametrize("name", JOINED)
def test_streams_behind_each_other_are_one_file(name: str) -> None:
    assert inflated(COMPRESS[name](b"one") + COMPRESS[name](b"") + COMPRESS[name](RANDOM)) == b"one" + RANDOM


@pytest.mark.parametrize("name", COMPRESS)
def test_bytes_behind_the_stream_are_refused(name: str) -> None:
    for tail in (b"tail", bytes(8), b"\x50\x2a\x4d\x18\4\0\0\0abcd"):  # the last is a skippable frame of zstandard and lz4: nobody reads what it holds
        with pytest.raises(ContainerError, match=f"{len(tail)} bytes follow") as error:
            inflated(COMPRESS[name](PICKLE) + tail)
        assert (error.value.rule, error.value.offset) == ("SL117", len(COMPRESS[name](PICKLE)))


@pytest.mark.parametrize("parts", [[], [b"abc"], [b"a", b"b"], [PICKLE]], ids=["none", "one", "two", "many"])
@pytest.mark.parametrize("more", [1, -1, 196_608, 1 << 29])
def test_a_frame_of_zstandard_holds_the_length_that_it_declares(parts: list[bytes], more: int) -> None:
    """An empty last block ends a stream without a look at the length (zstd_decompress.c, ZSTDds_decodeBlockHeader); inflating at once refuses that."""
    content = b"".join(parts)
    blocks = b"".join(struct.pack("<I", len(part) << 3)[:3] + part for part in parts) + b"\1\0\0"
    head = b"\x28\xb5\x2f\xfd\x80\x38"  # a length of 4 bytes, a window of 128 KiB
    assert inflated(head + struct.pack("<I", len(content)) + blocks) == content
    with pytest.raises(ContainerError) as error:
        inflated(head + struct.pack("<I", (len(content) + more) % (1 << 32)) + blocks)
    assert error.value.rule == "SL117"


@pytest.mark.parametrize("name", COMPRESS)
def test_every_cut_is_noticed(name: str) -> None:
    """Law 4: also one that takes only the checksum away."""
    whole = COMPRESS[name](PICKLE)
    for length in range(16, len(whole)):
        with pytest.raises(ContainerError) as error:
            inflated(whole[:length])
        assert error.value.rule in ("SL004", "SL117")


@pytest.mark.parametrize("name", COMPRESS)
def test_a_changed_byte_is_noticed_or_harmless(name: str) -> None:
    """Every one of these formats carries a checksum but lzma-alone, and what comes out is judged like any file."""
    whole = COMPRESS[name](PICKLE)
    noticed = 0
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        try:
            value = safeload.load(bytes(changed))
        except CheckpointError:
            noticed += 1
        else:
            assert value == {"w": list(range(100))}
    assert noticed > len(whole) * 0.9


@pytest.mark.parametrize("name", COMPRESS)
def test_a_bomb_costs_what_the_budget_allows(name: str) -> None:
    bomb = COMPRESS[name](bytes(64 * MIB))
    with pytest.raises(LimitExceeded, match="inflated_bytes"):
        inflated(bomb, inflated_bytes=8 * MIB, compression_ratio=1 << 40)
    if len(bomb) * DEFAULT_LIMITS.compression_ratio < 64 * MIB:
        with pytest.raises(LimitExceeded, match="compression_ratio"):
            inflated(bomb)


def test_an_honest_ratio_passes() -> None:
    data = bytes(60 * MIB) + np.random.default_rng(1).bytes(MIB)
    assert inflated(COMPRESS["xz"](data)) == data


@pytest.mark.parametrize("format_", [lzma.FORMAT_XZ, lzma.FORMAT_ALONE])
def test_a_dictionary_is_bounded(format_: int) -> None:
    """The header asks for half a GiB of memory, for ten bytes."""
    one = {"id": lzma.FILTER_LZMA2 if format_ == lzma.FORMAT_XZ else lzma.FILTER_LZMA1, "preset": 1, "dict_size": 512 * MIB}
    with pytest.raises(LimitExceeded, match="dictionary_bytes"):
        inflated(lzma.compress(b"0123456789", format_, filters=[one]))


def test_a_zstandard_window_is_bounded() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packer.compress(b"0123456789") + packer.flush()
    assert inflated(data) == b"0123456789"
    with pytest.raises(LimitExceeded, match="dictionary_bytes"):
        inflated(data, dictionary_bytes=MIB)


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("limit", [0, 1, 1 << 31, 1 << 33, 1 << 63, 1 << 70])
def test_the_limit_of_dictionaries_may_be_any_number(name: str, limit: int) -> None:
    """The libraries take some of them only."""
    data = COMPRESS[name](PICKLE)
    if limit > MIB:
        assert inflated(data, dictionary_bytes=limit) == PICKLE
    else:
        with contextlib.suppress(LimitExceeded):
            inflated(data, dictionary_bytes=limit)


@pytest.mark.parametrize("name", COMPRESS)
def test_pieces_that_give_nothing_are_no_end(name: str) -> None:
    """A block is given out whole, and many pieces of the file may make one: nothing came out of the last piece, and the stream goes on."""
    data = b"".join(RANDOM[i << 16 : (i + 1) << 16] * 8 for i in range(40))
    assert inflated(COMPRESS[name](data)) == data


@pytest.mark.parametrize("name", JOINED)
def test_many_short_streams_are_read_once(name: str) -> None:
    """Each is read in small pieces at first, so what lies behind it is not copied again for every one of them."""
    data = COMPRESS[name](PICKLE) + COMPRESS[name](b"") * 2_000
    assert inflated(data) == PICKLE


def test_an_lzma_stream_of_any_dictionary() -> None:
    small = lzma.compress(PICKLE, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 4096}])
    assert safeload.load(small) == {"w": list(range(100))}


@pytest.mark.parametrize("value", [[], [0, "]"], [b""], [None], [2**70], [[[]]]])
@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_never_taken_for_a_compressed_file(value: object, protocol: int) -> None:
    """`]` opens lists and lzma streams."""
    for data in (pickle.dumps(value, protocol), pickle.dumps(value, protocol)[2 * (protocol > 1) :]):
        assert codec_of(data) is None
        assert protocol > 3 or safeload.load(data) == value


def test_a_file_object_that_inflates_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl.gz"
    path.write_bytes(gzip.compress(PICKLE + PICKLE))
    with gzip.open(path) as file:
        assert safeload.load(file) == safeload.load(file) == {"w": list(range(100))}


def test_compression_nests_to_a_depth() -> None:
    data = PICKLE
    for _ in range(DEFAULT_LIMITS.container_depth):
        data = gzip.compress(data, mtime=0)
    assert safeload.scan(data).format == "pickle" + "+gzip" * DEFAULT_LIMITS.container_depth
    assert safeload.load(data)["w"][99] == 99
    report = safeload.scan(gzip.compress(data, mtime=0))
    assert report.verdict == "inconclusive" and report.findings[0].rule == "SL901"


@pytest.mark.parametrize("name", COMPRESS)
def test_a_compressed_checkpoint_loads_scans_and_opens(name: str, tmp_path: Path) -> None:
    """The arrays lie in the inflated memory: writable, and no copy of it."""
    archive = build(torch_parts())
    path = tmp_path / "model.pt"
    path.write_bytes(COMPRESS[name](PICKLE))
    report = safeload.scan(path, digest=True)
    assert (report.verdict, report.format) == ("accepted", f"pickle+{name}")
    assert report.bytes_accounted == report.bytes_total == path.stat().st_size
    assert safeload.load(path) == {"w": list(range(100))}
    assert safeload.scan(COMPRESS[name](archive)).format == f"torch.zip+{name}"


def test_a_tensor_of_a_compressed_file_is_writable_and_has_no_place_in_it(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt.gz"
    path.write_bytes(gzip.compress((Path(__file__).parents[2] / "examples" / "tiny.pt").read_bytes()))
    weight = safeload.load(path)["state_dict"]["embed.weight"]
    weight[0, 0] = 1.0
    with safeload.open(path) as file:
        assert file.info("state_dict.embed.weight").file_offset is None
        assert file.get_tensor("state_dict.embed.weight").shape == (8, 4)


def test_a_payload_in_a_compressed_file_is_named() -> None:
    report = safeload.scan(gzip.compress(b"cposix\nsystem\n(S'true'\ntR."))
    assert report.verdict == "rejected" and report.errors[0].global_name == "posix.system"


def test_a_file_object_is_left_at_its_end() -> None:
    """A place in inflated bytes is none in the file, so several objects in one compressed file are not read one by one."""
    file = io.BytesIO(gzip.compress(PICKLE))
    assert safeload.load(file) == {"w": list(range(100))}
    with pytest.raises(UnsupportedFormat, match="2 objects"):
        safeload.load(io.BytesIO(gzip.compress(PICKLE + PICKLE)))


@pytest.mark.parametrize(("module", "name", "extra"), [("zstandard", "zstd", "safeload[zstd]"), ("lz4.frame", "lz4", "safeload[lz4]")])
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, module: str, name: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    report = safeload.scan(COMPRESS[name](PICKLE))
    assert report.verdict == "inconclusive" and report.findings[0].rule == "SL002" and extra in report.findings[0].message
