"""Mutants of a source file, each judged by the tests that run its line: what survives is a line that no test holds in place.

    pip install 'mutmut==3.8.1' coverage
    python -m tests.mutation --out survivors.jsonl safeload/storage/geometry.py -- tests/storage tests/policy

The mutants are those that mutmut makes, of decorated functions and of constants too, and four more that matter to code that refuses: each `if` forced either
way, each call that stands as a statement left out, and each `raise` left out. mutmut itself starts the whole selection of tests for each; here pytest collects
once, learns which test runs which line, and a forked child per mutant swaps the code of one function and runs those tests until one fails: first those that
killed a mutant of the same function, then those that run what the tests before them did not. Tests that start another interpreter see no mutant, and those
that take long (`--slow`) or need a module that is slow to import (`--without`) are left out.

One line of JSON for each mutant: `status` is killed, timeout (a loop that does not end is noticed), survived, or untested (no test runs the line). `--only`
takes the `id`s of an earlier run; what stands in `--out` already is not tried again; `--decisions` takes those alone that turn a condition around, force it, or
leave out a call or a `raise`; `--budget` is how many seconds of tests a mutant gets, `0` for all of them.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import importlib
import inspect
import json
import os
import re
import resource
import signal
import sys
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import coverage
import libcst as cst
import pytest
from _pytest.runner import runtestprotocol
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import file_mutation, mutators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).parents[1]
CHILD_BYTES = 3 << 30  # above what the parent has: a mutant that asks for all memory fails, and the machine lives on
SLOWER = 5  # how many times its usual time a test may take
GRACE_SECONDS = 0.5
ROUNDS = 3
DECISIONS = (
    cst.BooleanOperation, cst.ComparisonTarget, cst.UnaryOperation, cst.IfExp, cst.Expr, cst.Raise, cst.Is, cst.IsNot, cst.In, cst.NotIn, cst.Break,
    cst.Continue,
)  # fmt: skip


# ---- what a mutant is -------------------------------------------------------------------------------------------------------------------


def forced(node: cst.If) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """`if test` as if it were false, and as if it were true."""
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.test, cst.BooleanOperation(left=test, operator=cst.And(), right=cst.Name("False"))
    yield node.test, cst.BooleanOperation(left=test, operator=cst.Or(), right=cst.Name("True"))


def left_out(node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """A call that stands as a statement, or a `raise`, left out."""
    if isinstance(node, cst.Raise) or (isinstance(node, cst.Expr) and isinstance(node.value, cst.Call)):
        yield node, cst.Pass()


class Visitor(file_mutation.MutationVisitor):
    """mutmut's, which leaves out decorated functions because of how it swaps code; here they are mutants like any."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        return bool(super()._skip_node_and_children(node.with_changes(decorators=()) if isinstance(node, cst.FunctionDef) else node))

    def _create_mutations(self, node: cst.CSTNode) -> None:
        super()._create_mutations(node)
        top = self.get_metadata(file_mutation.OuterFunctionProvider, node, None)
        for old, new in (*(forced(node) if isinstance(node, cst.If) else ()), *left_out(node)):
            self.mutations.append(file_mutation.Mutation(old, new, top))


class Mutant:
    """One change of one function or constant: `id` is its file, the name of what it changes, and its number there."""

    def __init__(self, path: str, owner: str, number: int, place: Any, whole: Any, before: str, text: str, decides: bool) -> None:
        self.path, self.owner, self.before, self.decides = path, owner, before, decides
        self.whole = range(whole.start.line, whole.end.line + 1)  # of what it changes
        self.lines = range(place.start.line, place.end.line + 1)
        self.id = f"{path}:{owner}:{number}"
        lines = before.splitlines(keepends=True)
        head, tail = lines[place.start.line - 1][: place.start.column], lines[place.end.line - 1][place.end.column :]
        self.changed = f"{head}{text}{tail}"

    @property
    def after(self) -> str:
        """The whole file."""
        lines = self.before.splitlines(keepends=True)
        return "".join((*lines[: self.lines.start - 1], self.changed, *lines[self.lines.stop - 1 :]))

    @property
    def elsewhere(self) -> list[int]:
        """Where else tests can notice it: a constant where it is used, a default in the body of its function."""
        if "." in self.owner or not self.owner.isupper():
            return list(self.whole)
        name = re.compile(rf"\b{self.owner}\b")
        return [number for number, line in enumerate(self.before.splitlines(), 1) if name.search(line)]

    @property
    def diff(self) -> list[str]:
        """The lines that differ."""
        old = self.before.splitlines()[self.lines.start - 1 : self.lines.stop - 1]
        return ["- " + line.strip() for line in old[:8]] + ["+ " + line.strip() for line in self.changed.splitlines()[:8]]


