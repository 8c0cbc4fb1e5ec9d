"""What a file that ends too early says about itself."""

from __future__ import annotations

import pickle

import pytest
from builds import dense, pairs, torch_zip
from containers.zipbuild import Part, build

import safeload
from safeload.errors import CheckpointError

DATA = torch_zip(pairs(a=dense("FloatStorage", 1000, (1000,), (1,)), b=dense("FloatStorage", 50, (50,), (1,), key="1")), {"0": bytes(4000), "1": bytes(200)})
PICKLE_END = DATA.index(b"a/byteorder") - 30 - 16  # before the descriptor and the next header
STREAM = pickle.dumps({"a": list(range(1000))}, 2)


def refused(data: bytes) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        safeload.load(data)
    report = safeload.scan(data)
    assert report.verdict == "inconclusive" and report.findings[0].message == caught.value.message, "scan and load say the same"
    return caught.value


@pytest.mark.parametrize("length", [4, 29, 30, 64, PICKLE_END - 1])
def test_nothing_is_guessed_where_the_pickle_was_cut(length: int) -> None:
    error = refused(DATA[:length])
    assert error.rule == "SL004" and f"holds {length:,} bytes" in error.message and "need" not in error.message


@pytest.mark.parametrize("length", range(PICKLE_END, len(DATA) - 700, 97))
def test_a_cut_archive_says_how_much_is_missing_at_least(length: int) -> None:
    error = refused(DATA[:length])
    missing = int(error.message.partition("data.pkl names need ")[2].partition(" bytes more")[0].replace(",", ""))
    assert error.rule == "SL004" and missing == 4200 - (length - PICKLE_END) <= len(DATA) - length


def test_a_pickle_that_names_what_is_no_storage_says_nothing_more() -> None:
    for listing in ("EMPTY_DICT\n", "BINUNICODE 'x'\nBINPERSID\n"):
        data = torch_zip(listing, {"0": bytes(400)})
        assert "need" not in refused(data[:-30]).message
    report = safeload.scan(torch_zip("GLOBAL os system\nBINUNICODE 'x'\nTUPLE1\nREDUCE\n", {"0": bytes(400)})[:-30])
    assert [finding.rule for finding in report.errors] == ["SL301", "SL004"] and "need" not in report.errors[1].message


@pytest.mark.parametrize("length", [1, 2, 10, 500, len(STREAM) - 1])
def test_a_cut_pickle_is_called_cut(length: int) -> None:
    error = refused(STREAM[:length])
    assert error.rule == "SL202" and f"the file ends here, after {length:,} byte" in error.message and "cut short" in error.message


def test_a_stream_that_ends_inside_a_whole_archive_is_not() -> None:
    data = build([Part(b"a/data.pkl", b"\x80\x02}"), Part(b"a/byteorder", b"little"), Part(b"a/version", b"3\n")])
    error = refused(data)
    assert error.rule == "SL202" and "the file ends here" not in error.message
