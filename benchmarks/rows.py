"""The rows: which contestants do the same work on which files, how it is measured, and the goals that were set for it.

The first contestant of a row is safeload, and ratios are theirs to ours. `same`: what it reads is compared with what the first one reads before anything is
timed; contestants that read another thing (a list of opcodes, a map of bytes) are marked, and a reader that cannot read the file is named with its reason.
Ours run with the interpreter of this program; `peers` run in an environment of their own (`requirements.txt`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Mode = Literal["load", "cold", "process", "command"]
FOLDER = "folder500"
MIB = 1 << 20
KIB = 1 << 10


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """One of a row. `load` is an expression over `path`; a `command` has `{path}` in it."""

    label: str
    file: str  # below the folder of workloads
    imports: str = ""
    load: str = ""
    command: tuple[str, ...] = ()
    peers: bool = True
    same: bool = True
    most: int = 99  # rounds at most, for those that take minutes
    warm: str = "tiny.pt"
    start: tuple[str, ...] = ()  # a command whose work is nothing but its start
    times: int = 1  # what a command does beyond `start` counts so often, and the table says so


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What was aimed at. `at_least`: theirs ÷ ours by `against`. `at_most`: ours ÷ theirs, or ours alone in the unit of `quantity`."""

    quantity: Literal["cpu", "wall", "memory", "own_memory", "peak", "read_share"]
    against: str = ""
    at_least: float | None = None
    at_most: float | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the report. `process`: imports included. `command`: a command line. `load`: warm page cache. `cold`: a file not in the page cache."""

    id: str
    title: str
    mode: Mode
    needs: tuple[str, ...]  # workloads
    contestants: tuple[Contestant, ...]
    goals: tuple[Goal, ...] = ()
    memory: bool = False
    ends: tuple[int, ...] | None = None  # exit codes of a command that mean that it did its work; None: any, and it is shown
    quick: bool = True


def _ours(
    label: str, file: str, load: str = "safeload.load(path)", *, same: bool = True, warm: str = "tiny.pt", imports: str = "import safeload"
) -> Contestant:
    return Contestant(label=label, file=file, imports=imports, load=load, peers=False, same=same, warm=warm)


def _torch(label: str, file: str, arguments: str, *, most: int = 99, warm: str = "tiny.pt") -> Contestant:
    return Contestant(label=label, file=file, imports="import torch", load=f"torch.load(path, {arguments})", most=most, warm=warm)


TORCH_MMAP = "torch.load weights_only mmap"
TORCH = "torch.load weights_only"
ST_TORCH = "safetensors.torch.load_file"
SAFE_OPEN_NUMPY = "safetensors.safe_open numpy"


def _state(name: str) -> tuple[Contestant, ...]:
    """All readers of a file of large tensors."""
    pt, st = f"{name}.pt", f"{name}.safetensors"
    opened = "{key: file.get_tensor(key) for file in [safe_open(path, FRAMEWORK)] for key in file.keys()}"
    tiny = "tiny.safetensors"
    return (
        _ours("safeload.load", pt),
        _torch(TORCH_MMAP, pt, "weights_only=True, mmap=True"),
        _torch("torch.load weights_only=False mmap", pt, "weights_only=False, mmap=True"),
        _torch(TORCH, pt, "weights_only=True", most=1),
        _torch("torch.load weights_only=False", pt, "weights_only=False", most=1),
        Contestant(label=ST_TORCH, file=st, imports="from safetensors.torch import load_file", load="load_file(path)", warm=tiny),
        Contestant(
            label="safetensors.safe_open torch", file=st, imports="from safetensors import safe_open", load=opened.replace("FRAMEWORK", "'pt'"), warm=tiny
        ),
        Contestant(
            label="safetensors.numpy.load_file",
            file=st,
            imports="import ml_dtypes; from safetensors.numpy import load_file",
            load="load_file(path)",
            most=1,
            warm=tiny,
        ),
        Contestant(
            label=SAFE_OPEN_NUMPY,
            file=st,
            imports="import ml_dtypes; from safetensors import safe_open",
            load=opened.replace("FRAMEWORK", "'np'"),
            most=99 if name == "b20k" else 1,
            warm=tiny,
        ),
        _ours("safeload.load of the .safetensors", st, warm=tiny),
    )


def _open(count: int, gigabytes: int, *, goals: tuple[Goal, ...]) -> Row:
    name = f"a{count}_{gigabytes}g"
    return Row(
        id=f"open_{name}",
        title=f"Open {count:,} tensors of {gigabytes} GB bf16, warm",
        mode="load",
        needs=("tiny", name),
        contestants=_state(name),
        goals=goals,
        memory=True,
    )


def _mapped(count: int) -> tuple[Goal, ...]:
    return (Goal(quantity="cpu", against=TORCH_MMAP, at_least=8), Goal(quantity="own_memory", at_most=MIB + KIB * count))


def _size(count: int) -> Row:
    large, small = f"a{count}_4g", f"a{count}_1g"
    return Row(
        id=f"size_{count}",
        title=f"Whatever the size: {count:,} tensors of 4 GB against as many of 1 GB",
        mode="load",
        needs=("tiny", large, small),
        contestants=(
            _ours("safeload.load of 4 GB", f"{large}.pt"),
            _ours("safeload.load of 1 GB", f"{small}.pt", same=False),
        ),
        goals=(Goal(quantity="cpu", against="safeload.load of 1 GB", at_most=1.2),),
    )


def _cold(count: int, goals: tuple[Goal, ...]) -> Row:
    name = f"a{count}_4g"
    return Row(
        id=f"cold_{name}",
        title=f"Open {count:,} tensors of 4 GB bf16, page cache cold",
        mode="cold",
        needs=("tiny", name),
        contestants=tuple(each for each in _state(name) if each.label in ("safeload.load", TORCH_MMAP, ST_TORCH, "safeload.load of the .safetensors")),
        goals=goals,
    )


# ---- touching -----------------------------------------------------------------------------------------------------------------------------

TOUCH_BYTES = "[numpy.bitwise_xor.reduce(array) for array in ARRAYS]"
TOUCH_PAGES = "[array[::512].sum() for array in ARRAYS]"  # of 64-bit words


def _touch(what: str, touch: str, *, goal: float | None) -> Row:
    def arrays(values: str) -> str:
        return touch.replace("ARRAYS", f"[value.reshape(-1).view('u8') for value in {values}]")

    def raw() -> str:  # what no reader can do without: one map, cut into as many pieces
        return touch.replace("ARRAYS", "numpy.array_split(numpy.memmap(path, 'u8', 'c', shape=os.path.getsize(path) // 8), 300)")

    torch_values = "(tensor.reshape(-1).view(torch.int64).numpy() for tensor in torch.load(path, weights_only=True, mmap=True).values())"
    st_values = "(tensor.reshape(-1).view(torch.int64).numpy() for tensor in load_file(path).values())"
    return Row(
        id=f"touch_{what}",
        title=f"Load 300 tensors of 1 GB and touch every {what[:-1]}, warm",
        mode="load",
        needs=("tiny", "a300_1g"),
        contestants=(
            _ours("safeload.load", "a300_1g.pt", arrays("safeload.load(path).values()"), imports="import numpy, safeload"),
            Contestant(label="map and touch", file="a300_1g.pt", imports="import os, numpy", load=raw(), same=False, peers=False),
            Contestant(label=TORCH_MMAP, file="a300_1g.pt", imports="import torch, numpy", load=arrays(torch_values)),
            Contestant(
                label=ST_TORCH,
                file="a300_1g.safetensors",
                imports="import torch, numpy; from safetensors.torch import load_file",
                load=arrays(st_values),
                warm="tiny.safetensors",
                same=False,  # in an order of its own
            ),
            _ours("safeload.load mmap=False", "a300_1g.pt", arrays("safeload.load(path, mmap=False).values()"), imports="import numpy, safeload"),
        ),
        goals=() if goal is None else (Goal(quantity="cpu", against="map and touch", at_most=goal),),
    )


READ_INTO = (
    "[(array, file.readinto(array)) for file in [open(path, 'rb', 0)] for size in [os.path.getsize(path) // 300] * 300 for array in [numpy.empty(size, 'u1')]]"
)


def _rows() -> list[Row]:
    rows = [
        _open(300, 4, goals=_mapped(300)),
        _cold(
            300,
            (
                Goal(quantity="cpu", against=TORCH_MMAP, at_least=10),
                Goal(quantity="wall", against=TORCH_MMAP, at_least=10),
                Goal(quantity="read_share", at_most=1 / 50),
            ),
        ),
        _size(300),
        _open(300, 1, goals=_mapped(300)),
        _touch("bytes", TOUCH_BYTES, goal=1.05),
        _touch("pages", TOUCH_PAGES, goal=None),
        Row(
            id="read_1g",
            title="Read 300 tensors of 1 GB into memory, warm",
            mode="load",
            needs=("tiny", "a300_1g"),
            contestants=(
                _ours("safeload.load mmap=False", "a300_1g.pt", "safeload.load(path, mmap=False)"),
                _torch(TORCH, "a300_1g.pt", "weights_only=True"),
                _torch("torch.load weights_only=False", "a300_1g.pt", "weights_only=False"),
                Contestant(label="readinto fresh memory", file="a300_1g.pt", imports="import os, numpy", load=READ_INTO, same=False, peers=False),
            ),
            memory=True,
        ),
        Row(
            id="process",
            title="Whole process: import, load 300 tensors of 1 GB, exit",
            mode="process",
            needs=("tiny", "a300_1g"),
            contestants=(
                _ours("safeload.load", "a300_1g.pt"),
                _torch(TORCH_MMAP, "a300_1g.pt", "weights_only=True, mmap=True"),
                _torch(TORCH, "a300_1g.pt", "weights_only=True"),
                Contestant(label=ST_TORCH, file="a300_1g.safetensors", imports="from safetensors.torch import load_file", load="load_file(path)"),
                Contestant(label="import numpy, ml_dtypes", file="a300_1g.pt", imports="import numpy, ml_dtypes", load="None", same=False, peers=False),
            ),
            goals=(Goal(quantity="cpu", against=TORCH_MMAP, at_least=15), Goal(quantity="cpu", against=TORCH, at_least=15)),
        ),
        _open(3_000, 4, goals=_mapped(3_000)),
        _cold(
            3_000,
            (
                Goal(quantity="cpu", against=TORCH_MMAP, at_least=10),
                Goal(quantity="wall", against=TORCH_MMAP, at_least=10),
                Goal(quantity="read_share", at_most=1 / 50),
            ),
        ),
        _size(3_000),
        _open(3_000, 1, goals=_mapped(3_000)),
        Row(
            id="legacy",
            title="Load 300 tensors of 1 GB from a legacy file, warm",
            mode="load",
            needs=("tiny", "legacy_1g"),
            contestants=(
                _ours("safeload.load", "legacy_1g.pth", warm="tiny.legacy"),
                _torch(TORCH, "legacy_1g.pth", "weights_only=True", warm="tiny.legacy"),
                _torch("torch.load weights_only=False", "legacy_1g.pth", "weights_only=False", warm="tiny.legacy"),
                _torch(TORCH_MMAP, "legacy_1g.pth", "weights_only=True, mmap=True", warm="tiny.legacy"),
                _ours("safeload.load mmap=False", "legacy_1g.pth", "safeload.load(path, mmap=False)", warm="tiny.legacy"),
            ),
            goals=(Goal(quantity="cpu", against=TORCH, at_least=100), Goal(quantity="memory", against=TORCH, at_least=100)),
            memory=True,
        ),
        Row(
            id="small",
            title="Load 20,000 small tensors, warm",
            mode="load",
            needs=("tiny", "b20k"),
            contestants=(
                *(each for each in _state("b20k") if each.label != "safetensors.numpy.load_file"),
                Contestant(label="C unpickler with stubs", file="b20k.pt", imports="from benchmarks.limit import stubbed", load="stubbed(path)", same=False),
            ),
            goals=(
                Goal(quantity="cpu", against=TORCH_MMAP, at_least=12),
                Goal(quantity="cpu", against=TORCH, at_least=12),
                Goal(quantity="cpu", against=ST_TORCH, at_least=2),
                Goal(quantity="cpu", against=SAFE_OPEN_NUMPY, at_least=1),
            ),
            memory=True,
        ),
        Row(
            id="adam",
            title="Load 5,000 parameters and their Adam state, warm",
            mode="load",
            needs=("tiny", "adam5k"),
            contestants=(
                _ours("safeload.load", "adam5k.pt"),
                _torch(TORCH_MMAP, "adam5k.pt", "weights_only=True, mmap=True"),
                _torch(TORCH, "adam5k.pt", "weights_only=True"),
                _torch("torch.load weights_only=False", "adam5k.pt", "weights_only=False"),
                Contestant(label="C unpickler with stubs", file="adam5k.pt", imports="from benchmarks.limit import stubbed", load="stubbed(path)", same=False),
            ),
            goals=(Goal(quantity="cpu", against=TORCH_MMAP, at_least=12), Goal(quantity="cpu", against=TORCH, at_least=12)),
        ),
    ]
    rows += [
        _parse("b20k", "20,000 small tensors", 15),
        _parse("adam5k", "5,000 parameters and their Adam state", 15),
        _stream("b20k.pt", "b20k", "640,000 opcodes, of 20,000 small tensors", {"picklescan": 6, "fickling": 60}),
        _plain(2),
        _plain(4),
        _parse("plain", "200,000 opcodes of plain data, protocol 2", 4),
        _stream("plain_p2.pkl", "plain_p2", "200,000 opcodes of plain data, protocol 2", {}),
        _stream("plain_p4.pkl", "plain_p4", "200,000 opcodes of plain data, protocol 4", {}),
    ]
    rows += [
        Row(
            id="inline",
            title="Load 50 MB of bytes in a stream",
            mode="load",
            needs=("tiny", "inline"),
            contestants=(
                _ours("safeload.load", "inline.pkl", warm="tiny.pkl"),
                Contestant(
                    label="C unpickler with stubs", file="inline.pkl", imports="from benchmarks.limit import stubbed", load="stubbed(path)", warm="tiny.pkl"
                ),
            ),
            memory=True,
        ),
        Row(
            id="sparse",
            title="Open a zip64 file with one storage of 5 GiB, warm",
            mode="load",
            needs=("tiny", "sparse_5g"),
            contestants=(_ours("safeload.load", "sparse_5g.pt"), _torch(TORCH_MMAP, "sparse_5g.pt", "weights_only=True, mmap=True")),
            goals=(Goal(quantity="own_memory", at_most=MIB + KIB * 2),),
            memory=True,
        ),
        _nested("nested_list", "a million nested lists"),
        _nested("nested_key", "a million nested tuples as the key of a dict"),
        _scan("scan_one", "one small file", FOLDER, f"{FOLDER}/00/model-000.pt", {"picklescan": 1.5, "modelscan": 4}),
        _scan("scan_folder", "500 small files", FOLDER, FOLDER, {"picklescan": 10, "modelscan": 100, "modelaudit": 1_000}),
        _scan("scan_small", "one file of 20,000 small tensors", "b20k", "b20k.pt", {"picklescan": 12}, peak=40 * MIB),
        _scan("scan_inline", "one file of 50 MB of bytes in its stream", "inline", "inline.pkl", {"picklescan": 4}, peak=40 * MIB),
    ]
    return rows


def _plain(protocol: int) -> Row:
    name = f"plain_p{protocol}"
    return Row(
        id=name,
        title=f"Load 200,000 opcodes of plain data, protocol {protocol}",
        mode="load",
        needs=("tiny", "plain", name),
        contestants=(
            _ours("safeload.load", f"{name}.pkl", warm="tiny.pkl"),
            *(
                (_torch("torch.load weights_only of a .pt", "plain.pt", "weights_only=True"),) if protocol == 2 else ()
            ),  # it reads no bare pickle, and no protocol 4
            Contestant(
                label="C unpickler with stubs", file=f"{name}.pkl", imports="from benchmarks.limit import stubbed", load="stubbed(path)", warm="tiny.pkl"
            ),
        ),
    )


def _parse(workload: str, what: str, bound: float) -> Row:
    """The parse stage alone: against torch's unpickler, which is given storages."""
    file = f"{workload}.pt"
    return Row(
        id=f"parse_{workload}",
        title=f"Parse the stream alone: {what}",
        mode="load",
        needs=("tiny", workload),
        contestants=(
            _ours("safeload, the machine", file, "parsed(path)", same=False, imports="from benchmarks.streams import parsed"),
            Contestant(
                label="torch's weights-only unpickler",
                file=file,
                imports="import torch; from benchmarks.streams import torch_parsed",
                load="torch_parsed(path)",
                same=False,
            ),
            _counted("C unpickler with stubs", file, "stubbed_stream"),
            _counted("pickletools.genops", file, "genops"),
        ),
        goals=(Goal(quantity="cpu", against="torch's weights-only unpickler", at_least=bound),),
    )


