"""`python -m benchmarks.gpu`: loading onto one CUDA device, beside its peers and beside what the bus can do. One command, under ten minutes, a table and JSON.

Needs CuPy and a device. torch, safetensors and fastsafetensors join where they are installed, and are named as missing where not. It writes its own files,
into /dev/shm where that has room, so that every reader starts from memory: a bf16 state dict as a torch zip and as safetensors, smaller where memory is short,
and 20,000 small tensors. The limit is measured first: the best pinned host-to-device copy of 256 MiB. Contestants take turns; each run is a fresh process that
has imported its library and made its CUDA context before the clock starts, and loads twice: with empty memory pools, and again with what the first left there.
The first and last bytes of every tensor are compared with the file. Host memory is the growth of RssAnon, sampled, plus the pinned ring.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

GB, MIB = 10**9, 1 << 20
TENSORS, SMALL_TENSORS, SMALL_SHAPE = 300, 20_000, (16, 16)
ALIGNMENT = 64
LIMIT_BYTES, LIMIT_COPIES = 256 * MIB, 20
SHARE = 0.4  # of the room that there is: the files hold everything twice, and a device may for a moment
PACKAGES = ("safeload", "cupy-cuda12x", "cupy-cuda13x", "numpy", "torch", "safetensors", "fastsafetensors", "kvikio-cu12")
CONTESTS = {
    "large": (
        "safeload.load",
        "safeload.torch.load",
        "safeload.cupy.load_file (safetensors)",
        "torch.load",
        "torch.load, mmap",
        "safetensors.torch.load_file",
        "fastsafetensors",
    ),
    "small": ("safeload.load", "safeload.torch.load", "torch.load", "safetensors.torch.load_file"),
}
NEEDS = {
    "safeload.torch.load": "torch",
    "torch.load": "torch",
    "torch.load, mmap": "torch",
    "safetensors.torch.load_file": "safetensors",
    "fastsafetensors": "fastsafetensors",
}
COLUMNS = ("contestant", "second load, ms", "first load, ms", "GB/s", "of the limit", "host MiB", "runs")


# ---- files ------------------------------------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    """BINUNICODE."""
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + value.to_bytes(4, "little", signed=True)


def pickled(shapes: dict[str, tuple[int, int]]) -> bytes:
    """The stream of a state dict of bf16 matrices, as torch.save writes it, less the memo."""
    out = [b"\x80\x02}("]
    for key, (name, (rows, columns)) in enumerate(shapes.items()):
        storage = b"(" + text("storage") + b"ctorch\nBFloat16Storage\n" + text(str(key)) + text("cpu") + number(rows * columns) + b"tQ"
        geometry = number(0) + number(rows) + number(columns) + b"\x86" + number(columns) + number(1) + b"\x86\x89"
        out.append(text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + geometry + b"ccollections\nOrderedDict\n)RtR")
    return b"".join([*out, b"u."])


def write_zip(path: Path, shapes: dict[str, tuple[int, int]], content: Callable[[int, int], memoryview]) -> None:
    """A torch zip whose storages start at multiples of 64, as torch's do."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled(shapes))
        archive.writestr("archive/byteorder", b"little")
        for key, (rows, columns) in enumerate(shapes.values()):
            info = zipfile.ZipInfo(f"archive/data/{key}")
            start = archive.fp.tell() + 30 + len(info.filename) + 4  # type: ignore[union-attr]
            padding = -start % ALIGNMENT
            info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            archive.writestr(info, content(key, rows * columns * 2))  # type: ignore[arg-type]
        archive.writestr("archive/version", b"3\n")


def write_safetensors(path: Path, shapes: dict[str, tuple[int, int]], content: Callable[[int, int], memoryview]) -> None:
    """The same tensors in the format of the peers."""
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [end, end + rows * columns * 2]}
        end += rows * columns * 2
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for key, (rows, columns) in enumerate(shapes.values()):
            file.write(content(key, rows * columns * 2))


def prepare(folder: Path, nbytes: int) -> dict[str, Any]:
    """All files, and what they hold."""
    import numpy as np

    side = int((nbytes / TENSORS / 2) ** 0.5) // 64 * 64
    large = {f"layers.{index}.weight": (side, side) for index in range(TENSORS)}
    small = {f"layers.{index}.weight": SMALL_SHAPE for index in range(SMALL_TENSORS)}
    longest = side * side * 2
    noise = np.random.default_rng(0).bytes(longest + 4096 * 16)

    def content(key: int, length: int) -> memoryview:
        start = key * 16 % 4096 * 16
        return memoryview(noise)[start : start + length]

    for name, shapes in (("large", large), ("small", small)):
        write_zip(folder / f"{name}.pt", shapes, content)
        write_safetensors(folder / f"{name}.safetensors", shapes, content)
    return {"large": side * side * 2 * TENSORS, "small": SMALL_SHAPE[0] * SMALL_SHAPE[1] * 2 * SMALL_TENSORS}


# ---- one run, in a process of its own ---------------------------------------------------------------------------------------------------------


