"""Every way safeload says no.

Two families, after h11: *the file's fault* (`CheckpointError` and its subclasses) and *somebody else's*: the policy author's
(`PolicyFileError`), the machine's (`DeviceUnavailable`). The caller's own wrong arguments are `TypeError` and `ValueError`, and a path
that cannot be opened stays the `OSError` that the operating system gave.

Law 3: a file, whatever it holds, ends in a value, a report, or a `CheckpointError`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from safeload.findings import Report


class SafeloadError(Exception):
    """The root of all errors that safeload raises itself."""


class CheckpointError(SafeloadError):
    """The file is the reason.

    `rule` is the code of the rule that it breaks (`SL1xx` container, `SL2xx` stream, ...; `safeload/findings.py` lists them),
    `member` the archive member and `offset` the byte within that member (or within the file, where there is no member).
    """

    def __init__(self, message: str, *, rule: str, member: str | None = None, offset: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule
        self.member = member
        self.offset = offset
        self.path: str | None = None  # filled in by the caller that knows it (`api`)
        # for the report: the `ObjectGraph` up to the place where a stream broke, the `Claims` of an archive that does not fit, the `ByteSource` of what was
        # inflated before the damage
        self.partial: object = None

    def __str__(self) -> str:
        place = [part for part in (self.path, self.member) if part]
        if self.offset is not None:
            place.append(f"{self.offset:#06x}")
        where = " : ".join(place)
        return f"{where}: {self.message} [{self.rule}]" if where else f"{self.message} [{self.rule}]"


class ContainerError(CheckpointError):
    """The archive around the data is malformed, ambiguous or damaged (`SL1xx`)."""


class StreamError(CheckpointError):
    """The pickle stream is malformed, or uses what safeload refuses by name (`SL2xx`)."""


class StorageError(CheckpointError):
    """A tensor does not lie inside its storage, or a storage inside the file (`SL4xx`)."""


class LimitExceeded(CheckpointError):
    """The file asks for more than the budget allows (`SL9xx`); `limits=` or a policy's `[limits]` moves it."""


class UnsupportedFormat(CheckpointError):
    """The bytes are something that safeload recognises but does not read, or nothing that it knows (`SL0xx`)."""


def without_frames(error: CheckpointError) -> CheckpointError:
    """An error that is kept and not raised on: its frames hold the bytes of the file, and they hold the error; only a garbage collection would free them."""
    seen: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        one = pending.pop()
        if id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            pending.extend(other for other in (one.__cause__, one.__context__) if other is not None)
    return error


def error_class(rule: str) -> type[CheckpointError]:
    """The class whose errors carry this rule, by the hundred of its code; SL3xx comes with a report and has a class of its own."""
    return {"SL0": UnsupportedFormat, "SL1": ContainerError, "SL2": StreamError, "SL4": StorageError, "SL9": LimitExceeded}.get(rule[:3], CheckpointError)


def several_objects(count: int) -> UnsupportedFormat:
    """The error for a file that holds more than one object, where one is asked for."""
    return UnsupportedFormat(f"the file holds {count:,} objects behind each other; load(file) with an open file reads them one by one", rule="SL002")


def not_built(what: str, hint: str) -> UnsupportedFormat:
    """The error for a file that was judged, and that safeload makes no value of."""
    return UnsupportedFormat(f"this is {what}, which safeload judges and does not load: {hint}", rule="SL002")


class PolicyRejected(CheckpointError):
    """The file was read, and the policy does not allow what it asks for. `report` holds all of the reasons at once."""

    def __init__(self, message: str, *, rule: str, report: Report, member: str | None = None, offset: int | None = None) -> None:
        super().__init__(message, rule=rule, member=member, offset=offset)
        self.report = report


class PolicyFileError(SafeloadError):
    """A policy file is wrong. `problems` holds every problem found, as `(key path, message)`, in file order, and `lines` the line of each, or None."""

    def __init__(self, file: str, problems: list[tuple[str, str]], lines: list[int | None] | None = None) -> None:
        self.file = file
        self.problems = problems
        self.lines = lines or [None] * len(problems)
        shown = [
            ": ".join(filter(None, [file if line is None else f"{file}:{line}", path, message]))
            for (path, message), line in zip(problems, self.lines, strict=True)
        ]
        super().__init__("\n".join(shown))


class DeviceUnavailable(SafeloadError, RuntimeError):
    """The device that `map_location` or the file names is not on this machine (torch raises `RuntimeError` here)."""
