"""Any bytes give a value, a report, or a CheckpointError, within the budget; nothing is imported, opened, executed.

Pickle streams alone: interpreted, vetted under two policies, rendered, listed and assembled again. Mutates whole instructions as well as bytes.
Run: `python -m fuzz.fuzz_machine fuzz/work/machine fuzz/seeds -max_total_time=600`.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["safeload"]):
    from fuzz.one_input import check_machine
from fuzz.mutate import mutate_stream


def main() -> None:
    """Fuzz until libFuzzer's limits say stop."""
    atheris.Setup(sys.argv, check_machine, custom_mutator=mutate_stream)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
