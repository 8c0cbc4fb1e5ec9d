"""The first bytes of a file become the name of what it is and what to do with it, for everything that is no checkpoint this version reads.

One visible table of signatures, and a few tests that need more than a prefix. The order matters where signatures are also pickle opcodes: `]` opens
both a pickle and an lzma stream, `\\x89` both a pickle and a PNG. A file taken for something else here is not loaded, never accepted.
"""

from __future__ import annotations

import codecs
import re

import msgspec

from safeload.containers.zip_names import shown

HEAD_BYTES = 1 << 12  # what the tests look at; a tar header has 512
SAFETENSORS_HEADER_BYTES = 100_000_000  # longest header, safetensors/src/tensor.rs
TAR_BLOCK_BYTES = 512
TAR_CHECKSUM = slice(148, 156)  # POSIX ustar; filled with blanks while summing
NPY_MAGIC = b"\x93NUMPY"
GGUF_MAGIC = b"GGUF"
SEVENZIP_MAGIC = b"7z\xbc\xaf\x27\x1c"
LEAST_TEXT = 4  # letters: shorter ones say too little
LFS_PREFIX = b"version https://git-lfs"


class Sniffed(msgspec.Struct, frozen=True):
    """`what` the file is, the `hint` what to do, and the rule: SL002 recognised and not read, SL003 no checkpoint at all, SL006 a pointer to one."""

    what: str
    hint: str
    rule: str = "SL002"
    is_json: bool = False
    reason: str = "and this version does not read it yet"  # said of SL002 alone


_UNPACK = "unpack it first"
NAMED = "which safeload names and does not judge"  # said of what is recognised by its structure alone
_AGAIN = "download it again, and look at what the server really sent"

SIGNATURES: tuple[tuple[bytes, Sniffed], ...] = (
    (b"PYTORCH1", Sniffed("a PYTORCH1 container of the torch 1.0 previews", "no later torch reads it either; save it again with the torch that wrote it")),
    (b"\x89HDF\r\n\x1a\n", Sniffed("an HDF5 file", "read it with h5py")),
    (b"ZF0x", Sniffed("a compressed pickle by joblib before 0.10", "load it with joblib and save it again; its arrays may stand in files beside it")),
    (b"GGUF", Sniffed("a GGUF file", "read it with the gguf package")),
    (b"7z\xbc\xaf\x27\x1c", Sniffed("a 7z archive", _UNPACK)),
    (b"ftrt", Sniffed("an engine of TensorRT", "it is native code for one kind of GPU", reason=NAMED)),
    (b"lmgg", Sniffed("a GGML file", "it came before GGUF; convert it with the llama.cpp of 2023", reason=NAMED)),
    (b"fmgg", Sniffed("a GGMF file", "it came before GGUF; convert it with the llama.cpp of 2023", reason=NAMED)),
    (b"tjgg", Sniffed("a GGJT file", "it came before GGUF; convert it with the llama.cpp of 2023", reason=NAMED)),
    (b"B\0C\0N\0", Sniffed("a CNTK model", "read it with CNTK", reason=NAMED)),
    (b"{L\0\0\0\0\0\0\0\x07learner", Sniffed("an XGBoost model", "read it with xgboost", reason=NAMED)),
    (b"tree\nversion=", Sniffed("a LightGBM model", "read it with lightgbm", reason=NAMED)),
    (b"Rar!\x1a\x07", Sniffed("a RAR archive", _UNPACK)),
    (b"\x89PNG\r\n\x1a\n", Sniffed("a PNG image", "it is no checkpoint", "SL003")),
    (b"\xff\xd8\xff", Sniffed("a JPEG image", "it is no checkpoint", "SL003")),
    (b"%PDF-", Sniffed("a PDF document", "it is no checkpoint", "SL003")),
    (b"\x7fELF", Sniffed("an ELF program or library", "it is no checkpoint", "SL003")),
    (b"SQLite format 3\0", Sniffed("an SQLite database", "it is no checkpoint", "SL003")),
    (b"ARROW1\0\0", Sniffed("an Arrow file", "read it with pyarrow", "SL003")),
    (b"MZ\x90\0", Sniffed("a Windows program or library", "it is no checkpoint", "SL003")),
    (b"PK\5\6", Sniffed("an empty zip archive", "it holds nothing; save the checkpoint again", "SL003")),
)

