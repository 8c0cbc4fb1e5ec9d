"""The package as others meet it: light to import, complete, documented, and with its policies inside."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import safeload
from safeload.policy.resolve import load_policy
from safeload.policy.shipped import SHIPPED, shipped_path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "safeload"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Each costs tens of milliseconds or more, or belongs to another verb than `scan`.
HEAVY_PACKAGES = {"numpy", "ml_dtypes", "cupy", "torch", "fickling", "rich", "click", "fsspec", "scipy"}
HEAVY_STDLIB = {"dataclasses", "inspect", "logging", "pathlib", "pickle", "zipfile", "tarfile", "subprocess", "asyncio"}


def modules_after(code: str) -> set[str]:
    """Top names in `sys.modules` of a fresh interpreter that ran `code`, less what an interpreter has before (site hooks of the machine included)."""
    report = "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    program = f"import sys\nbefore = set(sys.modules)\n{code}\nimport json\n{report}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_light() -> None:
    assert modules_after("import safeload") & (HEAVY_PACKAGES | HEAVY_STDLIB | {"msgspec", "tomllib"}) == set()


@pytest.mark.parametrize("file", ["tiny.pt", "hostile.pt", "hostile.pkl"])
def test_scan_is_light(file: str) -> None:
    loaded = modules_after(f"import safeload\nreport = safeload.scan('examples/{file}')")
    assert loaded & HEAVY_PACKAGES == set()
    assert {"safeload", "msgspec"} <= loaded, "the program above did scan"


def test_help_reads_no_policy_and_scan_needs_no_signatures() -> None:
    """What only --locked, signatures and the configuration need is imported where they are used."""
    run = "from safeload.cli import main\ntry:\n    main({})\nexcept SystemExit:\n    pass"
    program = f"import sys\n{run.format(['--version'])}\nprint(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120).stdout.split()
    assert "safeload.cli.common" in found
    assert not {"safeload.policy.resolve", "safeload.policy.fields", "safeload.cli.config"} & set(found)
    assert not {"tempfile", "base64"} & modules_after("import safeload\nsafeload.scan('examples/tiny.pt')\nimport safeload.cli.scan")


def test_cupy_and_torch_stay_out_of_a_load_on_the_cpu() -> None:
    loaded = modules_after("import safeload\nvalue = safeload.load('examples/tiny.pt', map_location='cpu')")
    assert loaded & {"cupy", "torch", "fickling", "rich", "click"} == set()
    assert "numpy" in loaded


def test_public_names_resolve() -> None:
    for name in safeload.__all__:
        assert getattr(safeload, name).__name__ == name
    assert set(dir(safeload)) == {*safeload.__all__, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'unsafe_load'"):
        getattr(safeload, "unsafe_load")  # noqa: B009 - mypy would see the plain spelling


def test_types_and_names_agree() -> None:
    """The two lists of `safeload/__init__.py`: imports for type checkers, `__all__` for Python."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    assert sorted(alias.asname or alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names) == sorted(safeload.__all__)


def test_version_is_the_projects() -> None:
    assert safeload.__version__ == PROJECT["project"]["version"]


def test_wheel_holds_the_policies() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]["policies"] == "safeload/policies"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policy_is_found_in_the_source_tree(name: str) -> None:
    assert Path(shipped_path(name)).is_file()
    assert load_policy(name).name == name


def test_every_policy_file_is_shipped() -> None:
    assert {path.stem for path in (ROOT / "policies").glob("*.toml")} == set(SHIPPED)


def test_sdist_names_what_exists() -> None:
    missing = [name for name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"] if not (ROOT / name).exists()]
    assert missing == []


def test_license_is_the_plain_apache_text() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.lstrip().startswith("Apache License\n                           Version 2.0, January 2004")
    assert "END OF TERMS AND CONDITIONS" in text


def undocumented(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and name of each public class, function and method without a docstring. Methods of private classes and overrides of dunders are not public."""
    found: list[tuple[int, str]] = []
    stack: list[tuple[ast.Module | ast.ClassDef, str]] = [(tree, "")]
    while stack:
        scope, prefix = stack.pop()
        for node in scope.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
                if ast.get_docstring(node) is None:
                    found.append((node.lineno, prefix + node.name))
                if isinstance(node, ast.ClassDef):
                    stack.append((node, f"{prefix}{node.name}."))
    return sorted(found)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_public_name_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert undocumented(tree) == []
    assert not tree.body or ast.get_docstring(tree), "a module opens with its contract"


def test_the_documentation_check_sees() -> None:
    assert undocumented(ast.parse("def f(): ...\nclass C:\n    'x'\n    def g(self): ...\n    def _h(self): ...")) == [(1, "f"), (4, "C.g")]


# ---- the supply chain, as SECURITY.md promises it ---------------------------------------------------------------------------------------

LOCK = ROOT / ".ci" / "requirements.txt"
RUNTIME_LOCK = ROOT / ".ci" / "runtime.txt"


def _distributions(requirements: list[str]) -> set[str]:
    """The normalised names in a list of requirements, extras of the project itself spelled out."""
    found = set()
    for requirement in requirements:
        name, extras = re.match(r"([A-Za-z0-9._-]+)(?:\[([^]]*)\])?", requirement).groups()  # type: ignore[union-attr]
        if name == "safeload":
            found |= _distributions([each for extra in extras.split(",") for each in PROJECT["project"]["optional-dependencies"][extra.strip()]])
        else:
            found.add(re.sub(r"[-_.]+", "-", name).lower())
    return found


@pytest.mark.parametrize(("lock", "extras"), [(LOCK, "test,lint"), (RUNTIME_LOCK, "zstd,lz4")], ids=["ci", "runtime"])
def test_the_lock_holds_every_dependency_with_hashes(lock: Path, extras: str) -> None:
    """An extra that the lock has not heard of would be missing in CI; a line without a hash would be trusted by name alone."""
    text = lock.read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE) if "==" in block]
    assert blocks
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text, "no index and no address stands in the lock"
    wanted = _distributions([*PROJECT["project"]["dependencies"], f"safeload[{extras}]", *PROJECT["build-system"]["requires"]])
    assert wanted - {block.split("==")[0] for block in blocks} == set()


def test_every_action_is_pinned_to_a_commit() -> None:
    files = [*ROOT.glob(".github/**/*.yml"), *ROOT.glob("action.yml")]
    used = [line for path in files for line in re.findall(r"uses:\s*(\S+)", path.read_text(encoding="utf-8"))]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []


def test_nothing_runs_at_install_time() -> None:
    """A wheel of plain files: no setup.py, no build hook, no script beside the console entry, no .pth file."""
    assert PROJECT["build-system"]["build-backend"] == "hatchling.build"
    assert "hooks" not in PROJECT["tool"]["hatch"].get("build", {})
    assert [path for name in ("setup.py", "setup.cfg", "hatch_build.py") if (path := ROOT / name).exists()] == []
    assert [path for path in PACKAGE.rglob("*") if path.suffix in {".pth", ".so", ".pyd", ".c", ".pyx"}] == []
