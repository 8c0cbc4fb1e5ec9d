"""Law 1 as a check that runs: nothing in the package can turn a name from a file into something that Python looks up, imports or calls.

The syntax trees of all modules are searched for the constructs that could. What legitimately needs one stands in `ALLOWED` with the reason; an entry that
no longer matches anything fails too. import-linter holds the same line for whole modules (`pyproject.toml`).
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "safeload"

BANNED_NAMES = {
    "eval": "runs text",
    "exec": "runs text",
    "compile": "makes code from text (re.compile is an attribute and fine)",
    "__import__": "imports a computed name",
    "__builtins__": "reaches all of the above",
    "globals": "looks a name up",
    "locals": "looks a name up",
    "breakpoint": "runs a debugger that the environment names",
}

BANNED_MODULES = {
    "builtins", "importlib", "imp", "runpy", "pkgutil", "pydoc", "zipimport", "code", "codeop",  # look names up, or run text
    "pickle", "_pickle", "cPickle", "pickletools", "cloudpickle", "dill", "joblib", "marshal", "shelve", "copyreg", "torch",  # call what a file names
    "ctypes", "cffi", "subprocess", "multiprocessing", "pty",  # leave Python
    "zipfile", "tarfile",  # law 2: a second reader
}  # fmt: skip

BANNED_ATTRIBUTES = {
    "attrgetter": "a computed getattr",
    "methodcaller": "a computed getattr",
    "__getattribute__": "a computed getattr",
    "__subclasses__": "reaches every class there is",
    "__globals__": "reaches a module",
    "__code__": "makes code",
    "FunctionType": "makes code",
    "CodeType": "makes code",
    "import_module": "imports a computed name",
    "system": "starts a process",
    "popen": "starts a process",
    "find_class": "is how unpicklers look names up",
}

COMPUTED = ("getattr", "setattr", "delattr")  # fine with a literal name, called directly

ALLOWED: dict[tuple[str, str], str] = {
    ("__init__.py", "vars(api)[name]"): "lazy public names: `name` is one of the literals in the line above it",
    ("__init__.py", "vars(findings)[name]"): "the same",
    ("__init__.py", "vars(errors)[name]"): "the same, with __all__ as the list",
    ("__init__.py", "vars(guarding)[name]"): "the same as the first",
    ("guarding.py", "vars(module)"): "is the function there? Modules and names are the literals of LOADERS, and no file is involved",
    ("guarding.py", "vars(module)[name]"): "replaces a loader of another library, and puts it back",
    ("hooks/replacing.py", "vars(module)"): "finds a function of another library by identity, to put ours in its place; no name is looked up",
    ("rebuild/replay.py", "vars(target)[key]"): "fills the __dict__ of our own Namespace: data is stored, nothing is looked up",
    ("rebuild/resolve.py", "vars(container)"): "the same, and an OrderedDict's own attributes",
    ("compare.py", "vars(one)"): "compares the attributes of our own Namespace",
    ("compare.py", "vars(other)"): "the same",
    ("lazy.py", "vars(value)"): "lists the attributes of our own Namespace",
    ("cli/tree.py", "vars(value)"): "the same",
}
"""(file, source text) of each use of `vars`, which is how a module or an object shows its names, and why it is harmless."""


ALLOWED_LOOKUPS: dict[tuple[str, str], str] = {
    ("cli/__init__.py", "sys.modules looks a module up"): "asks whether atexit and threading were imported, and uses neither",
    ("guarding.py", "sys.modules looks a module up"): "the modules are the literals of LOADERS: those whose functions the caller wants to be guarded",
    ("hooks/replacing.py", "sys.modules looks a module up"): "walks all of them, for a function that the caller named by importing it",
}
"""(file, complaint) of each look into `sys.modules`, and why it is harmless."""

ALLOWED_IMPORTS: dict[tuple[str, str], str] = {
    ("cli/decompile.py", "subprocess"): "starts fickling for a second opinion: fixed words, no environment, and nothing that it says is loaded",
    ("torch.py", "torch"): "hands torch memory that safeload has filled; nothing of torch that reads a file is named there (tests/test_torch_module.py)",
    ("cli/doctor.py", "importlib"): "versions of distributions that it names; `metadata` imports none of them",
    ("sweep/processes.py", "multiprocessing"): "processes of our own, which are sent records of ours and run a function of ours",
}
"""(file, module) of each import of a banned module, and why it is harmless."""


def complaints(source: str, file: str = "<text>") -> list[tuple[int, str]]:
    """Line and reason of each banned construct in one module."""
    tree = ast.parse(source, file)
    direct = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if node.id in BANNED_NAMES and isinstance(node.ctx, ast.Load):  # a field may be called `globals`
                found.append((node.lineno, f"{node.id} {BANNED_NAMES[node.id]}"))
            if node.id in COMPUTED and id(node) not in direct:
                found.append((node.lineno, f"{node.id} is handed on as a value"))
        elif isinstance(node, ast.Attribute) and node.attr == "modules" and isinstance(node.value, ast.Name) and node.value.id == "sys":
            found.append((node.lineno, "sys.modules looks a module up"))
        elif isinstance(node, ast.Attribute) and node.attr in BANNED_ATTRIBUTES:
            found.append((node.lineno, f".{node.attr} {BANNED_ATTRIBUTES[node.attr]}"))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.extend((node.lineno, f"import of {name}") for name in imported(node) if name.split(".")[0] in BANNED_MODULES)
            found.extend((node.lineno, f"import of {alias.name} as {alias.asname}") for alias in node.names if hidden(node, alias))
        elif isinstance(node, ast.Call):
            found.extend((node.lineno, reason) for reason in call_complaints(node))
    return found


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Full names of the modules; the package's own are left out."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return [name for name in names if name.split(".")[0] != "safeload" and not (isinstance(node, ast.ImportFrom) and node.level)]


def hidden(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> bool:
    """Would this import bring a banned thing in under a name that the other tests do not know?"""
    if isinstance(node, ast.Import):
        return alias.name == "sys" and alias.asname is not None
    return alias.name in BANNED_ATTRIBUTES or alias.name in BANNED_NAMES or (node.module == "sys" and alias.name == "modules")


def call_complaints(node: ast.Call) -> list[str]:
    """What is wrong with one call."""
    out = []
    name = node.args[1] if len(node.args) > 1 else None
    if isinstance(node.func, ast.Name) and node.func.id in COMPUTED and not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        out.append(f"{node.func.id} with a computed name")
    out.extend("allow_pickle may only be False" for word in node.keywords if word.arg == "allow_pickle" and ast.unparse(word.value) != "False")
    return out


def uses_of_vars(source: str) -> list[str]:
    """Source text of each use of `vars`, with the subscript where there is one; `vars` that is not called counts as itself."""
    tree = ast.parse(source)
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "vars":
            around: ast.AST = node
            call = parents.get(id(node))
            if isinstance(call, ast.Call) and call.func is node:
                around = call
                outer = parents.get(id(call))
                if isinstance(outer, ast.Subscript) and outer.value is call:
                    around = outer
            found.append(ast.unparse(around))
    return found


def modules() -> list[Path]:
    """All source files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def relative(path: Path) -> str:
    """With `/`, below the package."""
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_law_1_no_name_becomes_an_object(path: Path) -> None:
    known = {f"import of {module}" for file, module in ALLOWED_IMPORTS if file == relative(path)}
    known |= {complaint for file, complaint in ALLOWED_LOOKUPS if file == relative(path)}
    found = [(line, reason) for line, reason in complaints(path.read_text(encoding="utf-8"), str(path)) if reason not in known]
    assert not found, "\n".join(f"{relative(path)}:{line}: {reason}" for line, reason in found)