class Watch(threading.Thread):
    """The largest RssAnon while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.peak = self.start_bytes = anonymous()

    def run(self) -> None:
        while not self.over.wait(0.002):
            self.peak = max(self.peak, anonymous())


def anonymous() -> int:
    """RssAnon of this process in bytes: without mapped files, shared memory and the page cache."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def loader(name: str, folder: str, contest: str) -> Callable[[], Any]:
    """A function that loads the file onto device 0 and returns a dict of arrays. Imports and the CUDA context are behind it when it is timed."""
    archive, tensors = f"{folder}/{contest}.pt", f"{folder}/{contest}.safetensors"
    if name in ("safeload.load", "safeload.cupy.load_file (safetensors)"):
        import cupy

        import safeload
        import safeload.cupy

        cupy.zeros(1).get()
        if name == "safeload.load":
            return lambda: safeload.load(archive, "cuda:0")
        return lambda: safeload.cupy.load_file(tensors, device="cuda:0")
    import torch

    torch.zeros(1, device="cuda").cpu()
    if name == "safeload.torch.load":
        import cupy

        import safeload.torch

        cupy.zeros(1).get()
        return lambda: safeload.torch.load(archive, "cuda:0")
    if name.startswith("torch.load"):
        mapped = name.endswith("mmap")
        return lambda: torch.load(archive, map_location="cuda:0", weights_only=True, mmap=mapped)
    if name == "safetensors.torch.load_file":
        from safetensors.torch import load_file

        return lambda: load_file(tensors, device="cuda:0")
    from fastsafetensors import SafeTensorsFileLoader, SingleGroup

    def fast() -> Any:
        files = SafeTensorsFileLoader(SingleGroup(), "cuda:0", nogds=True)
        files.add_filenames({0: [tensors]})
        buffers = files.copy_files_to_device()
        found = {key: buffers.get_tensor(key) for key in files.get_keys()}
        found["keep"] = buffers  # the tensors are views of it
        return found

    return fast


def settle(name: str) -> None:
    """Wait for the device: some loaders return before their copies are over."""
    if name.startswith(("torch", "safetensors", "fast")):
        import torch

        torch.cuda.synchronize()
    else:
        import cupy

        cupy.cuda.Device().synchronize()


def bits(array: Any, part: slice) -> bytes:
    """Some bytes of a tensor, from the device."""
    if hasattr(array, "untyped_storage"):
        import torch

        return bytes(array.reshape(-1)[part].contiguous().view(torch.uint8).cpu().numpy())
    return bytes(array.reshape(-1)[part].view("u2").get().tobytes())


