"""One target under atheris: `python -m fuzz.run TARGET -max_total_time=3600`. Without a target: the list of them.

What stands behind the target goes to libFuzzer. Inputs that reach something new are kept in `fuzz/work/TARGET`, crashes in `fuzz/work`, both unknown to git;
the seeds and regressions of the target are read beside them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["safeload"]):
    from fuzz.targets import TARGETS, inputs
from fuzz.mutate import MUTATORS

WORK = Path(__file__).parent / "work"
DEFAULTS = ("-rss_limit_mb=3000", "-timeout=25", "-max_len=16384")


def main() -> None:
    """Fuzz until libFuzzer's limits say stop."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        for name, target in TARGETS.items():
            print(f"{name:12} {target.about}")
        raise SystemExit(2)
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    kept = WORK / name
    kept.mkdir(parents=True, exist_ok=True)
    seeds = Path(tempfile.mkdtemp(prefix="seeds-"))
    for path in inputs(target):
        (seeds / path.name).write_bytes(path.read_bytes())
    arguments = [sys.argv[0], str(kept), str(seeds), f"-artifact_prefix={WORK}/", *DEFAULTS, *options]
    atheris.Setup(arguments, target.check, custom_mutator=MUTATORS[target.mutator])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
