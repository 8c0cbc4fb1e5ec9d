"""The loaders of other libraries are put behind a policy, in this process: each call is judged first, and only what was accepted reaches the loader.

    torch.load   pickle.load   pickle.loads   joblib.load   numpy.load(allow_pickle=True)   pandas.read_pickle

`guard()` switches that on, for a `with` block or until `uninstall()`; nothing does it unasked. It imports none of these libraries: those that are loaded are
patched at once, others when they are imported. It refuses, with the `CheckpointError` that `safeload.load` would raise, what the policy does not accept;
names that the policy keeps as records, since another loader imports them (`records="allow"` lets them through); file formats that the loader would not take;
and streams that cannot be read twice (pipes, sockets, URLs).

What it cannot do. Code that took `pickle.loads` or `pickle.Unpickler` before, subclasses of Unpickler, and C extensions that unpickle are not reached; with
`strict=True` an audit hook (PEP 578, `pickle.find_class`) refuses names there, one by one, while the stream is already running. A file that is changed
between the judgement and the load is found out afterwards, not before; bytes, and what `pickle.load` reads, are private copies. It is a seat belt for code
that cannot be changed; where it can be, call `safeload.load`.
"""

from __future__ import annotations

import functools
import io
import os
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Literal

import msgspec

from safeload import api
from safeload.errors import CheckpointError, PolicyRejected
from safeload.findings import Report
from safeload.formats.judging import Options
from safeload.judge import Reading, judge
from safeload.limits import Limits
from safeload.policy.aliases import canonical
from safeload.policy.model import Policy
from safeload.source import ByteSource, is_seekable, open_source

__all__ = ["Guard", "GuardWarning", "guard"]


class GuardWarning(UserWarning):
    """What a guard with `enforce=False` would have refused."""


class Loader(msgspec.Struct, frozen=True, kw_only=True):
    """One function of another library: where it stands, which argument is the file, and what it reads."""

    places: tuple[tuple[str, str], ...]  # (module, name): the same function, under all names that callers use
    argument: str  # name of the file argument, which is the first one
    formats: frozenset[str]  # of `Report.format`, without compressions
    compressed: bool = False  # does it see through gzip and its like?
    kind: Literal["file", "pickle-file", "pickle-bytes", "numpy"] = "file"


LOADERS: dict[str, tuple[Loader, ...]] = {
    "pickle": (
        Loader(places=(("pickle", "load"),), argument="file", formats=frozenset({"pickle"}), kind="pickle-file"),
        Loader(places=(("pickle", "loads"),), argument="data", formats=frozenset({"pickle"}), kind="pickle-bytes"),
    ),
    "torch": (
        Loader(
            places=(("torch.serialization", "load"), ("torch", "load")),
            argument="f",
            formats=frozenset({"torch.zip", "torch.legacy", "torch.tar", "torch.script", "pickle"}),
        ),
    ),
    "joblib": (
        Loader(places=(("joblib.numpy_pickle", "load"), ("joblib", "load")), argument="filename", formats=frozenset({"pickle", "joblib"}), compressed=True),
    ),
    "numpy": (
        Loader(
            places=(("numpy.lib._npyio_impl", "load"), ("numpy.lib.npyio", "load"), ("numpy", "load")),
            argument="file",
            formats=frozenset({"npy", "npz", "pickle"}),
            kind="numpy",
        ),
    ),
    "pandas": (
        Loader(
            places=(("pandas.io.pickle", "read_pickle"), ("pandas.io.api", "read_pickle"), ("pandas", "read_pickle")),
            argument="filepath_or_buffer",
            formats=frozenset({"pickle", "zip", "tar"}),
            compressed=True,
        ),
    ),
}
"""By the package whose import brings them."""

_lock = threading.RLock()
_active: tuple[Guard, ...] = ()
_originals: dict[tuple[str, str], Any] = {}  # (module, name) -> what stood there before
_inside: ContextVar[bool] = ContextVar("safeload_guard_inside", default=False)  # is a loader running on what was judged?
_hooked = False  # an audit hook stays for the life of the process; it does nothing without a strict guard


class Guard:
    """One policy in front of the loaders, until `uninstall()` or the end of the `with` block. Guards add up: each of them has to accept."""

    __slots__ = ("enforce", "judged", "limits", "policy", "records", "refused", "strict")

    def __init__(self, policy: Policy, limits: Limits, *, records: Literal["refuse", "allow"], strict: bool, enforce: bool) -> None:
        self.policy = policy
        self.limits = limits
        self.records = records
        self.strict = strict
        self.enforce = enforce
        self.judged = 0  # calls that were judged
        self.refused = 0  # of those, how many were refused

    def uninstall(self) -> None:
        """Take this guard away; the functions are put back when the last one goes. Does nothing the second time."""
        global _active
        with _lock:
            _active = tuple(other for other in _active if other is not self)
            if not _active:
                _unpatch()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        return f"<safeload guard, policy {self.policy.name}: {self.judged:,} judged, {self.refused:,} refused>"


