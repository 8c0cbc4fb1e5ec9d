"""`python -m tests.policy.compiled_file`: write policies/compiled.json anew, after any change of the policies or of how they are resolved."""

from __future__ import annotations

import os

from safeload.policy.compiled import COMPILED, FILE, compiled_bytes
from safeload.policy.resolve import from_file
from safeload.policy.shipped import shipped_path


def compiled() -> tuple[str, bytes]:
    """Where it stands, and what it has to hold."""
    path = shipped_path(COMPILED)
    folder = os.path.dirname(path)
    return os.path.join(folder, FILE), compiled_bytes(from_file(path, (), None), folder)


if __name__ == "__main__":
    path, data = compiled()
    with open(path, "wb") as stream:
        stream.write(data)
