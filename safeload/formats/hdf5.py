"""An HDF5 file is not taken apart: it is searched for the layers of Keras that carry code, and what it holds beside them stays unjudged.

Keras kept whole models so before `.keras`: the description of the model stands as JSON text in an attribute, and HDF5 neither compresses nor splits such a
text. So a layer of code that stands there in plain letters is named (SL124). That none is found says nothing, and the file is inconclusive in any case (SL002).
"""

from __future__ import annotations

import re

from safeload.containers.base import Container
from safeload.formats.judging import Judging
from safeload.formats.keras import CODE_LAYERS, layer
from safeload.limits import MIB

CHUNK_BYTES = MIB
OVERLAP_BYTES = 256  # longer than what is searched for
_LAYER = re.compile(rb'"class_name"\s{0,8}:\s{0,8}"(%s)"' % b"|".join(name.encode() for name in CODE_LAYERS))


def read(judging: Judging, container: Container) -> None:
    """Nothing to build."""
    source = container.source
    found: dict[str, int] = {}
    for start in range(0, source.size, CHUNK_BYTES):
        data = source.read(start, min(CHUNK_BYTES + OVERLAP_BYTES, source.size - start))
        for match in _LAYER.finditer(data):
            found.setdefault(match[1].decode(), start + match.start())
        judging.budget.check_time(offset=start)
    for name, offset in found.items():
        judging.find("SL124", f"the model has {layer(name)}: {CODE_LAYERS[name]}", offset=offset, capability="code.exec")
    why = "its structure is not read, so the numbers and texts in it are not judged; it was searched for layers of Keras that carry code"
    judging.find("SL002", f"this is an HDF5 file: {why}")
