"""Listings of numbers that have no short spelling."""

from __future__ import annotations

from safeload.opcodes.assemble import assemble, disassemble


def test_a_nan_with_a_payload_is_listed_as_its_bytes() -> None:
    data = b"\x80\x02G\x7f\xf8\0\0\0\0\0\1."
    text = disassemble(data)
    assert "RAW" in text and "BINFLOAT" in text and assemble(text) == data
