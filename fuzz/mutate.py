"""The edits of `fuzz.edits` and the programs of `fuzz.grammar` as custom mutators of libFuzzer.

A quarter of all mutations stay libFuzzer's own, so that lengths, headers and half opcodes are covered too; one in fifty is a new file.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import atheris

from fuzz.edits import edit, edit_policy, edited
from fuzz.grammar import file, program

Edit = Callable[[bytes, Random], bytes]
Mutator = Callable[[bytes, int, int], bytes]

NEW = 0.02
PLAIN = 0.25


def mutator(change: Edit, fresh: Callable[[Random], bytes] | None) -> Mutator:
    """A custom mutator from an edit, and from what makes a new input."""

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if fresh is not None and random.random() < NEW:
            return fresh(random)[:max_size]
        if random.random() < PLAIN:
            return bytes(atheris.Mutate(data, max_size))
        return change(data, random)[:max_size]

    return mutate


MUTATORS: dict[str, Mutator] = {
    "file": mutator(edit, lambda random: file(random.getrandbits(32))),
    "stream": mutator(edited, lambda random: program(random)[0]),
    "policy": mutator(edit_policy, None),
}
