"""Lines of TOML text: exact for what `tomllib` takes, and never an exception."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.policy.lines import line_of, positions
from safeload.policy.shipped import SHIPPED, shipped_path

TEXT = '''
a = [1, # ] x
  {b = 2, c.d = [3,
   4]}, "]",
]
[[allow]]
x = """
[[allow]] "" \\"""
y = 1"""
"y" = 'z # ['
[[allow]]
[allow.z]
k = 1.5
[rules]
SL1 = "q" # c
'key' = {}
'''


def test_every_place_has_its_line() -> None:
    assert positions(TEXT) == {
        "a": 2, "a[0]": 2, "a[1]": 3, "a[1].b": 3, "a[1].c.d": 3, "a[1].c.d[0]": 3, "a[1].c.d[1]": 4, "a[2]": 4, "allow[0]": 6, "allow[0].x": 7,
        "allow[0].y": 10, "allow[1]": 11, "allow[1].z": 12, "allow[1].z.k": 13, "rules": 14, "rules.SL1": 15, "rules.key": 16,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "line"),
    [("allow[0].x", 7), ("allow[0].missing", 6), ("allow[0].missing[3].x", 6), ("a[1].c.d[1]", 4), ("a[9]", 2), ("nothing", None), ("", None)],
)
def test_what_is_missing_has_the_line_of_what_is_around_it(path: str, line: int | None) -> None:
    assert line_of(positions(TEXT), path) == line


def paths(value: Any, path: str = "") -> list[str]:
    """Every key and element of a document."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in [f"{path}.{key}" if path else key, *paths(item, f"{path}.{key}" if path else key)]]
    if isinstance(value, list):
        return [found for place, item in enumerate(value) for found in [f"{path}[{place}]", *paths(item, f"{path}[{place}]")]]
    return []


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_of_a_shipped_policy_is_missed(name: str) -> None:
    with open(shipped_path(name), encoding="utf-8") as stream:
        text = stream.read()
    found, lines = positions(text), text.splitlines()
    wanted = paths(tomllib.loads(text))
    assert set(wanted) - {"allow", "opaque", "deny"} == set(found)
    for path, line in found.items():
        last = path.rpartition(".")[2]
        if not last.endswith("]"):
            assert lines[line - 1].startswith((last, f"[{last}]")), path
        elif "." not in path:
            assert lines[line - 1].startswith(f"[[{path.partition('[')[0]}]]") or path.startswith(("extends", "formats")), path


PIECES = st.sampled_from(["a", "b.c", '"k"', "'", '"', '"""', "'''", "=", "[", "]", "[[", "]]", "{", "}", ",", "\n", "#", "\\", " ", "1", "\r\n", "é"])


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_gives_lines_that_are_in_it(text: str) -> None:
    last = text.count("\n") + 1
    assert all(1 <= line <= last for line in positions(text).values())


VALUES = st.recursive(
    st.integers(0, 9).map(str) | st.sampled_from(['"x"', "'# ['", '"""\n]\n"""', "'''\n=\n'''", '"\\"]"', "2026-01-02"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[\n" + "".join(f" {item}, # ]\n" for item in items) + "]")
        | st.lists(inner, max_size=2).map(lambda items: "{" + ", ".join(f"k{n} = {item}" for n, item in enumerate(items)) + "}")
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["", "[[t]]\n", "[u{n}]\n", "[[t]] # x\n[t.s]\n"]), VALUES), max_size=6))
def test_what_tomllib_finds_is_found(parts: list[tuple[str, str]]) -> None:
    text = "".join(f"{header.format(n=number)}key{number} = {value}\n" for number, (header, value) in enumerate(parts))
    document, found = tomllib.loads(text), positions(text)
    assert {path for path in paths(document) if path != "t"} == set(found)
    for number in range(len(parts)):
        (path,) = [path for path in found if path.rpartition(".")[2] == f"key{number}"]
        assert text.splitlines()[found[path] - 1].startswith(f"key{number} = ")


@pytest.mark.parametrize("start", ["", '"""', "'''", '"', "'", "[", "k = [", "k = {"])
@pytest.mark.parametrize("piece", ['\\"', "[", "'''", '"', "a.b", "\\", "\n", '"""', "a = ", ",", "{", "'"])
def test_the_work_is_that_of_one_pass(start: str, piece: str) -> None:
    """A second look at what follows each of the pieces would take minutes."""
    positions(start + piece * 100_000 + "\\")
