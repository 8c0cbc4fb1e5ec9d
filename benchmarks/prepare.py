"""`python -m benchmarks.prepare FOLDER MEGABYTES`: write the workloads and check that all loaders read the same from them."""

from __future__ import annotations

import sys
from pathlib import Path

from .check import check
from .workloads import write


def main() -> None:
    """Both steps; fails where two loaders disagree."""
    paths = write(Path(sys.argv[1]), int(sys.argv[2]))
    print(f"Equal results: {check(paths):,} values compared.")


if __name__ == "__main__":
    main()
