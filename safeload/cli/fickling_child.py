"""A pickle on standard input becomes fickling's Python rendering of it and fickling's verdict, as one JSON object on standard output.

Runs as a script in a process of its own (`decompile` starts it, with `python -I`), with a memory limit that it sets for itself before it reads a byte. It
imports nothing of safeload, and nothing of what it says decides anything. fickling renders a stream as source text; it runs none of it, and neither does
this.
"""

from __future__ import annotations

import ast
import json
import sys


def limit_memory(limit: int) -> None:
    """At most `limit` bytes of address space, where the system can say so."""
    try:
        import resource
    except ImportError:  # Windows: the time limit of the parent is all there is
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def opinion(data: bytes, characters: int) -> dict[str, object]:
    """`python`, `severity`, `analysis`, each cut to `characters`; `error` where fickling gives up."""
    from fickling.analysis import check_safety
    from fickling.fickle import Pickled

    found: dict[str, object] = {}
    try:
        pickled = Pickled.load(data)
        found["python"] = ast.unparse(pickled.ast)[: characters + 1]
        result = check_safety(pickled)
        found["severity"] = result.severity.name
        found["analysis"] = result.to_string()[: characters + 1]
    except Exception as error:  # whatever it is: a second opinion that gives up is one, too
        found["error"] = f"{type(error).__name__}: {error}"[:characters]
    return found


def main() -> None:
    """`fickling_child.py BYTES CHARACTERS`."""
    limit_memory(int(sys.argv[1]))
    data = sys.stdin.buffer.read()
    try:
        found = opinion(data, int(sys.argv[2]))
    except ImportError:
        found = {"error": "fickling is not installed"}
    except (MemoryError, RecursionError) as error:
        found = {"error": type(error).__name__}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