def test_every_use_of_vars_is_known() -> None:
    used = {(relative(path), text) for path in modules() for text in uses_of_vars(path.read_text(encoding="utf-8"))}
    assert used - set(ALLOWED) == set()
    assert set(ALLOWED) - used == set(), "these entries match nothing any more; remove them"


@pytest.mark.parametrize(("file", "module"), sorted(ALLOWED_IMPORTS))
def test_every_allowed_import_is_there(file: str, module: str) -> None:
    assert f"import of {module}" in {reason for _, reason in complaints((PACKAGE / file).read_text(encoding="utf-8"))}, "remove this entry"


@pytest.mark.parametrize(("file", "complaint"), sorted(ALLOWED_LOOKUPS))
def test_every_allowed_lookup_is_there(file: str, complaint: str) -> None:
    assert complaint in {reason for _, reason in complaints((PACKAGE / file).read_text(encoding="utf-8"))}, "remove this entry"


def test_the_package_was_found() -> None:
    names = {relative(path) for path in modules()}
    assert {"api.py", "machine/interpret.py", "policy/vet.py", "rebuild/replay.py"} <= names


@pytest.mark.parametrize(
    "line",
    [
        "eval('1')",
        "run = exec",
        "compile('1', '', 'eval')",
        "__import__('os')",
        "globals()['load']",
        "import pickle",
        "import pickle as harmless",
        "from pickle import loads",
        "def f():\n    import marshal",
        "import importlib.util",
        "from importlib import import_module",
        "getattr(x, name)",
        "getattr(x, f'{name}')",
        "setattr(x, name, 1)",
        "delattr(x, 'a' + 'b')",
        "map(getattr, objects, names)",
        "look = getattr",
        "import sys\nsys.modules[name]",
        "from sys import modules",
        "import sys as s",
        "from operator import attrgetter",
        "operator.attrgetter(name)(x)",
        "os.system('ls')",
        "from os import system",
        "import builtins",
        "numpy.load(f, allow_pickle=True)",
        "numpy.load(f, allow_pickle=flag)",
        "x.__class__.__base__.__subclasses__()",
    ],
)
def test_the_check_sees(line: str) -> None:
    assert complaints(line)


@pytest.mark.parametrize("line", ["getattr(os, 'O_BINARY', 0)", "re.compile('a')", "import json", "numpy.load(f, allow_pickle=False)", "ast.literal_eval('1')"])
def test_the_check_lets_pass(line: str) -> None:
    assert not complaints(line)


@pytest.mark.parametrize(("line", "text"), [("vars(m)[n]", "vars(m)[n]"), ("x = vars(m)", "vars(m)"), ("f(vars)", "vars"), ("vars()['f']", "vars()['f']")])
def test_vars_is_seen(line: str, text: str) -> None:
    assert uses_of_vars(line) == [text]
