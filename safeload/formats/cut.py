"""A file that ends too early becomes words about how much of it is missing, as far as what is there can tell.

A zip lists its members at its end, so one that was cut says nothing about its length. torch writes the pickle first, and the storages that it names
have to follow: their sizes give a lower bound. Nothing here decides anything; the file is refused already.
"""

from __future__ import annotations

from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.errors import CheckpointError, StreamError
from safeload.formats.judging import Judging
from safeload.formats.legacy import Window, declared
from safeload.source import ByteSource

LOCAL_BYTES = 30  # APPNOTE 4.3.7, without name and extra field
NAME_LENGTH, EXTRA_LENGTH, METHOD = slice(26, 28), slice(28, 30), slice(8, 10)
PICKLE_NAME = b"/data.pkl"


def explain_zip(judging: Judging, error: CheckpointError) -> None:
    """Say in an SL004 about an archive without its end how many bytes are missing at least."""
    source = judging.file
    if error.rule != "SL004" or source.size < LOCAL_BYTES or source.read(0, len(LOCAL_SIGNATURE)) != LOCAL_SIGNATURE:
        return
    missing = _missing(judging, source)
    if missing > 0:
        error.message += f". The storages that its data.pkl names need {missing:,} bytes more, and the directory comes behind them"


def explain_stream(error: CheckpointError, size: int) -> None:
    """Say in an SL202 that it is the file that ends, `size` bytes long, and not only a frame of the stream."""
    if isinstance(error, StreamError) and error.rule == "SL202" and "frame" not in error.message:
        error.message += f": the file ends here, after {size:,} byte{'s' * (size != 1)}. It was cut short (download or copy it again), or it is no checkpoint"


def _missing(judging: Judging, source: ByteSource) -> int:
    """What the storages of the first member need, less all that stands behind it. 0 where the pickle itself was cut."""
    header = source.read(0, LOCAL_BYTES)
    length = int.from_bytes(header[NAME_LENGTH], "little")
    start = LOCAL_BYTES + length + int.from_bytes(header[EXTRA_LENGTH], "little")
    if header[METHOD] != b"\0\0" or start >= source.size or not source.read(LOCAL_BYTES, length).endswith(PICKLE_NAME):
        return 0
    window = Window(source.part(start), judging.budget, None, judging.options.encoding, judging.options.errors)
    try:
        graph = window.stream()
        needed = sum(count * itemsize for count, itemsize in declared(graph).values())
    except CheckpointError:
        return 0
    return needed - (source.size - start - graph.end)
