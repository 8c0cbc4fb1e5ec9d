"""Any bytes give a value, a report, or a CheckpointError, within the budget; nothing is imported, opened, executed.

Whole files, zip or pickle, through `scan`, `load` and `open` under two policies; what scan accepts load builds, and what it does not accept load refuses.
Run: `python -m fuzz.fuzz_load fuzz/work/load fuzz/seeds -max_total_time=600`.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["safeload"]):
    from fuzz.one_input import check_load
from fuzz.mutate import mutate_file


def main() -> None:
    """Fuzz until libFuzzer's limits say stop."""
    atheris.Setup(sys.argv, check_load, custom_mutator=mutate_file)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