def child(name: str, folder: str, contest: str) -> None:
    """Load twice, print what it took."""
    load = loader(name, folder, contest)
    watch = Watch()
    watch.start()
    seconds = []
    value: Any = None
    for _ in range(2):
        value = None
        settle(name)
        start = time.perf_counter()
        value = load()
        settle(name)
        seconds.append(time.perf_counter() - start)
    watch.over.set()
    watch.join()
    with Path(f"{folder}/{contest}.safetensors").open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        for key, entry in list(header.items())[:: max(len(header) // 50, 1)]:
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            for part, place in ((slice(0, 8), begin), (slice(-8, None), end - 16)):
                file.seek(place)
                if bits(value[key], part) != file.read(16):
                    raise SystemExit(f"{name}: {key} is not what the file holds")
    print(json.dumps({"first": seconds[0], "second": seconds[1], "host_bytes": watch.peak - watch.start_bytes}))


# ---- the whole --------------------------------------------------------------------------------------------------------------------------


def pinned_limit() -> float:
    """Bytes per second of the best pinned host-to-device copy."""
    import cupy

    block = cupy.cuda.alloc_pinned_memory(LIMIT_BYTES)
    memory = cupy.cuda.alloc(LIMIT_BYTES)
    stream = cupy.cuda.Stream(non_blocking=True)
    best = 0.0
    for _ in range(LIMIT_COPIES):
        first, last = cupy.cuda.Event(), cupy.cuda.Event()
        stream.record(first)
        memory.copy_from_host_async(block.ptr, LIMIT_BYTES, stream)
        stream.record(last)
        last.synchronize()
        best = max(best, LIMIT_BYTES / (cupy.cuda.get_elapsed_time(first, last) / 1000))
    return best


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measured(name: str, folder: str, contest: str) -> dict[str, Any]:
    """One run in a fresh process, or why there is none."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", name, "--folder", folder, "--contest", contest]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1][:300]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def goals(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Each goal and what became of it; what could not be measured says so."""
    from safeload.placement.settings import DEFAULT

    def best(contest: str, name: str) -> float | None:
        seconds = found["contests"].get(contest, {}).get(name, {}).get("seconds")
        return float(seconds) if seconds else None

    def ratio(contest: str, ours: str, peer: str, least: float) -> str:
        mine, its = best(contest, ours), best(contest, peer)
        return "not measured" if mine is None or its is None else f"{its / mine:.2f} ({'met' if its / mine >= least else 'NOT met'})"

    mine = best("large", "safeload.load")
    share = found["bytes"]["large"] / mine / found["limit_bytes_per_second"] if mine else None
    host = found["contests"]["large"].get("safeload.load", {}).get("host_bytes")
    host_text = "not measured"
    if host is not None:
        total = host + DEFAULT.ring_bytes
        host_text = f"{total / MIB:,.0f} MiB ({'met' if total < 512 * MIB else 'NOT met'})"
    return [
        ("at least 0.9 of the pinned limit", "not measured" if share is None else f"{share:.2f} ({'met' if share >= 0.9 else 'NOT met'})"),
        ("at least 3x torch.load", ratio("large", "safeload.torch.load", "torch.load", 3)),
        ("not slower than safetensors", ratio("large", "safeload.torch.load", "safetensors.torch.load_file", 1)),
        ("not slower than fastsafetensors", ratio("large", "safeload.torch.load", "fastsafetensors", 1)),
        ("20,000 small tensors at least 10x torch.load", ratio("small", "safeload.load", "torch.load", 10)),
        ("host memory beyond the page cache under 512 MiB, ring included", host_text),
    ]


def roomy(wanted: int) -> str:
    """/dev/shm, unless it is too small for what is wanted and the temporary folder is not."""
    shared, other = "/dev/shm", tempfile.gettempdir()
    if not Path(shared).is_dir():
        return other
    free, elsewhere = shutil.disk_usage(shared).free, shutil.disk_usage(other).free
    return shared if free * SHARE >= wanted or free >= elsewhere else other


def sizes(folder: Path, wanted: int) -> int:
    """Bytes of the large state dict: what was asked for, or what memory allows. It is written twice, and lies on the device twice for a moment."""
    import cupy

    free_device = cupy.cuda.runtime.memGetInfo()[0]
    return int(min(wanted, shutil.disk_usage(folder).free * SHARE, free_device * SHARE))


def main() -> None:
    """Measure everything, print everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=10, help="of the bf16 state dict (default 10; less where memory is short)")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes for each contestant (default 3)")
    parser.add_argument("--seconds", type=int, default=480, help="stop to begin new runs after this time (default 480)")
    parser.add_argument("--folder", default="", help="where the files are written (default /dev/shm, or the temporary folder where that has more room)")
    parser.add_argument("--json", default="", help="write the JSON here too")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--contest", default="large", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.contest)
        return
    begin = time.monotonic()
    try:
        import cupy

        cupy.zeros(1).get()
    except (ImportError, RuntimeError, MemoryError) as error:  # CuPy's own errors of the driver are RuntimeErrors
        raise SystemExit(f"nothing measured: no usable CUDA device ({type(error).__name__}: {error})") from None
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    found: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": properties["name"].decode(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "packages": {package: installed(package) for package in PACKAGES},
        "limit_bytes_per_second": pinned_limit(),
        "contests": {},
    }
    parent = options.folder or roomy(int(options.gigabytes * GB))
    found["folder"] = parent
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        found["bytes"] = prepare(Path(folder), sizes(Path(folder), int(options.gigabytes * GB)))
        for contest, names in CONTESTS.items():
            results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for _ in range(options.runs):
                for name in names:
                    if name in NEEDS and installed(NEEDS[name]) is None:
                        results[name].append({"error": f"{NEEDS[name]} is not installed"})
                    elif time.monotonic() - begin < options.seconds:
                        results[name].append(measured(name, folder, contest))
            found["contests"][contest] = {name: summary(runs) for name, runs in results.items()}
    found["goals"] = goals(found)
    print(report(found))
    print(json.dumps(found))
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the processes. `seconds` is that of the second load: with warm pools, as all contestants have them."""
    good = [run for run in runs if "error" not in run]
    if not good:
        return {"error": runs[0]["error"] if runs else "no time was left"}
    return {
        "seconds": statistics.median(run["second"] for run in good),
        "first": statistics.median(run["first"] for run in good),
        "host_bytes": max(run["host_bytes"] for run in good),
        "runs": len(good),
    }


def report(found: dict[str, Any]) -> str:
    """The tables for benchmarks/README.md."""
    limit = found["limit_bytes_per_second"]
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items() if number)
    lines = [f"### {found['date']}: {found['device']}", "", f"{found['machine']}; {packages}.", "", f"Pinned host-to-device limit: {limit / GB:.1f} GB/s."]
    for contest, title in (("large", f"{TENSORS} tensors of bf16"), ("small", f"{SMALL_TENSORS:,} tensors of bf16")):
        size = found["bytes"][contest]
        lines += ["", f"#### {title}, {size / GB:.2f} GB", "", f"| {' | '.join(COLUMNS)} |", "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
        for name, result in found["contests"][contest].items():
            if "error" in result:
                lines.append(f"| {name} | {result['error']} | | | | | |")
                continue
            rate = size / result["seconds"]
            numbers = f"{result['seconds'] * 1e3:,.1f} | {result['first'] * 1e3:,.1f} | {rate / GB:.1f} | {rate / limit:.2f}"
            lines.append(f"| {name} | {numbers} | {result['host_bytes'] / MIB:,.0f} | {result['runs']} |")
    lines += ["", "| goal | found |", "|---|---|", *(f"| {goal} | {what} |" for goal, what in found["goals"]), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
