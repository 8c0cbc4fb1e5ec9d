"""The head of a server's answer becomes numbers, or an error (SL005): ranges, lengths and versions are taken at its word only where they fit each other.

RFC 9110: 8.8.3 (ETag), 14.2 to 14.4 (Range, Content-Range), 15.3.7 (206), 15.5.17 (416). A multipart answer was not asked for and is refused.
"""

from __future__ import annotations

import re

import msgspec

from safeload.errors import CheckpointError

MAX_FILE_BYTES = 1 << 63
_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_NO_RANGE = re.compile(r"bytes \*/([0-9]{1,19})")
_STRONG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')
_LENGTH = re.compile(r"[0-9]{1,19}")
REASONS = {
    401: "it asks for credentials",
    403: "it forbids it",
    404: "there is no such file",
    410: "the file is gone",
    412: "the file has changed while it was being read",
    429: "it was asked too often",
    503: "it is overloaded",
}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The range that an answer says it holds: [start, end) of a file of `total` bytes."""

    start: int
    end: int
    total: int


def wrong(what: str) -> CheckpointError:
    """The error for whatever a server does wrong."""
    return CheckpointError(what, rule="SL005")


def part_of(header: str | None) -> Part:
    """The range of a 206."""
    match = _RANGE.fullmatch((header or "").strip())
    if match is None:
        raise wrong(f"the server sends a part and does not say which: Content-Range {(header or 'is missing')[:80]!a}")
    part = Part(start=int(match[1]), end=int(match[2]) + 1, total=int(match[3]))
    if not part.start < part.end <= part.total < MAX_FILE_BYTES:
        raise wrong(f"the server contradicts itself: Content-Range {(header or '')[:80]!a}")
    return part


def total_of(header: str | None) -> int | None:
    """How long a file is by the word of a 416; None where it does not say."""
    match = _NO_RANGE.fullmatch((header or "").strip())
    return int(match[1]) if match is not None and int(match[1]) < MAX_FILE_BYTES else None


def length_of(header: str | None) -> int | None:
    """Content-Length, None where there is none."""
    if header is None:
        return None
    if _LENGTH.fullmatch(header.strip()) is None or int(header) >= MAX_FILE_BYTES:
        raise wrong(f"the server sends a length that is none: {header[:80]!a}")
    return int(header)


def etag_of(header: str | None) -> str | None:
    """A strong ETag: only these say that two answers are parts of one sequence of bytes (8.8.1). None for a weak one, or none."""
    return header if header is not None and _STRONG.fullmatch(header) else None


def check_plain(status: int, encoding: str | None, kind: str | None) -> None:
    """Refuse a body that is not the bytes of the file themselves."""
    if (encoding or "identity").strip().lower() != "identity":
        raise wrong(f"the server sends the file in another encoding than asked for: {(encoding or '')[:40]!a}")
    if status == 206 and (kind or "").strip().lower().startswith("multipart/"):
        raise wrong("the server sends several parts where one was asked for")


def refusal(status: int) -> CheckpointError:
    """What an answer means that is neither the file nor a part of it."""
    reason = REASONS.get(status)
    return wrong(f"the server answers {status}{f': {reason}' if reason else ''}")
