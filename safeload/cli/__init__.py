"""The command line: words become a call of one verb, and what comes of it an exit code.

A scan of nothing but paths, which is what gates and hooks ask for, needs no parser of options and does without `click`, half of its start. Everything else goes
through `words`. Exit codes, the same for every verb and format: 0 accepted, 1 rejected, 2 no verdict or wrong usage, 3 nothing to check. This is the outermost
edge: nothing leaves it as a traceback.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

from safeload.collector import Paused


def program() -> NoReturn:
    """The command `safeload`: `main`, and then out, without taking the interpreter apart, which is a fifth of a scan of a small file.

    What is written is flushed by then. Where something has asked to be called at the end (`atexit`), or threads were started, Python ends as it always does.
    """
    _import_records()
    try:
        main()
    except SystemExit as ended:
        if not {"atexit", "threading"} & set(sys.modules) and isinstance(ended.code, int):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code)
        raise


def _import_records() -> None:
    """msgspec, without what it imports beside its core for those who ask it for schemas: a sixth of a scan of a small file.

    `typing_extensions`, which is there where torch is and imports `inspect`, is asked for two names that `typing` has since Python 3.11; `msgspec.inspect` is
    named and not used; two functions of `_json_schema` are named. All of them can be imported afterwards, as if nothing had been. A process that is not the
    command line alone is left as it is.
    """
    if {"msgspec", "typing_extensions"} & set(sys.modules):
        return
    absent: Any = None
    unused, schemas = ModuleType("msgspec.inspect"), ModuleType("msgspec._json_schema")
    schemas.schema, schemas.schema_components = _schema, _schema_components  # type: ignore[attr-defined]
    stand_ins = {"typing_extensions": absent, "msgspec.inspect": unused, "msgspec._json_schema": schemas}
    sys.modules.update(stand_ins)
    try:
        with Paused():
            import msgspec
    finally:
        for name in stand_ins:
            del sys.modules[name]
    with suppress(AttributeError):
        del msgspec.inspect


def _schema(*arguments: Any, **options: Any) -> Any:
    """`msgspec.json.schema`, imported when it is called."""
    from msgspec._json_schema import schema

    return schema(*arguments, **options)


def _schema_components(*arguments: Any, **options: Any) -> Any:
    """`msgspec.json.schema_components`, the same."""
    from msgspec._json_schema import schema_components

    return schema_components(*arguments, **options)


def main(arguments: list[str] | None = None) -> NoReturn:
    """One command line, for programs that call it. Always ends in `SystemExit`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks must not end the report
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    from safeload.cli.common import EXIT_NO_VERDICT, Ended, complain  # behind `_import_records`

    words = sys.argv[1:] if arguments is None else arguments
    word = _both(words)
    if word is not None:
        complain(f"{word!r} is an option here, and there is a file of that name: write ./{word} for the file, or rename it")
        return EXIT_NO_VERDICT
    try:
        code = _run_words(words)
        sys.stdout.flush()
        return code
    except Ended as ended:
        return ended.code
    except KeyboardInterrupt:
        complain("interrupted")
        return EXIT_NO_VERDICT
    except (BrokenPipeError, SystemExit):
        # click turns EPIPE into SystemExit(1), and 1 means rejected here.
        _close_stdout()
        return EXIT_NO_VERDICT
    except Exception as error:
        complain(f"internal error, please report it: {type(error).__name__}: {error} ({_last_frame(error)})")
        return EXIT_NO_VERDICT


def _run_words(words: list[str]) -> int:
    if len(words) > 1 and words[0] == "scan" and all(word == "-" or not word.startswith("-") for word in words):
        with Paused():  # nothing of what is imported is garbage
            from safeload.cli.scanning import scan_paths
        return scan_paths(tuple(words[1:]))
    from safeload.cli.words import run

    return run(words)


def _both(words: list[str]) -> str | None:
    """A word that is read as an option and that is the name of a file: `scan *` in a folder with a file named --policy=x.toml would be judged by that file."""
    options = words[: words.index("--")] if "--" in words else words
    return next((word for word in options if len(word) > 1 and word.startswith("-") and os.path.lexists(word)), None)


def _close_stdout() -> None:
    """The reader has gone: what is still buffered goes nowhere, and the interpreter's own flush at exit must not complain."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def _last_frame(error: Exception) -> str:
    """Where it happened: `judge.py:123`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace is not None else "?"
