"""Any bytes give a value, a report, or a CheckpointError, within the budget; nothing is imported, opened, executed.

Containers alone: what opens accounts for each byte of the file, and its members lie inside it.
Run: `python -m fuzz.fuzz_zip fuzz/work/zip fuzz/seeds -max_total_time=600`.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["safeload"]):
    from fuzz.one_input import check_zip


def main() -> None:
    """Fuzz until libFuzzer's limits say stop."""
    atheris.Setup(sys.argv, check_zip)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