def mutants(path: str) -> Iterator[Mutant]:
    """Every mutant of a file, in its order."""
    code = (ROOT / path).read_text()
    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = Visitor(mutators.mutation_operators, IgnoredCode(set(), set(), set()))
    module = wrapper.visit(visitor)
    places = wrapper.resolve(PositionProvider)
    owners = dict(_owners(module))
    statements = {id(part): statement for statement in module.body for part in file_mutation._walk(statement)}
    numbers: dict[str, int] = {}
    for mutation in visitor.mutations:
        whole = mutation.contained_by_top_level_function or statements.get(id(mutation.original_node))
        owner = owners.get(whole) if whole is not None else None
        if owner is not None:  # and not a class body, an import, a table of the module
            numbers[owner] = numbers.get(owner, 0) + 1
            text = module.code_for_node(mutation.mutated_node)
            decides = isinstance(mutation.original_node, DECISIONS) or isinstance(mutation.mutated_node, cst.BooleanOperation)
            yield Mutant(path, owner, numbers[owner], places[mutation.original_node], places[whole], code, text, decides)


def _owners(module: cst.Module) -> Iterator[tuple[cst.CSTNode, str]]:
    for statement in module.body:
        if isinstance(statement, cst.FunctionDef):
            yield statement, statement.name.value
        elif isinstance(statement, cst.ClassDef):
            for part in statement.body.body:
                if isinstance(part, cst.FunctionDef):
                    yield part, f"{statement.name.value}.{part.name.value}"
        elif isinstance(statement, cst.SimpleStatementLine) and isinstance(statement.body[0], cst.Assign | cst.AnnAssign):
            target = statement.body[0].targets[0].target if isinstance(statement.body[0], cst.Assign) else statement.body[0].target
            if isinstance(target, cst.Name):
                yield statement, target.value


# ---- putting it in place ----------------------------------------------------------------------------------------------------------------


def install(mutant: Mutant) -> None:
    """Swap the code of the function, where it is in memory, or the constant in every module that has it."""
    name = mutant.path.removesuffix(".py").replace("/", ".")
    module = importlib.import_module(name)
    tree = ast.parse(mutant.after)
    *outer, last = mutant.owner.split(".")
    body = next(part.body for part in tree.body if isinstance(part, ast.ClassDef) and part.name == outer[0]) if outer else tree.body
    node = next(part for part in body if last in (getattr(part, "name", None), *(getattr(target, "id", None) for target in _targets(part))))
    if isinstance(node, ast.Assign | ast.AnnAssign):
        old, new = module.__dict__[last], eval(compile(ast.Expression(node.value), str(ROOT / mutant.path), "eval"), module.__dict__)
        for other in [other for key, other in sys.modules.items() if key.startswith("safeload")]:
            if other.__dict__.get(last) is old:
                setattr(other, last, new)
        return
    function = inspect.getattr_static(module.__dict__[outer[0]] if outer else module, last)
    while not isinstance(function, types.FunctionType):
        function = getattr(function, "__wrapped__", None) or getattr(function, "fget", None) or function.__func__
    old, function.__code__ = function.__code__, _code(compile(tree, str(ROOT / mutant.path), "exec"), mutant.owner)
    _install_inner(old, function.__code__)
    with contextlib.suppress(NameError):  # a default that stands in the class
        given = [eval(compile(ast.Expression(value), "default", "eval"), module.__dict__) for value in node.args.defaults]
        named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        keywords = {arg.arg: eval(compile(ast.Expression(value), "default", "eval"), module.__dict__) for arg, value in named if value is not None}
        function.__defaults__, function.__kwdefaults__ = tuple(given) or None, keywords or None