def _counted(label: str, file: str, function: str) -> Contestant:
    return Contestant(label=label, file=file, imports=f"from benchmarks.limit import {function}", load=f"{function}(path) and None", same=False)


def _stream(file: str, workload: str, what: str, goals: dict[str, float]) -> Row:
    """One stream and a verdict on it, inside a process."""
    begun = "from io import BytesIO; from benchmarks.limit import stream_once; "
    return Row(
        id=f"stream_{workload}",
        title=f"Judge the stream alone: {what}",
        mode="load",
        needs=("tiny", workload),
        contestants=(
            _ours("safeload, machine and policy", file, "judged(path)", same=False, imports="from benchmarks.streams import judged"),
            Contestant(
                label="picklescan",
                file=file,
                imports=begun + "from picklescan.scanner import scan_pickle_bytes",
                load="scan_pickle_bytes(BytesIO(stream_once(path)), path) and None",
                same=False,
            ),
            Contestant(
                label="fickling",
                file=file,
                imports=begun + "from fickling.fickle import Pickled; from fickling.analysis import check_safety",
                load="check_safety(Pickled.load(BytesIO(stream_once(path)))) and None",
                same=False,
                most=1,
            ),
            _counted("pickletools.genops", file, "genops"),
        ),
        goals=tuple(Goal(quantity="cpu", against=peer, at_least=bound) for peer, bound in goals.items()),
    )


