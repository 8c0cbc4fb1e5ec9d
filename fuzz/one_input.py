"""One input, held against the invariants: what the fuzz targets run millions of times, and the tests replay over seeds and regressions.

    any bytes give a value, a report, or a CheckpointError, within the budget; nothing is imported, opened, executed

Each function returns quietly or fails with the exception that broke the law. Two readings are compared as well: what `scan` accepts `load` builds, and what it
does not accept `load` refuses with a `CheckpointError`.
"""

from __future__ import annotations

import datetime
import io
import json
import pkgutil
import unicodedata  # noqa: F401 - for member names that are not ASCII, which no seed has
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import safeload
from safeload.api import read
from safeload.budget import Budget
from safeload.containers.base import NAMED_ALONE, Container
from safeload.containers.detect import open_container
from safeload.containers.inflate import read_member
from safeload.containers.json_strict import BadJson
from safeload.containers.json_strict import parse as parse_json
from safeload.errors import CheckpointError, PolicyFileError, UnsupportedFormat
from safeload.judge import Reading
from safeload.limits import KIB, MIB, Limits
from safeload.machine.interpret import interpret
from safeload.machine.listing import listing
from safeload.machine.render import render
from safeload.opcodes.assemble import assemble, disassemble
from safeload.policy.resolve import load_policy, resolve_file
from safeload.policy.shipped import SHIPPED
from safeload.policy.toml import parse_policy
from safeload.policy.vet import vet
from safeload.source import ByteSource
from safeload.storage.records import Unbuilt

from .guard import armed

POLICIES = ("checkpoint", "inspect")
NOT_READERS = ("safeload.cli", "safeload.cupy", "safeload.torch", "safeload.report")  # modules that reading a file never needs
LISTED_BYTES = 4 * KIB  # streams longer than this are judged and not listed: a listing costs more than the reading

LIMITS = Limits(  # small, so that a short input can meet each of them
    file_bytes=MIB,
    spool_bytes=MIB,
    members=64,
    name_bytes=128,
    directory_bytes=16 * KIB,
    member_bytes=256 * KIB,
    inflated_bytes=512 * KIB,
    compression_ratio=50,
    pickle_bytes=256 * KIB,
    opcodes=20_000,
    stack=2_000,
    memo_entries=2_000,
    graph_nodes=2_000,
    globals=50,
    literal_bytes=64 * KIB,
    global_name_bytes=128,
    integer_bytes=256,
    nesting_depth=40,
    key_size=50,
    equal_hash_keys=8,
    findings=50,
    tensors=100,
    tensor_dims=8,
    tensor_bytes=64 * KIB,
    total_tensor_bytes=256 * KIB,
    scan_seconds=20,
)


def check_load(data: bytes) -> None:
    """`scan` and `load` of whole files agree, under each policy."""
    with armed():
        for policy in POLICIES:
            _agree(data, policy)


def _agree(data: bytes, policy: str) -> None:
    reading = read(data, policy=policy, limits=LIMITS)
    _consistent(reading, len(data))
    try:
        value = safeload.load(data, map_location="cpu", policy=policy, limits=LIMITS)
    except UnsupportedFormat:
        # pickles that follow each other have no single value, and some formats are judged and not built
        assert reading.report.verdict != "accepted" or reading.document is None or isinstance(reading.document, Unbuilt), "load calls it unsupported"
        return
    except CheckpointError as error:
        assert reading.report.verdict != "accepted", f"accepted, and load raises {error}"
        return
    assert reading.report.verdict == "accepted", f"{reading.report.verdict}, and load gives {type(value)}"
    _lazily(data, policy)


def _consistent(reading: Reading, size: int) -> None:
    report = reading.report
    assert report.bytes_total == size
    assert report.opcodes <= LIMITS.opcodes
    assert report.tensors <= LIMITS.tensors
    assert report.tensor_bytes <= LIMITS.total_tensor_bytes
    assert len(report.findings) <= LIMITS.findings
    assert (report.verdict == "accepted") == (not report.errors), "a verdict without a reason"
    if report.verdict == "accepted":
        assert report.bytes_accounted == size, f"accepted with {report.bytes_accounted} of {size} bytes accounted for"


def _lazily(data: bytes, policy: str) -> None:
    """The lazy view of an accepted file gives each of its tensors."""
    with safeload.open(data, policy=policy, limits=LIMITS) as checkpoint:
        for name in checkpoint.keys():  # noqa: SIM118 - not a mapping
            checkpoint.info(name)
            checkpoint.get_tensor(name)


