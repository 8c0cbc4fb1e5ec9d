"""The test files of picklescan, fickling, modelscan and CPython, where they are at hand: each *strict* one gets a verdict that its manifest accepts.

`EXPLAINED` holds the strict ones that do not, by the reason that `docs/peers.md` gives. The list is exact: a file in it
that gets an accepted verdict fails, too. Where no unpickler reads the file, both of CPython's are asked, and neither may have looked a name up.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import safeload

from . import watched

REPOSITORY = Path(__file__).parents[2]
PEERS = REPOSITORY.parent / "shared" / "peers"
VERDICTS = {"accepted": "benign", "rejected": "malicious", "inconclusive": "malformed"}
POLICIES = ("weights-only", "checkpoint", "inspect")

pytestmark = pytest.mark.skipif(not PEERS.is_dir(), reason=f"the peers' test files are not at hand ({PEERS})")

# CPython's own tests read these with this argument, and its default refuses them: the file does not say how its text is encoded.
ENCODINGS = {
    "cpython__test_load_python2_str_as_bytes-0ac01653a918.pkl": "bytes",
    "cpython__test_load_python2_str_as_bytes-e68da3cfbbb3.pkl": "bytes",
}

NO_UNPICKLER_READS = (
    "cpython__test_bad_mark-a58ac726166f.pkl",
    "cpython__test_bad_reduce-90a9c1425187.pkl",
    "cpython__test_bad_stack-cdb4ee2aea69.pkl",
    "cpython__test_badly_quoted_string-74e6a9952323.pkl",
    "cpython__test_badly_quoted_string-7d52d69e455b.pkl",
    "cpython__test_negative_put-49f9157b0388.pkl",
)
NAMES_WITHOUT_TEXT = (
    "cpython__test_bad_mark-7636194c638c.pkl",
    "cpython__test_bad_mark-e6eeefdd4efd.pkl",
    "cpython__test_bad_stack-c4b8e37b46c0.pkl",
    "cpython__test_bad_stack-d16bd22f7196.pkl",
)
ARCHIVES = {
    "fickling__TestScanZipArchive-test-scans-all-pickle-extensions__7c1864f0.zip": 3,
    "fickling__TestScanZipArchive-test-skips-non-pickle-extensions__c2e175a3.zip": 1,
    "picklescan__test-scan-url__ff5f32b6.pkl": 1,
}
"""Plain archives of benign pickles, and how many values they hold."""
NOTHING_TO_LOAD = "fickling__TestPolyglotModule-test-legacy-tar__8f4a6a2d.pth"

EXPLAINED = dict.fromkeys((*NO_UNPICKLER_READS, NOTHING_TO_LOAD), "inconclusive")
"""File to the verdict that it gets under `checkpoint`, which its manifest does not accept."""


@cache
def entries() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads((PEERS / "MANIFEST.json").read_text())["entries"])


@cache
def verdicts(policy: str) -> dict[str, str]:
    """File to verdict. A scan raises nothing, whatever it is given."""
    return {
        entry["file"]: watched.scan(PEERS / "files" / entry["file"], policy=policy, encoding=ENCODINGS.get(entry["file"], "utf-8")).verdict
        for entry in entries()
    }


def test_every_strict_file_gets_an_acceptable_verdict() -> None:
    given = verdicts("checkpoint")
    table = Counter((entry["strict"], entry["expected"], VERDICTS[given[entry["file"]]]) for entry in entries())
    for (strict, expected, verdict), count in sorted(table.items()):
        print(f"{'strict' if strict else 'other':6}  expected {expected:9}  given {verdict:9}  {count:4}")
    differing = {entry["file"]: given[entry["file"]] for entry in entries() if entry["strict"] and VERDICTS[given[entry["file"]]] not in entry["accept"]}
    assert differing == EXPLAINED


def test_no_malicious_file_is_accepted() -> None:
    """Nor one that no reader could read. The only policy that may take what a manifest calls malicious keeps records of names and calls nothing."""
    for policy in ("weights-only", "checkpoint"):
        accepted = {entry["file"] for entry in entries() if entry["strict"] and entry["expected"] != "benign" and verdicts(policy)[entry["file"]] == "accepted"}
        assert accepted == set()


@pytest.mark.parametrize("name", [*NO_UNPICKLER_READS, *NAMES_WITHOUT_TEXT])
@pytest.mark.parametrize("unpickler", [pickle.Unpickler, pickle._Unpickler], ids=["C", "Python"])  # type: ignore[attr-defined]
def test_no_unpickler_reads_what_is_called_malformed(name: str, unpickler: Any) -> None:
    looked_up: list[tuple[str, str]] = []

    class Recording(unpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            looked_up.append((module, name))
            raise pickle.UnpicklingError("a name was asked for")

    with pytest.raises((pickle.UnpicklingError, IndexError, ValueError, TypeError, EOFError, AttributeError)):
        Recording(io.BytesIO((PEERS / "files" / name).read_bytes())).load()
    assert looked_up == []


@pytest.mark.parametrize("name", NAMES_WITHOUT_TEXT)
def test_a_name_that_nobody_can_know_is_refused_as_one(name: str) -> None:
    report = watched.scan(PEERS / "files" / name)
    assert (report.verdict, report.errors[0].rule) == ("rejected", "SL208")


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_plain_archive_is_a_dict_of_its_members(name: str) -> None:
    assert len(watched.load(PEERS / "files" / name)) == ARCHIVES[name]


def test_an_archive_of_text_has_no_value() -> None:
    path = PEERS / "files" / NOTHING_TO_LOAD
    assert {finding.rule for finding in watched.scan(path).errors} == {"SL002"}
    with pytest.raises(safeload.CheckpointError, match="none of them is a checkpoint"):
        watched.load(path)


@pytest.mark.parametrize("name", ENCODINGS)
def test_text_of_python_2_without_an_encoding_is_refused(name: str) -> None:
    path = PEERS / "files" / name
    assert watched.scan(path).verdict == "inconclusive"
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(path.read_bytes())


def test_every_policy_ends_in_a_verdict_and_load_agrees() -> None:
    """`load` returns exactly where `scan` accepts, and raises nothing but a `CheckpointError` elsewhere."""
    for policy in POLICIES:
        for name, verdict in verdicts(policy).items():
            path = PEERS / "files" / name
            try:
                watched.load(path, "cpu", policy=policy, encoding=ENCODINGS.get(name, "utf-8"))
            except safeload.CheckpointError:
                continue
            assert verdict == "accepted", (policy, name, verdict)


def test_the_page_explains_each_difference() -> None:
    """Each strict file that differs, and each other whose verdict is not the expected one, stands in `docs/peers.md` by name."""
    page = (REPOSITORY / "docs" / "peers.md").read_text()
    given = verdicts("checkpoint")
    for entry in entries():
        if entry["file"] in ENCODINGS or (VERDICTS[given[entry["file"]]] != entry["expected"] and (not entry["strict"] or entry["file"] in EXPLAINED)):
            assert f"`{entry['file']}`" in page, entry["file"]
