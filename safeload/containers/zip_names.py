"""The name bytes of an archive member become the one `str` that every reader agrees on, or a refusal (SL106, SL107, SL113).

Names are dictionary keys and nothing else: safeload never extracts. They are held to a narrow grammar all the same, because two readers that
normalise a name differently open two different members. Flag bit 11 says UTF-8; without it APPNOTE 4.4.4 says code page 437, and there only
ASCII is accepted, where the two are the same. Refused: undecodable bytes, anything `str.isprintable` refuses (controls, NUL, bidirectional
overrides, line separators, odd spaces). Backslashes, absolute names, empty, `.` and `..` segments keep an archive from loading.
"""

from __future__ import annotations

import re
from collections import Counter

from safeload.errors import ContainerError
from safeload.findings import Finding

SHOWN_CHARACTERS = 80  # of text that comes from a file, in a message
FLAG_UTF8 = 0x0800  # general purpose bit 11, APPNOTE appendix D

_ODD_PATH = r"\\|//|(?:^|/)\.\.?(?:/|$)|^/|^[A-Za-z]:/"
_ODD_SIGNS = ("\\", "//", "\n/", "\n./", "\n../", "\n.\n", "\n..\n")
_ODD_SEGMENTS = ("/./", "/../", "/.\n", "/..\n")
"""One of these, or ":/", stands in a text of names, a newline before and behind each, where one of them is odd. No name holds a newline (SL113)."""


def shown(text: bytes | str) -> str:
    """Text from a file for a message: `ascii`-escaped, quoted, at most 80 characters."""
    quoted = ascii(text[: SHOWN_CHARACTERS + 1])
    return quoted if len(quoted) <= SHOWN_CHARACTERS else quoted[: SHOWN_CHARACTERS - 3] + "..."


def decode_name(raw: bytes, flags: int, offset: int) -> str:
    """The name that `raw` spells under general purpose `flags`. `offset`, of its directory entry, is for the message (SL113)."""
    try:
        name = raw.decode("utf-8" if flags & FLAG_UTF8 else "ascii")
    except UnicodeDecodeError:
        encoding = "UTF-8" if flags & FLAG_UTF8 else "ASCII (the UTF-8 flag is off)"
        raise ContainerError(f"the member name {shown(raw)} is not {encoding}", rule="SL113", offset=offset) from None
    if not name:
        raise ContainerError("a member has no name", rule="SL113", offset=offset)
    if not name.isprintable():
        raise ContainerError(f"the member name {shown(name)} holds characters that cannot be printed", rule="SL113", offset=offset)
    return name


def check_paths(names: list[str]) -> tuple[Finding, ...]:
    """A finding for the first name that climbs, is absolute or oddly spelled: such an archive never loads, and its members are judged all the same."""
    text = "\n".join(["", *names, ""])
    signs = (*_ODD_SIGNS, *(_ODD_SEGMENTS if "/." in text else ()), *((":/",) if ":" in text else ()))
    odd = [name for name in names if re.search(_ODD_PATH, name)] if any(sign in text for sign in signs) else []
    if not odd:
        return ()
    more = f" (and {len(odd) - 1:,} more)" if len(odd) > 1 else ""
    message = f"the member name {shown(odd[0])}{more} is not a plain relative path (absolute, backslash, or an empty, '.' or '..' segment)"
    return (Finding(rule="SL113", message=message, member=odd[0]),)


def check_distinct(names: list[str]) -> None:
    """Refuse a name that occurs twice (SL106) and names that differ in case, Unicode form or a last slash only (SL107).

    miniz, which is torch's reader, looks names up without regard to case and takes the first it meets; zipfile takes the last of equal names.
    """
    if len(set(names)) != len(names):
        name = _first_repeated(names)
        raise ContainerError("two members have this name; readers disagree about which of them it is", rule="SL106", member=name)
    text = "\n".join(names)
    if text.isascii() and "/\n" not in text and not text.endswith("/"):
        lower = text.lower()
        if lower == text:
            return  # they are different already
        folded = lower.split("\n")  # the same for each: no name holds a newline
    else:
        folded = [_folded(name) for name in names]
    if len(set(folded)) != len(folded):
        repeated = _first_repeated(folded)
        same = [name for name, fold in zip(names, folded, strict=True) if fold == repeated]
        raise ContainerError(f"the names {shown(same[0])} and {shown(same[1])} differ only in case, Unicode form or a slash", rule="SL107", member=same[1])


def _first_repeated(names: list[str]) -> str:
    return Counter(names).most_common(1)[0][0]


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower().rstrip("/")
    import unicodedata

    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).rstrip("/")