# Patterns, compiled where they are asked first: most files are zip archives, and none of these is for them.
_MARKUP = rb"(?i:<(?:!doctype|!--|html|head|body|\?xml|[a-z][a-z0-9:]*[ >/]))"
_OPENVINO = rb"<net [^<>]*version=[\"'][0-9]+[\"'][^<>]*>\s*<layers>"
_JSON = rb"\{\s*[\"}]|\[\s*[\[{\"\]0-9tfn-]"
_YAML = rb"c[A-Za-z0-9_-]*:(?: [^\n]*)?\r?\n"  # channels: ... as a stream it names a module with a colon, which no import finds
_LFS = rb"oid sha256:([0-9a-f]{64})\r?\nsize ([0-9]{1,20})\r?\n"
_STR8 = 0xD9
_MSGPACK = rb"(?s:(?:[\x81-\x8f]|\xde..)([\xa1-\xbf]|\xd9[\x20-\xff])([A-Za-z_][A-Za-z0-9_./-]*))"
"""A map of up to 65,535 pairs, and the length and letters of a text (msgpack's spec.md)."""
_LONG_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # LONG1 of torch's magic number 0x1950A86A20F9469CFC6C, STOP
_LEGACY = tuple(
    [bytes([0x80, protocol]) + _LONG_MAGIC for protocol in range(2, 6)]
    + [bytes([0x80, protocol, 0x95, len(_LONG_MAGIC), 0, 0, 0, 0, 0, 0, 0]) + _LONG_MAGIC for protocol in (4, 5)]
    + [b"L%d%s\n." % (0x1950A86A20F9469CFC6C, end) for end in (b"L", b"")]
)


def sniff(head: bytes, size: int) -> Sniffed | None:
    """What a file of `size` bytes with this `head` (its first `HEAD_BYTES`) is, None where nothing here recognises it."""
    for signature, sniffed in SIGNATURES:
        if head.startswith(signature):
            return sniffed
    return _sniff_structure(head, size) or _sniff_text(head, size)


def _sniff_structure(head: bytes, size: int) -> Sniffed | None:
    if is_tar(head):
        return Sniffed("a tar archive (torch 0.1 wrote such checkpoints)", "unpack it, or save it again with a torch since 1.6")
    if head[4:8] in (b"ET12", b"TFL3") and head[2:4] == b"\0\0":  # a flatbuffer: the offset of its root, then the file identifier
        return Sniffed("an ExecuTorch or TensorFlow Lite program", "it is compiled for a device; load the checkpoint that it was made from", "SL003")
    return None


def _sniff_text(head: bytes, size: int) -> Sniffed | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(LFS_PREFIX):
        match = re.search(_LFS, head)
        target = f" to {int(match[2]):,} bytes with the sha256 {match[1].decode('ascii')}" if match else ""
        return Sniffed(f"a git-LFS pointer of {size:,} bytes{target}", "run `git lfs pull`", "SL006")
    if re.match(_MARKUP, text) and b"<PMML" in head:
        return Sniffed("a PMML model", "the program that scores it reads it", reason=NAMED)
    if re.match(_MARKUP, text) and re.search(_OPENVINO, head):
        return Sniffed("the graph of an OpenVINO model", "its extensions are native code, and its numbers stand in a file beside it", reason=NAMED)
    if re.match(_MARKUP, text):
        return Sniffed(f"an HTML or XML page ({shown(text[:40])})", f"the download gave an error or login page; {_AGAIN}", "SL003")
    if re.match(_JSON, text):
        return Sniffed(f"JSON text ({shown(text[:40])})", "it is no checkpoint; a server may have sent its error in its place", "SL003", is_json=True)
    if re.match(_YAML, head):
        return Sniffed(f"YAML text ({shown(head[:40])})", "it is no checkpoint", "SL003")
    return None


def sniff_text(head: bytes) -> Sniffed | None:
    """What a file that begins as text is, where nothing else has a name for it: words in UTF-8, without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, len(head) < HEAD_BYTES)  # the last letter of a head may be cut
    except UnicodeDecodeError:
        return None
    if len(text.strip()) < LEAST_TEXT or not all(letter.isprintable() or letter in "\t\r\n\f" for letter in text):
        return None
    hint = "it holds no program for a loader of checkpoints; a server may have sent its error in place of one"
    return Sniffed(f"text ({shown(text[:40])})", hint, "SL003")


def is_msgpack(head: bytes) -> bool:
    """Does a map with a name as its first key begin here, as `flax.serialization` writes one? Some pickles begin alike."""
    match = re.match(_MSGPACK, head)
    return match is not None and len(match[2]) == (match[1][-1] & 0x1F if match[1][0] != _STR8 else match[1][-1])


def is_legacy(head: bytes) -> bool:
    """Does torch's sequential format begin here? By the pickled magic number, in every protocol."""
    return head.startswith(_LEGACY)


def is_safetensors(head: bytes, size: int) -> bool:
    """Does a length stand here that fits into the file, and the brace that its header has to begin with?"""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= min(SAFETENSORS_HEADER_BYTES, size - 8)


def is_tar(head: bytes) -> bool:
    """Is the first block a tar header? By its checksum, as tarfile decides."""
    block = head[:TAR_BLOCK_BYTES]
    if len(block) < TAR_BLOCK_BYTES or not block[0]:
        return False
    digits = block[TAR_CHECKSUM].strip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(block) - sum(block[TAR_CHECKSUM]) + 8 * ord(" ")
