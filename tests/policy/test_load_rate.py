"""A policy made for a library lets the library's own files through."""

from __future__ import annotations

import pytest

from policy.load_rate import PARTIAL, Rate, rates, text


@pytest.fixture(scope="module")
def measured() -> dict[str, Rate]:
    return {rate.policy: rate for rate in rates()}


def test_policies_made_for_a_library_pass_all_of_its_files(measured: dict[str, Rate]) -> None:
    print(text(list(measured.values())))
    assert measured.keys() - PARTIAL, "there are files to measure with"
    assert [(name, rate.refused) for name, rate in measured.items() if name not in PARTIAL and rate.refused] == []


def test_only_arrays_of_python_objects_are_refused_as_numpys(measured: dict[str, Rate]) -> None:
    assert [(file, why) for file, why in measured["numpy"].refused if "Python objects" not in why] == []
