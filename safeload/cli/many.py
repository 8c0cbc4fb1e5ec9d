"""The options of `safeload scan` for many files become rows: `--files-from`, `--jobs`, `--dask`.

Refuses, with exit 2: a list that cannot be read, standard input named twice, a listed file beside which the configuration stands that chose the policy, and
a cluster that cannot be worked with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeVar, cast

import msgspec

from safeload.cli.common import EXIT_NO_VERDICT, Ended, complain, stdin_or_path
from safeload.cli.config import Chosen, refuse_listed
from safeload.cli.walk import Target
from safeload.errors import PolicyFileError
from safeload.report.writer import Row
from safeload.source import is_uri
from safeload.sweep.many import address, rows_of
from safeload.sweep.one import Item, Job

_Command = TypeVar("_Command", bound=Callable[..., Any])
LIST_CHUNK_BYTES = 1 << 16
MAX_PATH_BYTES = 1 << 16  # of one line of a list; PATH_MAX is 4,096 on Linux


class Many(msgspec.Struct, frozen=True, kw_only=True):
    """What the options said."""

    files_from: str | None = None
    null: bool = False
    jobs: int | None = None  # None: one here, or as many as a cluster has threads
    dask: str | None = None
    cache: str | None = None


def many_options(command: _Command) -> _Command:
    """All of them, gathered into one argument `many`."""
    import click

    def gathered(*arguments: Any, files_from: str | None, null: bool, jobs: int | None, dask: str | None, cache: str | None, **others: Any) -> Any:
        many = Many(files_from=files_from, null=null, jobs=os.cpu_count() or 1 if jobs == 0 else jobs, dask=dask, cache=cache)
        return command(*arguments, many=many, **others)

    gathered.__name__, gathered.__doc__ = command.__name__, command.__doc__
    made: Any = gathered
    if hasattr(command, "__click_params__"):
        made.__click_params__ = command.__click_params__
    rows = "Keep results in this folder, and take them from there for files of the same content."
    made = click.option("--cache", metavar="DIR", help=rows)(made)
    processes = "Processes that read files; 0 is one for each CPU. With --dask, tasks at once."
    cluster = "Let the workers of this dask.distributed scheduler read the files, which they need to see under the same paths (extra dask)."
    made = click.option("--dask", metavar="ADDRESS", help=cluster)(made)
    made = click.option("--jobs", "-j", type=click.IntRange(0, 1024), show_default="1", help=processes)(made)
    made = click.option("--null", "-0", "null", is_flag=True, help="The names in that list end with NUL, as find -print0 has them.")(made)
    made = click.option("--files-from", metavar="FILE|-", help="Also the files and folders of this list, a line for each.")(made)
    return cast(_Command, made)


def all_paths(paths: tuple[str, ...], many: Many, chosen: Chosen) -> Iterable[str]:
    """The paths of the command line, then those of the list, as it is read."""
    if many.files_from is None:
        return paths
    if many.files_from == "-" and "-" in paths:
        import click

        raise click.BadParameter("standard input is either a file or a list of files", param_hint="'--files-from'")
    return _with_list(paths, many.files_from, many.null, chosen)


def _with_list(paths: tuple[str, ...], file: str, null: bool, chosen: Chosen) -> Iterator[str]:
    yield from paths
    try:
        with sys.stdin.buffer if file == "-" else open(file, "rb") as stream:
            for path in listed(stream, b"\0" if null else b"\n"):
                refuse_listed(chosen, path)
                yield path
    except OSError as error:
        complain(f"--files-from {file}: {error.strerror or error}")
    except (PolicyFileError, ValueError) as error:
        for line in str(error).splitlines():
            complain(line)
    else:
        return
    raise Ended(EXIT_NO_VERDICT)


def listed(stream: IO[bytes], end: bytes) -> Iterator[str]:
    """The names of a list; empty ones are none, and a carriage return in front of a newline is not part of one."""
    rest = b""
    while chunk := stream.read1(LIST_CHUNK_BYTES) if hasattr(stream, "read1") else stream.read(LIST_CHUNK_BYTES):
        *names, rest = (rest + chunk).split(end)
        for name in names:
            yield from _name(name, end)
        if len(rest) > MAX_PATH_BYTES:
            raise ValueError(f"--files-from: a name of more than {MAX_PATH_BYTES:,} bytes; is this a list of paths?")
    yield from _name(rest, end)


def _name(name: bytes, end: bytes) -> Iterator[str]:
    name = name.removesuffix(b"\r") if end == b"\n" else name
    if name:
        yield os.fsdecode(name)


def judged(targets: Iterable[Target], job: Job, many: Many) -> Iterator[tuple[Target, Row]]:
    """Each target with its row, in their order."""
    if many.cache is not None:
        job = msgspec.structs.replace(job, cache=_cache(many.cache))
    if many.dask is None:
        yield from _judged(rows_of(map(_item, targets), job, jobs=many.jobs or 1))
        return
    from safeload.sweep.cluster import Cluster, ClusterError

    try:
        cluster = Cluster(many.dask, lost=lambda why: complain(f"--dask: {why}; going on with processes here"))
    except ClusterError as error:
        complain(f"--dask: {error}")
        raise Ended(EXIT_NO_VERDICT) from error
    with cluster:
        yield from _judged(rows_of(map(_item, targets), job, jobs=many.jobs or cluster.threads, executor=cluster))


def _judged(rows: Iterator[tuple[Item, Row]]) -> Iterator[tuple[Target, Row]]:
    for item, row in rows:
        yield Target("-" if item.source is not None and not isinstance(item.source, str) else item.shown, item.problem), row


def _cache(folder: str) -> str:
    """Where rows are kept; a folder that cannot hold any becomes a complaint and exit 2."""
    from safeload.sweep.cache import check_folder

    try:
        check_folder(folder)
    except OSError as error:
        complain(f"--cache {folder}: {error.strerror or error}")
        raise Ended(EXIT_NO_VERDICT) from None
    return os.path.abspath(folder)


def _item(target: Target) -> Item:
    if target.path == "-":
        return Item("<stdin>", stdin_or_path("-"))
    if target.problem is None and is_uri(target.path):
        return address(target.path)
    return Item(target.path, None, target.problem)