def _nested(name: str, what: str) -> Row:
    return Row(
        id=name,
        title=f"Refuse {what}, whole process",
        mode="process",
        needs=("tiny", name),
        contestants=(
            _ours("safeload.load", f"{name}.pkl", same=False),
            Contestant(label=TORCH, file=f"{name}.pkl", imports="import torch", load="torch.load(path, weights_only=True)", same=False),
            Contestant(label="C unpickler with stubs", file=f"{name}.pkl", imports="from benchmarks.limit import stubbed", load="stubbed(path)", same=False),
        ),
    )


def _scan(name: str, what: str, workload: str, file: str, goals: dict[str, float], *, peak: int | None = None) -> Row:
    return Row(
        id=name,
        title=f"Command line: scan {what}, whole process",
        mode="command",
        needs=("tiny", workload),
        contestants=(
            Contestant(
                label="safeload scan", file=file, command=("{python}", "-c", "from safeload.cli import program; program()", "scan", "{path}"), peers=False
            ),
            Contestant(label="picklescan", file=file, command=("{bin}/picklescan", "--path", "{path}")),
            Contestant(label="modelscan", file=file, command=("{bin}/modelscan", "-p", "{path}"), most=3),
            _modelaudit(file),
        ),
        goals=(
            *(Goal(quantity="cpu", against=peer, at_least=bound) for peer, bound in goals.items()),
            *(() if peak is None else (Goal(quantity="peak", at_most=peak),)),
        ),
    )


def _modelaudit(file: str) -> Contestant:
    """It takes more than two seconds for a small file, so of a folder it gets a twentieth, and what it takes beyond its start counts twenty times."""
    command = ("{bin}/modelaudit", "scan", "--no-cache", "{path}")
    if file != FOLDER:
        return Contestant(label="modelaudit", file=file, command=command, most=2)
    start = (*command[:-1], "{folder}/tiny.pkl")
    return Contestant(label="modelaudit", file=f"{FOLDER}/00", command=command, most=1, start=start, times=20)


ROWS: tuple[Row, ...] = tuple(_rows())
