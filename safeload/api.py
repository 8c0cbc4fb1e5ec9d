"""`load`, `scan`, `open` and their relatives: the numbered procedure, and nothing else.

Every file ends in a value, a report, or a `CheckpointError` (law 3). What cannot be opened at all stays the `OSError` that it is; wrong arguments are
`TypeError` and `ValueError`.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from safeload.collector import Paused
from safeload.errors import CheckpointError, PolicyRejected, error_class, several_objects
from safeload.findings import Loader, Report
from safeload.judge import Options, Reading, Verify, judge, unread_report
from safeload.limits import Limits
from safeload.policy.model import Policy
from safeload.policy.named import load_policy
from safeload.policy.today import as_of_today
from safeload.source import ByteSource, FileLike, is_seekable, is_uri, open_source

if TYPE_CHECKING:
    import os

    from safeload.budget import Budget
    from safeload.lazy import Checkpoint
    from safeload.placement.settings import Transfer
    from safeload.rebuild.views import Shown
    from safeload.storage.records import Document
    from safeload.values import OpaqueObject

DEFAULT_POLICY = "checkpoint"
PolicyLike = "str | os.PathLike[str] | Policy | None"


def load(
    f: FileLike,
    map_location: Any = None,
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    mmap: bool | Literal["r"] | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    weights_only: bool | None = True,
    limits: Limits | Mapping[str, int] | None = None,
    constructors: Mapping[str, Callable[[OpaqueObject], Any]] | None = None,
    transfer: Transfer | None = None,
    pickle_module: None = None,
) -> Any:
    """Load a checkpoint without running any of it; torch.load's signature, numpy or CuPy arrays for tensors.

    `f` is a path, bytes, or a binary file object at the start of the checkpoint. `map_location` has torch's meanings: None restores the device that
    each storage was saved from (and raises `DeviceUnavailable` where it is not there), `"cpu"`, `"cuda:1"`, a device-like object, a dict of tags, or
    a callable. `policy` is a shipped name, a path to a TOML file, or a `Policy`; default `"checkpoint"`. `mmap=None` and `True` map the file
    copy-on-write, `False` reads payloads into memory: arrays are writable and private to this process either way. `mmap="r"` maps it for reading
    alone, and arrays are not writable (the letter is that of `numpy.memmap`). What is no plain file (bytes, gzip objects, pipes) is in memory already
    and needs no map. `encoding` and `errors` decode the strings of Python 2 files. `limits` replaces single limits of the budget. `constructors` maps
    `module.name` to your own function, which gets the inert record of each such object and returns what stands in its place; it overrides an unlisted
    name, never a denied one. `transfer` says how storages travel to a device (`safeload.cupy.Transfer`: pinned memory, threads).

    1. Open the source. 2. Read and judge it (`judge`). 3. Refuse what is not accepted. 4. Place the storages. 5. Replay the vetted log.

    Raises `PolicyRejected` (with `.report`, naming everything at once), other `CheckpointError`s, `DeviceUnavailable`, `PolicyFileError`, `OSError`.
    """
    return load_shown(
        f,
        map_location,
        policy=policy,
        mmap=mmap,
        encoding=encoding,
        errors=errors,
        weights_only=weights_only,
        limits=limits,
        constructors=constructors,
        transfer=transfer,
        pickle_module=pickle_module,
    )


def load_shown(
    f: FileLike,
    map_location: Any,
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    mmap: bool | Literal["r"] | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    weights_only: bool | None = True,
    limits: Limits | Mapping[str, int] | None = None,
    constructors: Mapping[str, Callable[[OpaqueObject], Any]] | None = None,
    transfer: Transfer | None = None,
    pickle_module: None = None,
    shown: Shown | None = None,
) -> Any:
    """`load`, with tensors shown as another library's. See there."""
    if weights_only is not True and weights_only is not None:  # None is torch's default, and means True there as well
        raise TypeError("weights_only=False would run the file; safeload never does. policy='inspect' reads any class as an inert record")
    if pickle_module is not None:
        raise TypeError("safeload has no pickle_module; what may be loaded is decided by policy=")
    if not (mmap is None or isinstance(mmap, bool) or mmap == "r"):
        raise TypeError(f"mmap is True, False, 'r' or None, not {mmap!r}")
    resolved, budget_limits = policy_and_limits(policy, limits)
    is_file = is_seekable(f)
    options = _options(encoding, errors, extra_opaque=frozenset(constructors or ()), first_only=is_file, brief=True)
    start = f.tell() if is_file else 0  # type: ignore[union-attr]
    # 1
    with open_source(f, budget_limits) as source, Paused():
        source.read_only = mmap == "r"
        # 2 to 5, without the garbage collector walking what has just been made
        reading = _accepted(judge(source, resolved, budget_limits, options), source)
        end = reading.ends[0] if is_file and reading.ends and "+" not in reading.report.format else None
        proved = _proved(reading)
        del reading  # the bytes of the streams and the report, before there are arrays
        value = _built(proved, map_location, mapped=mmap is not False, constructors=dict(constructors or {}), transfer=transfer, shown=shown)
        del proved  # with all that was read, before the collector would walk it
    if end is not None:
        f.seek(start + end)  # type: ignore[union-attr]  # behind this save, as torch leaves it
    return value