def guard(
    policy: str | os.PathLike[str] | Policy | None = None,
    *,
    records: Literal["refuse", "allow"] = "refuse",
    strict: bool = False,
    enforce: bool = True,
    limits: Limits | Mapping[str, int] | None = None,
) -> Guard:
    """Judge what `torch.load`, `pickle.load(s)`, `joblib.load`, `numpy.load(allow_pickle=True)` and `pandas.read_pickle` are given in this process.

    Call it once, or use it as a context manager. `policy` as for `load`, default `"checkpoint"`. `records="allow"` lets names through that the policy keeps
    as inert records, which the loader will import: for policies that list them one by one. `strict=True` refuses such names in every other unpickler
    of the process, too (also that of `multiprocessing`). `enforce=False` warns (`GuardWarning`) and loads: for the first week. The limits stand at the top
    of `safeload/guarding.py`.

    Raises `PolicyFileError`, `OSError`, and `ValueError` for other words; the guarded functions raise `CheckpointError`.
    """
    global _active
    if records not in ("refuse", "allow"):
        raise ValueError(f"records is 'refuse' or 'allow', not {records!r}")
    resolved, budget_limits = api.policy_and_limits(policy, limits)
    made = Guard(resolved, budget_limits, records=records, strict=strict, enforce=enforce)
    with _lock:
        _active = (*_active, made)
        _patch()
        if strict:
            _hook()
    return made


# ---- putting the functions in their place -------------------------------------------------------------------------------------------------


def _patch() -> None:
    for package in LOADERS:
        if package in sys.modules:
            _patch_package(package)
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


def _patch_package(package: str) -> None:
    """Replace each function by one that judges. Modules of the package that are not there (another version's layout) are passed over."""
    for loader in LOADERS[package]:
        replacements: dict[int, Any] = {}
        for place in loader.places:
            module_name, name = place
            module = sys.modules.get(module_name)
            if module is None or place in _originals or name not in vars(module):
                continue
            original = vars(module)[name]
            if id(original) not in replacements:
                replacements[id(original)] = _guarded(loader, original)
            _originals[place] = original
            vars(module)[name] = replacements[id(original)]


def _unpatch() -> None:
    for (module_name, name), original in _originals.items():
        module = sys.modules.get(module_name)
        if module is not None:
            vars(module)[name] = original
    _originals.clear()
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _AfterImport)]


class _AfterImport:
    """A finder that finds nothing itself: it has the packages of `LOADERS` patched when their import is done."""

    def __init__(self) -> None:
        self.busy: set[tuple[str, int]] = set()  # package, thread: the real finders are asked, and must not come back here

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the other finders give, with a loader that patches when it has run; None for everything else."""
        key = (name, threading.get_ident())
        if name not in LOADERS or key in self.busy:
            return None
        self.busy.add(key)
        try:
            for finder in sys.meta_path:
                found = finder.find_spec(name, path, target) if finder is not self else None
                if found is not None:
                    if found.loader is not None:
                        patching: Any = _PatchingLoader(name, found.loader)
                        found.loader = patching
                    return found
        finally:
            self.busy.discard(key)
        return None


class _PatchingLoader:
    """A module's own loader, and the patches when it has run."""

    def __init__(self, package: str, loader: Any) -> None:
        self.package = package
        self.loader = loader

    def create_module(self, spec: Any) -> Any:
        """As the loader does it."""
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """As the loader does it, then the patches."""
        spec = module.__spec__
        spec.loader = module.__loader__ = self.loader  # what reads the source or the resources of the module finds the real one
        self.loader.exec_module(module)
        with _lock:
            if _active:
                _patch_package(self.package)


# ---- judging a call -----------------------------------------------------------------------------------------------------------------------


def _guarded(loader: Loader, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def load(*args: Any, **kwargs: Any) -> Any:
        guards = _active
        if not guards or _inside.get() or (loader.kind == "numpy" and not _allows_pickle(args, kwargs)):
            return original(*args, **kwargs)
        if not args and loader.argument not in kwargs:
            return original(*args, **kwargs)  # its own complaint
        given = args[0] if args else kwargs[loader.argument]
        if loader.kind == "pickle-bytes":
            judged: Any = _judged_bytes(guards, loader, given, kwargs)
        elif loader.kind == "pickle-file":
            judged = _judged_stream(guards, loader, given, kwargs)
        else:
            judged = given
            before = _judged_file(guards, loader, given, kwargs)
            value = _run(original, args, kwargs, loader, judged)
            if before is not None and before != _state_of(given):
                raise CheckpointError("the file was changed between the judgement and the load", rule="SL005")
            return value
        return _run(original, args, kwargs, loader, judged)

    return load


def _run(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], loader: Loader, judged: Any) -> Any:
    token = _inside.set(True)
    try:
        if args:
            return original(judged, *args[1:], **kwargs)
        return original(**{**kwargs, loader.argument: judged})
    finally:
        _inside.reset(token)


