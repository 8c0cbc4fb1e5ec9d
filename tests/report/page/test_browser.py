"""The HTML page in a real browser: it renders, says nothing on the console, asks the network for nothing, and hostile names stay text.

Skipped, with the reason, where no Chromium is installed. The first test shows that the browser would have told.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.inputs import calling, run, state_dict
from tests.report.mixed import HOSTILE, SHELL_HOSTILE_PATHS, hostile_file, plain_folder

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--enable-logging=stderr", "--v=0", "--host-resolver-rules=MAP * ~NOTFOUND",
]  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")
ADDRESS = re.compile(r"https?://[^\s\"'\\]+")


class Seen(NamedTuple):
    """What a browser made of a page."""

    dom: str
    console: list[str]
    requests: list[str]


def browse(page: Path, *more: str) -> Seen:
    """The page, loaded in a browser with a profile of its own."""
    assert CHROMIUM is not None
    profile, log = page.parent / "profile", page.parent / "net.json"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--log-net-log={log}", *more, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    shutil.rmtree(profile, ignore_errors=True)
    console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if ":CONSOLE" in line]
    return Seen(done.stdout.decode("utf-8"), console, _requests(log))


def _requests(log: Path) -> list[str]:
    """The addresses that the network stack was asked for by a page, not those that the browser has of its own."""
    text = log.read_text(encoding="utf-8")
    found = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")
    urls = [str(event.get("params", {}).get("url", "")) for event in found["events"]]
    return sorted({url for url in urls if ADDRESS.match(url) and not re.search(r"google|gstatic|gvt1|chromium", url)})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "files")
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    return tmp_path


def written(here: Path, *arguments: str) -> Path:
    page = here / "page.html"
    run("scan", "-f", f"html={page}", *arguments)
    return page


# ---- the browser tells ------------------------------------------------------------------------------------------------------------------------


def test_a_page_that_does_these_things_is_found_out(here: Path) -> None:
    page = here / "bad.html"
    page.write_text("<!DOCTYPE html><title>x</title><p>before</p><img src='http://evil.example/x.png'><script>document.title='ran';console.error('here')</script>")
    seen = browse(page)
    assert "<title>ran</title>" in seen.dom
    assert any("here" in line for line in seen.console)
    assert seen.requests == ["http://evil.example/x.png"]


def test_the_policy_of_the_page_stops_what_it_should_never_hold(here: Path) -> None:
    (here / "files" / "evil.pkl").write_bytes(calling("posix.system"))
    page = written(here, "--no-second-opinion", "evil.pkl")
    bad = "<script>document.title='ran'</script><img src='http://evil.example/x.png'><p style='color:red'>x</p>"
    page.write_text(page.read_text(encoding="utf-8").replace("</main>", f"{bad}</main>"), encoding="utf-8")
    seen = browse(page)
    assert "<title>ran</title>" not in seen.dom
    assert seen.requests == []
    assert len(seen.console) >= 3, "each of the three is a complaint on the console"


# ---- the page -----------------------------------------------------------------------------------------------------------------------------------


def test_it_renders_without_a_word_on_the_console_or_a_request(here: Path) -> None:
    plain_folder(here / "files")
    (here / "files" / "many.pkl").write_bytes(calling("posix.system", *(f"acme.Layer{number}" for number in range(60))))
    seen = browse(written(here, "."))
    assert (seen.console, seen.requests) == ([], [])
    assert "12 files: 2 accepted, 6 rejected, 4 inconclusive" in seen.dom
    assert seen.dom.count('class="card file ') == 10


def test_hostile_names_stay_text(here: Path) -> None:
    for path in SHELL_HOSTILE_PATHS:
        (here / "files" / path).write_bytes(hostile_file())
    seen = browse(written(here, "--all", "."))
    assert (seen.console, seen.requests) == ([], [])
    for element in ("<script", "<img", "<iframe", "<svg onload", "<b>", "onerror=", "onload=alert", "javascript:alert(1)\""):
        outside = re.sub(r">[^<]*<", "><", seen.dom)
        assert element not in outside, element
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in seen.dom
    assert len(HOSTILE) == seen.dom.count('class="finding error"') / len(SHELL_HOSTILE_PATHS)


@pytest.mark.parametrize("width", [1400, 500])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_painted_in_its_colours(here: Path, width: int, scheme: str) -> None:
    (here / "files" / "model.pt").write_bytes(state_dict())
    page, picture = written(here, "--no-second-opinion", "model.pt"), here / "picture.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    browse(page, *dark, f"--window-size={width},300", f"--screenshot={picture}")
    found, colours = _pixels(picture)
    assert found == (width, 300)
    background = {"light": (246, 247, 249), "dark": (15, 20, 26)}[scheme]
    green = {"light": (27, 107, 58), "dark": (127, 214, 160)}[scheme]
    assert colours.get(background, 0) > 1_000, "the background of the page"
    assert colours.get(green, 0) > 500, "the band of an accepted file"


def _pixels(picture: Path) -> tuple[tuple[int, int], dict[tuple[int, int, int], int]]:
    """Size and colours of a PNG of 8-bit RGB or RGBA (PNG 1.2, 6: five filters)."""
    data = picture.read_bytes()
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert (depth, kind in (2, 6)) == (8, True)
    step = 3 if kind == 2 else 4
    at, packed = 8, b""
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += length + 12
    raw, before = zlib.decompress(packed), bytearray(width * step)
    colours: dict[tuple[int, int, int], int] = {}
    for row in range(height):
        start = row * (width * step + 1)
        before = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + width * step]), before, step)
        for x in range(0, width * step, step):
            colour = (before[x], before[x + 1], before[x + 2])
            colours[colour] = colours.get(colour, 0) + 1
    return (width, height), colours


def _unfiltered(kind: int, line: bytearray, above: bytearray, step: int) -> bytearray:
    for x in range(len(line)):
        left = line[x - step] if x >= step else 0
        up, corner = above[x], above[x - step] if x >= step else 0
        if kind == 1:
            line[x] = (line[x] + left) & 255
        elif kind == 2:
            line[x] = (line[x] + up) & 255
        elif kind == 3:
            line[x] = (line[x] + (left + up) // 2) & 255
        elif kind == 4:
            distances = [(abs(left + up - corner - value), order, value) for order, value in enumerate((left, up, corner))]
            line[x] = (line[x] + min(distances)[2]) & 255
    return line