def _install_inner(old: types.CodeType, new: types.CodeType) -> None:
    """Also in the functions that the old code made when its module was imported: tables of checks are made of them."""
    inner = [[const for const in code.co_consts if isinstance(const, types.CodeType)] for code in (old, new)]
    for before, after in zip(*inner, strict=False):
        if before != after:
            gc.unfreeze()
            for made in gc.get_referrers(before):
                if isinstance(made, types.FunctionType):
                    with contextlib.suppress(ValueError):  # it closes over other names
                        made.__code__ = after


def _targets(node: ast.stmt) -> Sequence[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []


def _code(code: types.CodeType, qualname: str) -> types.CodeType:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            if const.co_qualname == qualname:
                return const
            if qualname.startswith(const.co_qualname + "."):
                return _code(const, qualname)
    raise LookupError(qualname)


# ---- judging it -------------------------------------------------------------------------------------------------------------------------


class Judge:
    """The pytest plugin that takes the place of the test loop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.seconds: dict[str, float] = {}
        self.by_line: dict[tuple[str, int], set[str]] = {}
        self.kills: dict[str, int] = {}  # what killed many is tried first
        self.rank: dict[str, int] = {}  # then what runs lines that the tests before it did not run

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """Generated values are the same for every mutant, and are not made small."""
        from hypothesis import Phase, settings  # not before: pytest wants to rewrite it

        for name in self.options.without.split():
            sys.modules[name] = None  # type: ignore[assignment]

        settings.register_profile("mutation", settings.get_profile("safeload"), derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutation")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Learn, then judge."""
        self.items = {item.nodeid: item for item in session.items}
        self.learn()
        gc.collect()
        gc.freeze()
        print(f"{len(self.seconds)} tests", flush=True)
        wanted = set(Path(self.options.only).read_text().split()) if self.options.only else None
        with Path(self.options.out).open("a+") as out:
            out.seek(0)
            known = {json.loads(line)["id"] for line in out}
            for path in self.options.files:
                chosen = [mutant for mutant in mutants(path) if mutant.id not in known and (wanted is None or mutant.id in wanted)]
                self.judge([mutant for mutant in chosen if mutant.decides or not self.options.decisions], out)
        return True

    def learn(self) -> None:
        """Run each test once: how long does it take, and which lines does it run?"""
        watch = coverage.Coverage(data_file=None, include=[str(ROOT / path) for path in self.options.files])
        watch.start()
        for nodeid in list(self.items):
            watch.switch_context(nodeid)
            began = time.process_time()
            if self.run(nodeid):
                print(f"left out, fails without a mutant: {nodeid}")
                continue
            spent = time.process_time() - began
            if spent <= self.options.slow:
                self.seconds[nodeid] = spent
        watch.stop()
        data = watch.get_data()
        for path in self.options.files:
            for line, contexts in data.contexts_by_lineno(str(ROOT / path)).items():
                self.by_line[path, line] = {context for context in contexts if context in self.seconds}

        self.order()

    def order(self) -> None:
        """Tests that differ most come first: each round takes, of those that are left, the ones that run the most new lines in the least time."""
        lines: dict[str, set[tuple[str, int]]] = {nodeid: set() for nodeid in self.seconds}
        for place, tests in self.by_line.items():
            for nodeid in tests:
                lines[nodeid].add(place)
        left = set(lines)
        for _ in range(ROUNDS):
            new = set(self.by_line)
            while left:
                best = max(left, key=lambda nodeid: (len(lines[nodeid] & new) / (self.seconds[nodeid] + 0.01), nodeid))
                if not lines[best] & new:
                    break
                new -= lines[best]
                left.discard(best)
                self.rank[best] = len(self.rank)
        for nodeid in sorted(left, key=self.seconds.__getitem__):
            self.rank[nodeid] = len(self.rank)

    def run(self, nodeid: str) -> bool:
        """Does it fail?"""
        return any(report.failed for report in runtestprotocol(self.items[nodeid], log=False, nextitem=None))

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that run its lines, those that differ most first, as many as the budget allows. A table is run by whatever runs its file."""
        found = set().union(*(self.by_line.get((mutant.path, line), ()) for line in mutant.lines))
        found = found or set().union(*(self.by_line.get((mutant.path, line), ()) for line in mutant.elsewhere))
        if not found and mutant.owner.isupper():
            found = set().union(*(tests for (path, _), tests in self.by_line.items() if path == mutant.path))
        spent, chosen = 0.0, []
        for nodeid in sorted(found, key=lambda nodeid: (-self.kills.get(f"{mutant.owner} {nodeid}", 0), self.rank[nodeid])):
            spent += self.seconds[nodeid]
            if self.options.budget and spent > self.options.budget and chosen:
                break
            chosen.append(nodeid)
        return chosen

    def judge(self, chosen: Sequence[Mutant], out: Any) -> None:
        """A child per mutant, `--jobs` at a time."""
        waiting, running, counts = chosen[::-1], {}, dict.fromkeys(("killed", "timeout", "survived", "untested"), 0)
        while waiting or running:
            while waiting and len(running) < self.options.jobs:
                mutant = waiting.pop()
                tests = self.tests(mutant)
                reader, writer = os.pipe()
                pid = os.fork() if tests else 0
                if not pid and tests:
                    self.child(mutant, tests, writer)
                os.close(writer)
                if not tests:
                    os.close(reader)
                    _write(out, counts, mutant, "untested", 0, "")
                    continue
                running[pid] = (mutant, len(tests), reader, time.monotonic() + 120)
            for pid, (mutant, count, reader, deadline) in list(running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                if not done:
                    if time.monotonic() > deadline:
                        os.kill(pid, signal.SIGKILL)
                    continue
                del running[pid]
                with os.fdopen(reader) as pipe:
                    killer = pipe.read()
                if os.WIFEXITED(status) and os.WEXITSTATUS(status) > 1:
                    raise RuntimeError(f"{mutant.id} was not tried: this driver and the package do not fit")
                self.kills[f"{mutant.owner} {killer}"] = self.kills.get(f"{mutant.owner} {killer}", 0) + 1
                verdict = "survived" if status == 0 else "killed" if os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGSEGV else "timeout"
                _write(out, counts, mutant, verdict, count, killer)
            time.sleep(0.005)
        print(chosen[0].path if chosen else "none", counts, flush=True)

    def child(self, mutant: Mutant, tests: list[str], writer: int) -> None:
        """Exit 0 if every test passes."""
        quiet = os.open(os.devnull, os.O_RDWR)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        with Path("/proc/self/statm").open() as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + CHILD_BYTES, now + CHILD_BYTES))
        try:
            importlib.import_module("safeload.policy.named")._cache.clear()  # policies that the code without the mutant has read
        except BaseException:
            os._exit(2)
        try:
            install(mutant)
        except BaseException as error:
            os.write(writer, f"cannot be built: {error!r}".encode()[:200])
            os._exit(1)
        for nodeid in tests:
            signal.setitimer(signal.ITIMER_PROF, GRACE_SECONDS + SLOWER * self.seconds[nodeid])
            try:
                failed = self.run(nodeid)
            except BaseException:
                failed = True
            if failed:
                os.write(writer, nodeid.encode())
                os._exit(1)
        os._exit(0)


def _write(out: Any, counts: dict[str, int], mutant: Mutant, status: str, tests: int, killer: str) -> None:
    counts[status] += 1
    row = {"id": mutant.id, "line": mutant.lines.start, "status": status, "tests": tests, "killer": killer, "diff": mutant.diff}
    out.write(json.dumps(row) + "\n")
    out.flush()


def main() -> int:
    """Take the command line apart."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="source files, from the root of the project")
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", help="a file with the ids of the mutants to try")
    parser.add_argument("--decisions", action="store_true", help="only the mutants that change a decision")
    parser.add_argument("--budget", type=float, default=6.0, help="seconds of tests per mutant; 0: all")
    parser.add_argument("--slow", type=float, default=1.0, help="seconds beyond which a test is left out")
    parser.add_argument("--without", default="torch", help="modules that cannot be imported: the tests that want them are skipped, and every fork is cheap")
    parser.add_argument("--jobs", type=int, default=2)
    split = sys.argv.index("--")
    options = parser.parse_args(sys.argv[1:split])
    quiet = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-s"]
    return int(pytest.main([*quiet, *sys.argv[split + 1 :]], plugins=[Judge(options)]))


if __name__ == "__main__":
    sys.exit(main())
