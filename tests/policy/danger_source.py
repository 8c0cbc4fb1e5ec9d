"""Where the knowledge of danger comes from: `policies/danger/modules.toml` and `known-danger.toml` become `safeload/policy/danger_table.py`.

    PYTHONPATH=.:tests python -m policy.danger_source            what of the running interpreter's library is missing or called harmless and is not
    PYTHONPATH=.:tests python -m policy.danger_source --write    writes the table

`risks()` is the check on the classification: it reads the sources of the interpreter's own library and finds the calls that say what a module can do.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "policies" / "danger" / "modules.toml"
KNOWN = ROOT / "policies" / "known-danger.toml"
TABLE = ROOT / "safeload" / "policy" / "danger_table.py"
WIDTH = 158

CALLS = {  # a call of this name, or an import of this module, is of that kind
    "eval": "code.exec", "exec": "code.exec", "compile": "code.exec", "__import__": "code.import", "system": "process.exec", "popen": "process.exec",
    "Popen": "process.exec", "check_output": "process.exec", "execv": "process.exec", "spawnv": "process.exec", "urlopen": "net", "create_connection": "net",
    "import_module": "code.import", "unlink": "fs.write", "rmtree": "fs.write", "CDLL": "native", "dlopen": "native",
}  # fmt: skip


def source() -> dict[str, Any]:
    """The classification as it was written."""
    return tomllib.loads(SOURCE.read_text(encoding="utf-8"))


def modules() -> dict[str, str]:
    """Module of the standard library to capability. Raises `ValueError` for one that stands there twice."""
    found: dict[str, str] = {}
    for capability, names in source()["modules"].items():
        for name in names:
            if name in found:
                raise ValueError(f"{name} is {found[name]} and {capability}")
            found[name] = capability
    return found


def missing() -> list[str]:
    """Modules of the running interpreter that nobody has classified."""
    return sorted(set(sys.stdlib_module_names) - modules().keys())


def risks() -> dict[str, set[str]]:
    """Module that is called harmless to what it calls all the same, in the sources of the running interpreter."""
    library = Path(sysconfig.get_path("stdlib"))
    found: dict[str, set[str]] = {}
    for name, capability in modules().items():
        if capability.startswith("data."):
            files = [library / f"{name}.py", *(library / name).rglob("*.py")]
            calls = {call for path in files if path.is_file() for call in _calls(path)}
            if calls:
                found[name] = calls
    return found


def _calls(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    of = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)} - {"compile"}  # re.compile
    return (bare | of) & CALLS.keys()


# ---- the table --------------------------------------------------------------------------------------------------------------------------


def render() -> str:
    """The text of `danger_table.py`."""
    from safeload.policy.aliases import canonical_name

    document = source()
    exact: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    for entry in tomllib.loads(KNOWN.read_text(encoding="utf-8"))["deny"]:
        for name in entry["globals"]:
            if name.endswith(".*"):
                prefixes.setdefault(name[:-2], entry["capability"])
            else:
                exact.setdefault(canonical_name(name), entry["capability"])
    families = {name: capability for capability, names in document["families"].items() for name in names}
    return "\n".join(
        [
            '"""What names and modules could do, for `danger`. Written by `python -m policy.danger_source --write` (in tests/); do not edit.',
            "",
            "Its sources are policies/danger/modules.toml and policies/known-danger.toml. Nothing here decides about a file.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            *_table("EXACT", "name -> capability, by known-danger", exact),
            *_table("PREFIXES", "module, all names in it -> capability, by known-danger", prefixes),
            *_table("FAMILIES", "dotted prefix -> capability, by modules.toml", families),
            *_table("MODULES", "module of the standard library -> capability, by modules.toml", modules()),
            *_set("REEXPORTED", "modules by which others are known to hand everything on", document["reexported"]["modules"]),
            *_set("ATTRIBUTES", "attributes that lead out of every object", document["reexported"]["attributes"]),
        ]
    )


def _table(name: str, comment: str, table: dict[str, str]) -> list[str]:
    """By capability, so that the file stays readable and each capability is written once."""
    groups: dict[str, list[str]] = {}
    for key, capability in table.items():
        groups.setdefault(capability, []).append(key)
    lines = [f"_{name} = {{  # {comment}"]
    for capability, keys in sorted(groups.items()):
        lines += [f'    "{capability}": """', *_wrapped(sorted(keys)), '    """,']
    return [*lines, "}", f"{name}: dict[str, str] = {{key: capability for capability, keys in _{name}.items() for key in keys.split()}}", ""]


def _set(name: str, comment: str, items: list[str]) -> list[str]:
    return [f"{name} = frozenset(  # {comment}", '    """', *_wrapped(sorted(items)), '    """.split()', ")", ""]


def _wrapped(words: list[str]) -> list[str]:
    lines, line = [], "       "
    for word in words:
        if len(line) + len(word) + 1 > WIDTH:
            lines.append(line)
            line = "       "
        line += f" {word}"
    return [*lines, line]


if __name__ == "__main__":
    if "--write" in sys.argv:
        TABLE.write_text(render(), encoding="utf-8")
    else:
        print("missing:", " ".join(missing()) or "none")
        for module, calls in sorted(risks().items()):
            print(f"called harmless: {module} calls {', '.join(sorted(calls))}")
