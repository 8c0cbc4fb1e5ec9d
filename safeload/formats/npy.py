"""A `.npy` file becomes the one array in it: its dtype proved to fill exactly the bytes behind the header, which stay in the file.

An array of Python objects is a pickle behind the header: it is judged like any stream, and loads only where the policy keeps what it names as inert records
(numpy calls that allow_pickle, CVE-2019-6446). Refuses bytes that are not as many as shape and dtype say (SL004, SL130).
"""

from __future__ import annotations

from safeload.budget import exceeded
from safeload.containers.base import Container
from safeload.containers.npy import MAGIC, NpyHeader
from safeload.errors import ContainerError
from safeload.formats.judging import Judging
from safeload.limits import MIB
from safeload.machine.nodes import Call
from safeload.storage import arrays
from safeload.storage.arrays import ArrayDType, BadArray
from safeload.storage.descr import from_descr
from safeload.storage.records import Document, Plan, Table

MAX_LOOK_BYTES = 4 * MIB  # behind a header that is refused


def read(judging: Judging, container: Container) -> Document | None:
    """The array, as a table of one entry; of Python objects the plan of their pickle."""
    header: NpyHeader = container.detail
    data = container.members["data"]
    try:
        dtype = from_descr(header.descr)
        if dtype.has_objects:
            return _objects(judging, container, header)
        _check_length(dtype, header, data.size)
        entry = arrays.record(dtype, header.shape, header.fortran, max_dims=judging.limits.tensor_dims, extent=data)
    except BadArray as error:
        judging.named_in(None, judging.source.read(0, min(judging.source.size, MAX_LOOK_BYTES)), header.offset)  # numpy has more spellings of object
        raise arrays.located(error, None, len(MAGIC)) from None
    judging.count_tensor(data.size)
    return Table(container=container, entries={"array": entry}, bare=True)


def _check_length(dtype: ArrayDType, header: NpyHeader, size: int) -> None:
    needed = arrays.nbytes_of(dtype, header.shape)
    if needed > size:
        missing = f"{needed - size:,} of the {needed:,} bytes of its array are missing"
        raise ContainerError(f"the .npy file is cut short: {missing}", rule="SL004", offset=header.offset)
    if needed < size:
        raise ContainerError(f"{size - needed:,} bytes follow the array of the .npy file", rule="SL130", offset=header.offset + needed)


def _objects(judging: Judging, container: Container, header: NpyHeader) -> Plan | None:
    """The pickle that stands for an array of Python objects. Offsets count from the start of the file."""
    size = judging.source.size
    if size > judging.limits.pickle_bytes:
        raise exceeded("pickle_bytes", judging.limits.pickle_bytes, f"the pickle is {size:,} bytes long, more")
    data = judging.source.read(0, size)
    graph = judging.interpret(data, member=None, start=header.offset)
    plan = judging.judged(container, "", data, graph)
    if type(graph.root) is not Call:
        raise ContainerError("the pickle that stands for an array of Python objects holds no array", rule="SL130", offset=header.offset)
    if graph.end != len(data):
        raise ContainerError(f"{len(data) - graph.end:,} bytes follow the pickle of the .npy file", rule="SL130", offset=graph.end)
    return plan