def check_machine(data: bytes) -> None:
    """One pickle stream: interpreted, judged, rendered and listed; what is well-formed assembles back to its bytes."""
    with armed():
        budget = Budget(LIMITS)
        try:
            graph = interpret(data, budget=budget)
        except CheckpointError as error:
            graph = error.partial  # type: ignore[assignment]
            if graph is None:
                return
        assert graph.opcodes <= LIMITS.opcodes + 1
        assert [record.index for record in graph.log] == list(range(len(graph.log)))
        for policy in POLICIES:
            try:
                judgement = vet(graph, _policies[policy], limits=LIMITS)
            except CheckpointError:
                continue
            assert (judgement.vetted is None) == any(finding.level == "error" for finding in judgement.findings)
        assert len(render(graph.root)) < MIB
        if not graph.end or graph.end > LISTED_BYTES:
            return
        for _ in listing(data, graph):
            pass
    # outside the guard: the assembler reads its literals with ast, which compiles
    assert assemble(disassemble(data)) == data[: graph.end], "the listing does not assemble to the stream"


UNREAD = NAMED_ALONE | {"torch.legacy"}  # which only its pickles can take apart


def check_zip(data: bytes) -> None:
    """Containers alone: what opens is accounted for to the last byte, and every member lies inside the file and can be read, or refused."""
    with armed():
        source = ByteSource(name="<fuzz>", size=len(data), buffer=data)
        budget = Budget(LIMITS)
        try:
            container = open_container(source, LIMITS, budget)
        except CheckpointError:
            return
        size = container.source.size  # of a compressed file, what was in it
        if container.unpacked_from is not None:
            size = container.unpacked_from
        if container.format not in UNREAD:
            assert container.accounted == size, f"{container.accounted} of {size} bytes accounted for"
        _members(container.source, container, budget)
        assert budget.inflated_bytes <= LIMITS.inflated_bytes


def _members(source: ByteSource, container: Container, budget: Budget) -> None:
    assert set(container.pickles) <= set(container.members)
    for member in container.members.values():
        assert 0 <= member.offset <= member.offset + member.stored_size <= source.size
        try:
            content = read_member(source, member, LIMITS, budget=budget)
        except CheckpointError:
            continue
        assert len(content) == member.size


def check_scan(data: bytes) -> None:
    """A report, whatever the policy and the options are, and the same one twice."""
    with armed():
        for policy in JUDGES:
            for options in ({}, {"encoding": "bytes"}, {"encoding": "latin1", "verify": "crc", "digest": True}):
                report = safeload.scan(data, policy=policy, limits=LIMITS, **options)  # type: ignore[arg-type]
                assert (report.verdict == "accepted") == (not report.errors)
        assert report == safeload.scan(data, policy=policy, limits=LIMITS, **options)  # type: ignore[arg-type]


def check_policy(data: bytes) -> None:
    """A policy file: a policy that judges, or every problem with its line."""
    with armed():
        try:
            file = parse_policy(data, "<fuzz>", TODAY)
            policy = resolve_file(file, None, today=TODAY) if all(parent.policy in SHIPPED for parent in file.extends) else None
        except PolicyFileError as error:
            assert error.problems
            assert str(error).startswith("<fuzz>")
            return
        if policy is not None:
            for program in PROGRAMS:
                safeload.scan(program, policy=policy)


def check_json(data: bytes) -> None:
    """What the strict reader takes, json reads as the same value."""
    try:
        ours = parse_json(data, floats=True)
    except BadJson:
        return
    assert repr(ours) == repr(json.loads(data.decode("utf-8")))


_policies = {name: load_policy(name) for name in POLICIES}
JUDGES = [load_policy(name) for name in ("weights-only", "checkpoint", "inspect", "sklearn")]
PROGRAMS = (b"\x80\x02}.", b"\x80\x02ccollections\nOrderedDict\n)R.", b"cposix\nsystem\n(S'true'\ntR.")
TODAY = datetime.date(2026, 11, 27)


def _sevenzip() -> bytes:
    """A 7z archive, which no seed is: its reader is an extra. Raises `ImportError` without it."""
    import py7zr

    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        archive.writestr(PROGRAMS[0], "a.pkl")
    return out.getvalue()


def warm_up() -> None:
    """Let everything that safeload imports late, by names of its own, be imported before the guard is armed; seeds reach what the modules do not."""
    for module in pkgutil.walk_packages(safeload.__path__, "safeload."):
        if not module.name.startswith(NOT_READERS):
            import_module(module.name)
    with suppress(ImportError):
        read(_sevenzip(), limits=LIMITS)
    for path in sorted((Path(__file__).parent / "seeds").glob("*")):
        data = path.read_bytes()
        for policy in POLICIES:
            read(data, policy=policy, limits=LIMITS, digest=True)
            try:
                safeload.load(data, map_location="cpu", policy=policy, limits=LIMITS)
                _lazily(data, policy)
            except CheckpointError:
                continue
        try:
            disassemble(data)
        except CheckpointError:
            continue


for _name in SHIPPED:
    load_policy(_name)
warm_up()