def scan(
    f: FileLike,
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    encoding: str = "utf-8",
    limits: Limits | Mapping[str, int] | None = None,
    verify: Verify = None,
    digest: bool = False,
    loader: Loader = "safeload",
    online: bool = False,
) -> Report:
    """Judge one file without building anything: no array is made and numpy is not imported.

    `verify="crc"` compares the CRC-32 of storages too, `digest=True` adds the file's sha256; both read every byte. See `judge` for the procedure.
    `loader="any"` judges for every program that could load the file, and not for safeload alone: what it keeps as records, and code, are errors.
    `online=True` also takes addresses (`https://`, `s3://bucket/key`, `hf://org/model@revision/file`): only what is judged is fetched, and `Report.remote` says
    what was; a digest is there only if that was all of it, and `verify` cannot be asked for. Whatever the network does is an inconclusive report.
    Raises `OSError` for a path that cannot be opened and `PolicyFileError`; every file that opens gets a report.
    """
    with Paused():  # until the graph is gone again: the first collection behind it would walk all of that
        return read(f, policy=policy, encoding=encoding, limits=limits, verify=verify, digest=digest, loader=loader, online=online).report


def read(
    f: FileLike | ByteSource,
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    encoding: str = "utf-8",
    limits: Limits | Mapping[str, int] | None = None,
    verify: Verify = None,
    digest: bool = False,
    loader: Loader = "safeload",
    online: bool = False,
) -> Reading:
    """`scan`, with the interpreted streams beside the report: for listings and explanations. A source that was opened already is closed."""
    resolved, budget_limits = policy_and_limits(policy, limits)
    options = _options(encoding, "strict", verify=verify, digest=digest, loader=loader)
    try:
        source = f if isinstance(f, ByteSource) else _fetched(f, budget_limits, options) if online and is_uri(f) else open_source(f, budget_limits)
    except CheckpointError as error:
        return _unreadable(error, f, resolved, budget_limits)
    with source:
        return judge(source, resolved, budget_limits, options)


def open(
    f: FileLike,
    map_location: Any = "cpu",
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    encoding: str = "utf-8",
    limits: Limits | Mapping[str, int] | None = None,
    transfer: Transfer | None = None,
) -> Checkpoint:
    """A lazy view: names, dtypes, shapes and extents now, the bytes of one tensor or slice when they are asked for. After `safetensors.safe_open`.

    Use as a context manager. Judges the whole file first, as `load` does, and raises the same errors; payloads are not read. `transfer` says how storages
    travel to a device.
    """
    from safeload.lazy import Checkpoint
    from safeload.placement.settings import DEFAULT

    resolved, budget_limits = policy_and_limits(policy, limits)
    options = _options(encoding, "strict")
    source = open_source(f, budget_limits)
    try:
        reading = _accepted(judge(source, resolved, budget_limits, options), source)
        return Checkpoint(reading, source, map_location, DEFAULT if transfer is None else transfer)
    except BaseException:
        source.close()
        raise


class RestrictedUnpickler:
    """One bare pickle stream from a binary file, after `pickle.Unpickler`: `RestrictedUnpickler(file, policy="checkpoint").load()`.

    `load` reads one stream and leaves a seekable file behind its STOP, so pickles that follow each other are loaded one by one.
    """

    def __init__(
        self,
        file: Any,
        *,
        policy: str | os.PathLike[str] | Policy | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        limits: Limits | Mapping[str, int] | None = None,
    ) -> None:
        self._file = file
        self._policy, self._limits = policy_and_limits(policy, limits)
        self._options = _options(encoding, errors, first_only=True)

    def load(self) -> Any:
        """The value of the next stream. Raises as `safeload.load` does, and `EOFError` where nothing follows, as pickle does."""
        start = self._file.tell() if is_seekable(self._file) else None
        with open_source(self._file, self._limits) as source:
            if not source.size:
                raise EOFError("the file holds no further pickle")
            reading = judge(source, self._policy, self._limits, self._options)
            value = _built(_proved(_accepted(reading, source)), "cpu", mapped=False, constructors={})
        if start is not None and reading.ends and "+" not in reading.report.format:
            self._file.seek(start + reading.ends[0])
        return value


def get_unsafe_globals_in_checkpoint(f: FileLike, *, policy: str | os.PathLike[str] | Policy | None = "weights-only") -> list[str]:
    """Every name in the file that the policy does not allow, sorted; after `torch.serialization.get_unsafe_globals_in_checkpoint`.

    Raises the `CheckpointError` of a file that cannot be read: torch sees some names where it understands the opcodes, and calls the rest fine.
    """
    reading = read(f, policy=policy)
    if reading.error is not None:
        raise _placed(reading.error, reading.report.path)
    from safeload.policy.aliases import canonical_name

    return sorted({canonical_name(use.global_name) for use in reading.report.globals if use.decision == "denied"})