def _allows_pickle(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """`numpy.load(file, mmap_mode=None, allow_pickle=False)`: without pickles there is nothing to judge."""
    return bool(kwargs.get("allow_pickle", args[2] if len(args) > 2 else False))


def _judged_bytes(guards: tuple[Guard, ...], loader: Loader, given: Any, kwargs: dict[str, Any]) -> bytes:
    """The bytes that were judged, and nobody else holds."""
    data = bytes(memoryview(given))
    for one in guards:
        with open_source(data, one.limits) as source:
            _hold(one, loader, _read(one, source, kwargs))
    return data


def _judged_stream(guards: tuple[Guard, ...], loader: Loader, given: Any, kwargs: dict[str, Any]) -> Any:
    """The one pickle at the place of a file, as a file of its own; the file then stands behind it, as pickle leaves it."""
    start = _start(given)
    data = b""
    for one in guards:
        given.seek(start)
        with open_source(given, one.limits) as source:
            reading = _read(one, source, kwargs)
            if not _hold(one, loader, reading):
                given.seek(start)
                return given
            data = source.read(0, reading.ends[0])
            (_, judged, _), *_ = reading.graphs
            if judged[: len(data)] != data:
                raise CheckpointError("the file was changed while it was judged", rule="SL005")
            data = bytes(judged[: len(data)])
    given.seek(start + len(data))
    return io.BytesIO(data)


def _judged_file(guards: tuple[Guard, ...], loader: Loader, given: Any, kwargs: dict[str, Any]) -> Any:
    """Judge a path or a file object, and say how the file on disk looked before; a file object stands where it stood."""
    start = None
    if isinstance(given, (str, bytes, os.PathLike)):
        if "://" in os.fspath(given if not isinstance(given, bytes) else given.decode("utf-8", "replace")):
            raise CheckpointError("a guard judges files on this machine: download it first", rule="SL005")
        given = os.fsdecode(given)
    else:
        start = _start(given)
    before = _state_of(given)
    for one in guards:
        if start is not None:
            given.seek(start)
        with open_source(given, one.limits) as source:
            _hold(one, loader, _read(one, source, kwargs))
    if start is not None:
        given.seek(start)
    return before


def _start(given: Any) -> int:
    if not is_seekable(given):
        raise CheckpointError("a guard reads a file before the loader does, and this one cannot go back: read it into bytes first", rule="SL005")
    return int(given.tell())


def _state_of(given: Any) -> tuple[int, int, int, int] | None:
    """Device, inode, size and time of the file behind a path or a file object; None where there is none."""
    try:
        found = os.stat(given if isinstance(given, (str, bytes, os.PathLike)) else given.fileno())
    except (OSError, AttributeError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read(one: Guard, source: ByteSource, kwargs: dict[str, Any]) -> Reading:
    encoding, errors = kwargs.get("encoding"), kwargs.get("errors")
    options = Options(encoding=encoding if isinstance(encoding, str) else "utf-8", errors=errors if isinstance(errors, str) else "strict", first_only=True)
    return judge(source, one.policy, one.limits, options)


def _hold(one: Guard, loader: Loader, reading: Reading) -> bool:
    """True where the guard accepts; raises where it does not, or warns and is False."""
    one.judged += 1
    error = _objection(one, loader, reading)
    if error is None:
        return True
    one.refused += 1
    if one.enforce:
        raise error
    warnings.warn(GuardWarning(f"{loader.places[0][0]}.{loader.places[0][1]}: {error}"), stacklevel=4)
    return False


def _objection(one: Guard, loader: Loader, reading: Reading) -> CheckpointError | None:
    report = reading.report
    if report.verdict != "accepted":
        return api.refusal(reading)
    format_, *wrappers = report.format.split("+")
    if format_ not in loader.formats or (wrappers and not loader.compressed):
        message = f"this is a file of the format {report.format}, which {loader.places[-1][0]}.{loader.places[-1][1]} would read as something else"
        return _at(CheckpointError(message, rule="SL120"), report)
    if report.has_opaque and one.records == "refuse":
        kept = next(use.global_name for use in report.globals if use.decision == "opaque")
        message = f"policy {report.policy} keeps {kept} as a record, and this loader would import it (records='allow' lets it)"
        return _at(PolicyRejected(message, rule="SL310", report=report), report)
    return None


def _at(error: CheckpointError, report: Report) -> CheckpointError:
    error.path = report.path
    return error


# ---- every other unpickler ----------------------------------------------------------------------------------------------------------------


def _hook() -> None:
    global _hooked
    if not _hooked:
        sys.addaudithook(_audit)
        _hooked = True


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event != "pickle.find_class":
        return
    for one in _active:
        if not one.strict:
            continue
        module, name = args
        full = canonical(str(module), str(name))
        kind = one.policy.decide(full).kind
        if kind != "allowed" and not (kind == "opaque" and one.records == "allow"):
            one.refused += 1
            message = f"{full} is looked up by an unpickler, and policy {one.policy.name} does not permit it"
            if one.enforce:
                raise CheckpointError(message, rule="SL301")
            warnings.warn(GuardWarning(message), stacklevel=2)