# ---- shared steps -----------------------------------------------------------------------------------------------------------------------


def _options(encoding: str, errors: str, **more: Any) -> Options:
    """The options of one call. Raises `ValueError` for a text encoding or error handler that does not exist, before the file is touched."""
    if not isinstance(encoding, str) or not isinstance(errors, str):
        raise TypeError("encoding and errors are names of text encodings and error handlers")
    if encoding not in ("bytes", "utf-8") or errors != "strict":
        try:
            "a".encode(encoding).decode(encoding, errors)
            codecs.lookup_error(errors)
        except (LookupError, ValueError) as error:  # UnicodeError is a ValueError: the encoding "undefined" raises it for any text
            raise ValueError(f"encoding={encoding!r}, errors={errors!r}: {error}") from None
    return Options(encoding=encoding, errors=errors, **more)


def policy_and_limits(policy: str | os.PathLike[str] | Policy | None, limits: Limits | Mapping[str, int] | None) -> tuple[Policy, Limits]:
    """The policy that is meant, as of today, and the limits that hold with it."""
    resolved = as_of_today(load_policy(DEFAULT_POLICY if policy is None else policy))
    if limits is None:
        return resolved, resolved.limits
    return resolved, limits if isinstance(limits, Limits) else resolved.limits.replaced(dict(limits))


def _accepted(reading: Reading, source: ByteSource) -> Reading:
    """The reading, if the file may be loaded; the error that says why not, else."""
    error = refusal(reading)
    if error is not None:
        raise _placed(error, source.name)
    report = reading.report
    if reading.policy.mode != "enforce":
        message = f"policy {report.policy} is {reading.policy.mode}: it judges files and loads none"
        raise _placed(PolicyRejected(message, rule="SL320", report=report), source.name)
    return reading


def refusal(reading: Reading) -> CheckpointError | None:
    """Why a file was not accepted, as the error that `load` raises; None for one that was."""
    report = reading.report
    if report.verdict == "accepted":
        return None
    if report.verdict != "rejected" and reading.error is not None:
        return _placed(reading.error, report.path)
    first = report.errors[0]
    if report.verdict == "rejected":
        more = f" ({len(report.errors) - 1:,} more in .report)" if len(report.errors) > 1 else ""
        error: CheckpointError = PolicyRejected(f"{first.message}{more}", rule=first.rule, report=report, member=first.member, offset=first.offset)
    else:
        error = error_class(first.rule)(first.message, rule=first.rule, member=first.member, offset=first.offset)
    return _placed(error, report.path)


class _Proved(NamedTuple):
    """What of a reading is needed to build it."""

    document: Document
    budget: Budget
    path: str


def _proved(reading: Reading) -> _Proved:
    if reading.document is None:
        raise _placed(several_objects(reading.objects), reading.report.path)
    return _Proved(reading.document, reading.budget, reading.report.path)


def _built(
    proved: _Proved,
    map_location: Any,
    *,
    mapped: bool,
    constructors: dict[str, Callable[[OpaqueObject], Any]],
    transfer: Transfer | None = None,
    shown: Shown | None = None,
) -> Any:
    from safeload.placement.settings import DEFAULT
    from safeload.rebuild.document import Building, build
    from safeload.rebuild.views import ARRAYS

    try:
        how = Building(
            budget=proved.budget,
            map_location=map_location,
            mapped=mapped,
            constructors=constructors,
            transfer=DEFAULT if transfer is None else transfer,
            shown=ARRAYS if shown is None else shown,
        )
        return build(proved.document, how)
    except CheckpointError as error:
        _placed(error, proved.path)
        raise


def _placed(error: CheckpointError, path: str) -> CheckpointError:
    error.path = error.path or path
    return error


def _fetched(f: FileLike, limits: Limits, options: Options) -> ByteSource:
    if options.verify is not None:
        raise ValueError("verify reads every byte, and of an address only what is judged is fetched; download the file")
    from safeload.remote.opening import open_remote

    return open_remote(str(f), limits)


def _unreadable(error: CheckpointError, f: FileLike | ByteSource, policy: Policy, limits: Limits) -> Reading:
    from safeload.budget import Budget
    from safeload.findings import Finding

    path = _shown(f) if isinstance(f, str) else f"<{type(f).__name__}>"
    report = unread_report(path, policy, Finding(rule=error.rule, message=error.message, offset=error.offset))
    return Reading(report=report, container=None, document=None, objects=0, plans=(), graphs=(), ends=(), error=error, budget=Budget(limits), policy=policy)


def _shown(f: str) -> str:
    """A path as it is, an address without its credentials."""
    if not is_uri(f):
        return f
    from safeload.remote.uri import shown

    return shown(f)
