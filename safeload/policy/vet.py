"""An `ObjectGraph` and a `Policy` become a `Vetted`, or the findings that say why not. Only this module can make a `Vetted`.

Every entry of the log is judged in the order in which the stream made it, whether or not its result is still used: a call is a finding when it is
made (fickling GHSA-mxhj-88fx-4pcv lost calls whose result was popped). A name is judged by its exact spelling, never resolved (law 1).

    1. Every name that the stream mentions is put to the policy.
    2. Every call, state, item list and persistent id is held against the contract of the constructor that the entry names.
    3. Names that stand as values are held against the use `reference`, and the nesting is measured, in one iterative walk.

Refuses: SL301 names, SL321 those whose entry has expired, SL302 uses, SL303 computed callables, SL304 arguments, SL305 states and items, SL306 persistent ids,
SL206 late changes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from safeload.budget import Copies, exceeded
from safeload.errors import CheckpointError
from safeload.escape import escape
from safeload.findings import Finding, GlobalUse
from safeload.limits import Limits
from safeload.machine.late import Late
from safeload.machine.nodes import NODE_TYPES, RUN_ENTRIES, Build, Call, Global, Items, ObjectGraph, PersistentId, SetItems, TensorRun
from safeload.policy.aliases import canonical
from safeload.policy.contracts import CONTRACTS, OPAQUE, Contract
from safeload.policy.keys import PLAIN_KEYS, KeyJudge
from safeload.policy.literals import BadArguments
from safeload.policy.model import Allow, Decision, Opaque, Policy, Use
from safeload.policy.shapes import Signature, parse_signature
from safeload.policy.vetted import SEAL, External, Judgement, StorageId, Vetted

if TYPE_CHECKING:
    from safeload.policy.danger import Danger

MAX_COUNT = 1 << 63  # elements and keys are int64 in torch
MAX_MESSAGE_CHARACTERS = 1_000
MAX_LISTED_PLACES = 8  # places of one name that a report lists


def vet(
    graph: ObjectGraph,
    policy: Policy,
    *,
    limits: Limits,
    member: str | None = None,
    extra_opaque: frozenset[str] = frozenset(),
    check_time: Callable[[], None] | None = None,
    external: External | None = None,
) -> Judgement:
    """Judge one stream. `extra_opaque` are names that the caller of `load` constructs himself (`constructors=`), and so are kept as records;
    `external` are nodes that another part of the file explains.

    Raises nothing of the file's fault: nesting deeper than `Limits.nesting_depth` and the like are findings, too.
    """
    judge = _Judge(graph, policy, limits, member, extra_opaque)
    judge.check_time = check_time
    judge.external = external or judge.external
    try:
        judge.names()
        judge.stream()
        judge.walk()
    except CheckpointError as error:  # a limit: what was found before it still stands
        judge.stopped(error)
    del judge.keys  # which reports to the judge: without it all of this goes at once, and not at the next collection
    return judge.judgement()


class _Judge:
    """The one mutable thing of this stage. It also is the `Kinds` that shapes and contracts ask."""

    __slots__ = (
        "_contracts",
        "_decisions",
        "_names",
        "_signatures",
        "alike",
        "called",
        "calls",
        "check_time",
        "constructors",
        "copies",
        "effects",
        "external",
        "extra_opaque",
        "findings",
        "graph",
        "keys",
        "kinds",
        "limits",
        "literals",
        "loose",
        "member",
        "modules",
        "policy",
        "run_storages",
        "runs",
        "stands_for",
        "storages",
        "suppressed",
        "uses",
    )  # fmt: skip

    def __init__(self, graph: ObjectGraph, policy: Policy, limits: Limits, member: str | None, extra_opaque: frozenset[str]) -> None:
        self.graph = graph
        self.policy = policy
        self.limits = limits
        self.member = member
        self.extra_opaque = extra_opaque
        self.findings: list[Finding] = []
        self.suppressed = 0
        self.kinds = [""] * len(graph.log)
        self.constructors: list[str | None] = [None] * len(graph.log)
        self.literals: dict[int, Any] = {}
        self.storages: dict[int, StorageId] = {}
        self.run_storages: list[tuple[TensorRun, str]] = []  # the runs of which none is there, and the name of their storage type
        self.modules: dict[int, Global] = {}  # persistent ids and calls that stand for a class
        self.check_time: Callable[[], None] | None = None
        self.external = External()
        self.stands_for: dict[int, Global] = {}  # calls of copyreg._reconstructor -> the class that they instantiate
        self.copies = Copies(limits, graph.end - graph.start if graph.opcodes else 0)
        self.keys = KeyJudge(self.kinds, self.literals, limits, member, self._find)
        self.alike: dict[tuple[Any, ...], list[str]] = {}  # what the records of a run share -> the kinds of its entries, where nothing stands against it
        self.runs: list[TensorRun] = []  # of the graph's, those that were judged as a whole
        self.loose: set[int] = set()  # persistent ids that stand as values
        self.effects: dict[int, list[Any]] = {}  # index of a node -> the effects on it, in order
        self.uses: dict[Global, set[Use]] = {}
        self.calls: dict[Global, list[int]] = {}  # offsets of the calls of a name, the first few
        self.called: dict[Global, int] = {}  # how many calls there are
        self._decisions: dict[Global, Decision] = {}
        self._contracts: dict[Global, Contract | None] = {}
        self._names: dict[Global, str] = {}
        self._signatures: dict[tuple[str, str], Signature] = {}

    # ---- what shapes and contracts ask ------------------------------------------------------------------------------------------------

    def kind(self, node: Any) -> str:
        kind: str = self.kinds[node.index]
        return kind

    def canonical(self, node: Global) -> str:
        return self._names[node]

    def contract(self, node: Any) -> Contract | None:
        return self._contracts.get(node)

    # ---- 1. names ---------------------------------------------------------------------------------------------------------------------

    def names(self) -> None:
        """Put every name to the policy, once."""
        for node in self.graph.globals.values():
            name = self._names[node] = canonical(node.module, node.name)
            decision = self.policy.decide(name)
            if name in self.extra_opaque and (decision.kind == "opaque" or decision.entry is None):
                decision = Decision(kind="opaque", entry=None, capability="data.override")
            elif decision.kind == "denied" and decision.entry is None:
                decision = Decision(kind="denied", entry=None, capability=_danger(name).capability)  # for the report; it is refused either way
            self._decisions[node] = decision
            self.uses[node] = set()
            self.calls[node] = []
            self.called[node] = 0
            if decision.kind == "allowed" and isinstance(decision.entry, Allow):
                contract = CONTRACTS[decision.entry.constructor]
                self._contracts[node] = contract
                self.constructors[node.index] = contract.id
                self.kinds[node.index] = _kind_of_name(contract)
            elif decision.kind == "opaque":
                self._contracts[node] = None
                self.kinds[node.index] = "opaque-global"
                self.constructors[node.index] = "opaque"

    # ---- 2. the log -------------------------------------------------------------------------------------------------------------------

    def stream(self) -> None:
        """Judge every call, persistent id and effect, in stream order; of a run of like tensor records the first, for all of them."""
        log, at = self.graph.log, 0
        for run in self.graph.runs if not self._explained() else ():
            self.log(log[at : run.start])
            self._run(run)
            at = run.stop
        self.log(log[at:])

    def log(self, entries: list[Any]) -> None:
        """Judge entries of the log, each by itself."""
        for record in entries:
            kind = type(record)
            if kind is Call:
                self._call(record)
            elif kind is PersistentId:
                self._persistent_id(record)
            elif kind is not Global:
                self._effect(record)
            if self.check_time is not None and not record.index % RECORDS_PER_CHECK:
                self.check_time()

    # ---- runs -------------------------------------------------------------------------------------------------------------------------

    def _explained(self) -> bool:
        """Does another part of the file say what single nodes stand for? Then no record speaks for another."""
        external = self.external
        return bool(external.tensors or external.storages or external.modules)

    def _run(self, run: TensorRun) -> None:
        """A run of records that differ in keys and numbers alone: what is said of the first holds for all, since the rest of the judgement is by kind.

        Where anything stands against the first, or a key is no text, each is judged by itself.
        """
        log, at = self.graph.log, run.start
        if set(map(type, run.keys)) != {str} or {type(part) for part in run.alike} != RUN_TYPES:
            self.log(log[at : run.stop])
            return
        kinds = self.alike.get(run.alike)
        if kinds is None:
            before = len(self.findings) + self.suppressed
            self.log(log[at : at + RUN_ENTRIES])
            if self.constructors[at : at + RUN_ENTRIES] != RUN_CONSTRUCTORS or len(self.findings) + self.suppressed != before:
                self.log(log[at + RUN_ENTRIES : run.stop])
                return
            kinds = self.alike[run.alike] = self.kinds[at : at + RUN_ENTRIES]
            self.called[run.alike[0]] -= 1
            self.called[run.alike[4]] -= 1
        count = len(run.keys)
        self.constructors[at : run.stop] = RUN_CONSTRUCTORS * count
        self.kinds[at : run.stop] = kinds * count
        for place, func in ((1, run.alike[4]), (2, run.alike[0])):
            self.called[func] += count
            if len(self.calls[func]) < MAX_LISTED_PLACES:
                offsets = [call.offset for call in log[at + place : at + RUN_ENTRIES * MAX_LISTED_PLACES : RUN_ENTRIES][:count]]
                self.calls[func] = list(dict.fromkeys(self.calls[func] + offsets))[:MAX_LISTED_PLACES]
        self.run_storages.append((run, self._names[run.alike[2]].rpartition(".")[2]))
        self.runs.append(run)
        if self.check_time is not None:
            self.check_time()

    def _call(self, call: Call) -> None:
        func = self.modules.get(call.func.index, call.func)
        if type(func) is not Global:
            self._computed(call)
            return
        use: Use = "new" if call.kind in ("newobj", "newobj_ex") else "call"
        self.uses[func].add(use)
        self.called[func] += 1
        offsets = self.calls[func]
        if len(offsets) < MAX_LISTED_PLACES:
            offsets.append(call.offset)
        decision = self._decisions[func]
        if decision.kind == "opaque":
            self._opaque(call)
            return
        contract = self._contracts.get(func)
        if contract is None:
            return  # denied: one finding for the name, in `judgement`
        problem = self._misfit(call, func, contract, decision.entry, use)
        if problem is None:
            self.constructors[call.index] = contract.id
            self.kinds[call.index] = contract.produces
            if contract.id == "reconstructor":
                self._reconstructed(call)
            elif contract.id == "storage-bytes":
                self.storages[call.index] = self.external.storages[call.index]
        elif self._opaque_instead(func, contract):
            self._opaque(call)
        else:
            rule, message = problem
            self._find(rule, message, call.offset, decision, func)

    def _misfit(self, call: Call, func: Global, contract: Contract, entry: Any, use: Use) -> tuple[str, str] | None:
        """Why this call does not fit its entry and contract: (rule, sentence), or None where it fits."""
        name, args = self._names[func], call.args
        if use not in entry.uses or use not in contract.uses:
            return "SL302", f"{name} is {'instantiated' if use == 'new' else 'called'}, which its entry does not permit"
        if call.kwargs:
            return "SL304", f"{name} is given keyword arguments, which no pickler of it writes"
        if entry.args is not None:
            key = (entry.policy, entry.id)  # an id is unique in its own file only
            narrowed = self._signatures.get(key)
            if narrowed is None:
                narrowed = self._signatures[key] = parse_signature(entry.args)
            if not narrowed.accepts(args, self):
                return "SL304", f"the arguments of {name} are not {narrowed}"
        late = self._late((*args, *args[2]) if contract.id == "typed-tensor" and len(args) > 2 and type(args[2]) is tuple else args, call.index)
        if late is not None:
            return "SL206", f"{name} {late}"
        if contract.literal is not None:
            self.copies.spend(sum(len(arg) for arg in args if type(arg) in _SIZED) + len(args), self.member, call.offset)
            try:
                self.literals[call.index] = contract.literal(tuple(map(self._plain, args)))
            except BadArguments as error:
                return "SL304", f"{name}: {error}"
            return None
        unexplained = self._unexplained(call, contract)
        if unexplained is not None:
            return unexplained
        if not any(signature.accepts(args, self) for signature in contract.signatures):
            shapes = " or ".join(str(signature) for signature in contract.signatures)
            return "SL304", f"the arguments of {name} are not {shapes or '()'}"
        problem = contract.check(args, self) if contract.check is not None else None
        if problem is not None:
            return "SL304", f"{name}: {problem}"
        if contract.id == "storage-bytes" and call.index not in self.external.storages:
            return "SL304", f"the argument of {name} is not one storage that torch saved"
        if contract.copies or contract.produces in _COPIED:
            held = _containers((*args, *args[2]) if contract.id == "typed-tensor" else args)
            self.copies.spend(sum(len(part) for part in held) + sum(len(arg) for arg in args if type(arg) in _SIZED), self.member, call.offset)
        self.keys.copied(contract, call)
        return self._inner_misfit(args) if contract.id == "typed-tensor" else None

    def _unexplained(self, call: Call, contract: Contract) -> tuple[str, str] | None:
        """Does the meaning of the call stand in another part of the file that does not hold it?"""
        if contract.external is None or call.index in self.external.extents or call.index in self.external.storages:
            return None
        return "SL409" if contract.produces == "ndarray" else "SL304", f"{contract.id}: {contract.external}"

    def _late(self, args: tuple[Any, ...], index: int) -> str | None:
        """Is a container changed after it was given away? A real unpickler used what it held then, and the replay sees what it holds now."""
        for part in args:
            kind = type(part)
            if kind is tuple:
                for inner in part:
                    if type(inner) in _MUTABLE and self.graph.changed_since(inner, index):
                        return "is given a container that changes afterwards"
            elif kind in _MUTABLE and any(self.graph.changed_since(inner, index) for inner in _containers((part,))):
                return "is given a container that changes afterwards"
        return None

    def _inner_misfit(self, args: tuple[Any, ...]) -> tuple[str, str] | None:
        """`_rebuild_from_type_v2(func, ...)` calls `func`: its own entry must permit that, with these arguments."""
        func, entry = args[0], self._decisions[args[0]].entry
        self.uses[func].add("call")
        if not isinstance(entry, Allow) or "call" not in entry.uses:
            return "SL302", f"{self._names[func]} is called, which its entry does not permit"
        if entry.args is not None and not parse_signature(entry.args).accepts(args[2], self):
            return "SL304", f"the arguments of {self._names[func]} are not {parse_signature(entry.args)}"
        return None

    def _plain(self, value: Any) -> Any:
        """An argument as plain data: nodes that stand for an immutable value become it, others stay what no literal accepts."""
        if type(value) in NODE_TYPES:
            return self.literals.get(value.index, value)
        return value

    def _opaque_instead(self, func: Global, contract: Contract) -> bool:
        """May a call that does not fit be kept as an inert record? Where the policy keeps unlisted names anyway, but never for a tensor."""
        return contract.produces not in _TENSOR_FAMILY and self.policy.keeps(self._names[func])

    def _opaque(self, call: Call) -> None:
        self.constructors[call.index] = "opaque"
        self.kinds[call.index] = "opaque"

    def _reconstructed(self, call: Call) -> None:
        """`copyreg._reconstructor(cls, object, None)` means a NEWOBJ of `cls`: judge it as one."""
        cls = call.args[0]
        self.stands_for[call.index] = cls  # what is said about the call holds for the class
        self.uses[cls].add("new")
        contract, decision = self._contracts.get(cls), self._decisions[cls]
        if decision.kind == "opaque":
            self._opaque(call)
        elif contract is not None and self._bare(call, contract) and isinstance(decision.entry, Allow) and "new" in decision.entry.uses:
            self.constructors[call.index], self.kinds[call.index] = contract.id, contract.produces
        elif contract is not None and self._opaque_instead(cls, contract):
            self._opaque(call)
        elif contract is not None:
            self._find("SL302", f"{self._names[cls]} is instantiated, which its entry does not permit", call.offset, decision, cls)

    def _bare(self, call: Call, contract: Contract) -> bool:
        return contract.id in BARE_OBJECTS and self._unexplained(call, contract) is None

    def _computed(self, call: Call) -> None:
        """The callee is the result of a call. Inert where that result is an inert record; refused everywhere else."""
        if self.kinds[call.func.index] in ("opaque", "opaque-attribute"):
            self._opaque(call)
        elif self.kinds[call.func.index]:
            self._find("SL303", f"the result of a call is called ({self.kinds[call.func.index]})", call.offset)

    def _persistent_id(self, node: PersistentId) -> None:
        if node.index in self.external.tensors:
            self.kinds[node.index] = "tensor"
            self.constructors[node.index] = "external"
            return
        if node.index in self.external.storages:
            self._is_storage(node, self.external.storages[node.index])
            return
        if node.index in self.external.modules:
            self._module_class(node, self.external.modules[node.index])
            return
        if type(node.pid) is tuple and len(node.pid) == 4 and _text(node.pid[0]) == "module":
            self._module_id(node)
            return
        parsed = self._storage_id(node)
        if isinstance(parsed, str):
            runs = type(node.pid) is tuple and node.pid[:1] == ("reduce_package",)  # torch/package/_package_unpickler.py: calls a function of the package
            message = "a persistent id asks torch.package to call a function (reduce_package), which safeload never does" if runs else parsed
            self._find("SL306", message, node.offset, capability="code.exec" if runs else None)
            return
        self._is_storage(node, parsed)

    def _is_storage(self, node: PersistentId, storage: StorageId) -> None:
        self.storages[node.index] = storage
        self.kinds[node.index] = "storage"
        self.constructors[node.index] = "storage"

    def _module_id(self, node: PersistentId) -> None:
        """`("module", cls, source_file, source)`: torch before 1.6 kept the source of a module class beside its name. The source is text and stays unread."""
        cls = node.pid[1]
        if type(cls) is not Global or not all(part is None or type(part) in (str, bytes) for part in node.pid[2:]):
            self._find("SL306", "a module id is not ('module', class, file, source)", node.offset)
            return
        self._module_class(node, cls)

    def _module_class(self, node: PersistentId, cls: Global) -> None:
        if self._decisions[cls].kind == "allowed":
            self._find("SL306", f"a module id holds {self._names[cls]}, which is no module class", node.offset)
            return
        self.modules[node.index] = cls
        self.uses[cls].add("reference")
        self.kinds[node.index] = self.kinds[cls.index]
        self.constructors[node.index] = "module-class"

    def _storage_id(self, node: PersistentId) -> StorageId | str:
        """The record, or why this is no torch storage. torch checks no more than the first element; we check all (threats: type confusion, traversal)."""
        pid = node.pid
        if type(pid) is not tuple or len(pid) not in (5, 6) or _text(pid[0]) != "storage":
            return "a persistent id is not ('storage', type, key, location, numel)"
        cls, key, location, numel = pid[1], _text(pid[2]), _text(pid[3]), pid[4]
        if type(pid[2]) is int and 0 <= pid[2] < MAX_COUNT:
            key = str(pid[2])
        if type(cls) is not Global or key is None or location is None or type(numel) is not int or not 0 <= numel < MAX_COUNT:
            return "a storage id does not hold a storage type, a key, a location and a number of elements"
        self.uses[cls].add("storage-type")
        decision = self._decisions[cls]
        if decision.kind == "denied":
            return f"the storage type is {self._names[cls]}, which the policy does not allow"
        if self._contracts.get(cls) is not CONTRACTS["storage-type"] or not isinstance(decision.entry, Allow) or "storage-type" not in decision.entry.uses:
            return f"{self._names[cls]} is no storage type"
        view = pid[5] if len(pid) == 6 else None
        if view is not None and not (
            type(view) is tuple and len(view) == 3 and _text(view[0]) is not None and all(type(n) is int and n >= 0 for n in view[1:])
        ):
            return "the view of a storage id is not (key, offset, size)"
        name = self._names[cls].rpartition(".")[2]
        return StorageId(index=node.index, offset=node.offset, storage_type=name, key=key, location=location, numel=numel, view=view)

    def _effect(self, effect: Build | Items | SetItems) -> None:
        target = effect.target
        self.effects.setdefault(target.index, []).append(effect)
        constructor = self.constructors[target.index]
        if constructor is None or type(target) is not Call:
            if type(target) is Global and self._decisions[target].kind != "denied":
                self._find("SL305", f"{self._names[target]} itself is given state or items: that would change the class", effect.offset, global_=target)
            elif type(target) is PersistentId:
                self._find("SL305", "a storage is given state or items", effect.offset)
            return  # what is denied has its finding already
        contract = OPAQUE if constructor == "opaque" else CONTRACTS[constructor]
        problem = self._effect_misfit(effect, contract, target)
        if problem is None:
            return
        func = self._class_of(target)
        if func is not None and target.index not in self.literals and self._opaque_instead(func, contract):
            self._opaque(target)
        else:
            self._find("SL305", problem, effect.offset, global_=func)

    def _class_of(self, target: Call) -> Global | None:
        """The name that a call instantiates: its callee, or the class that a module id or `copyreg._reconstructor` stands for."""
        stands_for = self.stands_for.get(target.index) or self.modules.get(target.func.index)
        if stands_for is not None:
            return stands_for
        return target.func if isinstance(target.func, Global) else None

    def _effect_misfit(self, effect: Build | Items | SetItems, contract: Contract, target: Call) -> str | None:
        func = self._class_of(target)
        what = self._names[func] if func is not None else contract.id
        if type(effect) is not Build:
            if type(effect) is SetItems:
                self.keys.check(effect.pairs[::2], target, effect.offset)
            elif effect.kind == "add":  # type: ignore[union-attr]
                self.keys.check(effect.items, target, effect.offset)  # type: ignore[union-attr]
            kind = "set" if type(effect) is SetItems else effect.kind  # type: ignore[union-attr]
            return None if kind in contract.items else f"{what} does not take items ({kind})"
        if func is not None:
            self.uses[func].add("build")
            decision = self._decisions[func]
            if isinstance(decision.entry, Allow) and "build" not in decision.entry.uses:
                return f"{what} is given a state, which its entry does not permit"
        if contract.state is None:
            return f"{what} takes no state"
        if contract is not OPAQUE:
            if type(effect.state) in _SIZED or type(effect.state) in (dict, tuple):
                self.copies.spend(len(effect.state), self.member, effect.offset)
            late = self._late((effect.state,), effect.index)
            if late is not None:
                self._find("SL206", f"{what} {late}", effect.offset, global_=func)
                return None
        problem = contract.state(effect.state, self)
        return None if problem is None else f"{what}: {problem}"

    # ---- 3. values --------------------------------------------------------------------------------------------------------------------

    def walk(self) -> None:
        """Visit everything that `rebuild` will, each container once: names and storages that stand as values, and how deep the result nests.

        The result first, so that its depth is measured from the top; then what calls made and nothing holds any more, since the replay makes it too.
        """
        limit, seen = self.limits.nesting_depth, set()
        constructors, effects = self.constructors, self.effects
        dropped = [
            record
            for record in self._outside_runs()
            if type(record) is Call and constructors[record.index] not in _FLAT and (record.args or record.kwargs or record.index in effects)
        ]
        stack = [iter((self.graph.root, *dropped))]
        while stack:
            for value in stack[-1]:
                kind = type(value)
                if kind is Global:
                    self.uses[value].add("reference")
                    continue
                if kind is PersistentId or (kind is Call and value.index in self.storages):
                    self.loose.add(value.index)
                    continue
                if kind not in _WALKED or (kind is Call and constructors[value.index] in _FLAT and value.index not in effects) or id(value) in seen:
                    continue
                children = self._children(value) if kind is Call else self._held(value, kind)
                if children is None:
                    continue
                seen.add(id(value))
                if len(stack) > limit:
                    raise exceeded("nesting_depth", limit, "the objects nest deeper", self.member, getattr(value, "offset", None))
                if children:
                    stack.append(iter(children))
                    break
            else:
                stack.pop()
        for node, uses in self.uses.items():
            if "reference" in uses:
                self._reference(node)

    def _outside_runs(self) -> list[Any]:
        """The log without the entries of runs, but for what is given state or items: a tensor's own parts were named by its signature."""
        if not self.runs:
            return self.graph.log
        log, found, at, changed = self.graph.log, [], 0, sorted(self.effects)
        for run in self.runs:
            found += log[at : run.start]
            found += [log[index] for index in changed[bisect_left(changed, run.start) : bisect_left(changed, run.stop)]]
            at = run.stop
        return found + log[at:]

    def _held(self, value: Any, kind: type) -> Collection[Any]:
        """What of a plain container has to be visited: most of what lies in one has nothing inside."""
        if kind is dict:
            if not PLAIN_KEYS.issuperset(map(type, value)):
                self.keys.check(value, value, 0)
                return [*value, *value.values()]
            value = value.values()
        elif kind is set or kind is frozenset:
            self.keys.check(value, value, 0)
        if _LEAVES.issuperset(map(type, value)):
            return ()
        if len(value) > FEW and set(map(type, value)) == {Call}:
            constructors, effects, storages = self.constructors, self.effects, self.storages
            return [call for call in value if constructors[call.index] not in _FLAT or call.index in effects or call.index in storages]
        return [item for item in value if type(item) in _VISITED]

    def _children(self, value: Call) -> Collection[Any] | None:
        constructor = self.constructors[value.index]
        effects = self.effects.get(value.index, ())
        if not effects and (constructor in _FLAT or (not value.args and not value.kwargs and type(value.func) is Global)):
            return None  # there is nothing inside, or its arguments were held against a signature that names every part
        parts: list[Any] = [] if constructor in _FLAT else [self._inner(value)]  # the tuple itself: calls may share it, and it is visited once
        if value.kwargs:
            parts.append(value.kwargs)
        if constructor == "opaque" and type(value.func) is not Global:
            parts.append(value.func)
        for effect in effects:
            if type(effect) is Build:
                parts.append(effect.state)
            else:
                parts.extend(effect.pairs if type(effect) is SetItems else effect.items)
        return parts

    def _inner(self, call: Call) -> tuple[Any, ...]:
        """The arguments that become part of the value: not the names by which a call says what it builds."""
        contract = self._contracts.get(call.func) if type(call.func) is Global else None
        if contract is not None and contract.id == "typed-tensor" and self.constructors[call.index] != "opaque":  # a record keeps all that it was given
            return call.args[2:]  # also where the call was refused: what is wrong with it has been said, and it is not the function that it names
        if call.index in self.stands_for:
            return ()
        return call.args

    def _reference(self, node: Global) -> None:
        decision = self._decisions[node]
        if (
            decision.kind == "allowed"
            and isinstance(decision.entry, Allow)
            and "reference" not in decision.entry.uses
            and not self.policy.keeps(self._names[node])
        ):
            self._find("SL302", f"{self._names[node]} stands as a value, which its entry does not permit", node.offset, decision, node)

    # ---- the outcome ------------------------------------------------------------------------------------------------------------------

    def judgement(self) -> Judgement:
        """Findings in file order, one line for each name, and the seal if nothing stands against it."""
        for node, decision in self._decisions.items():
            if decision.kind == "denied":
                self._forbidden(node, decision)
        findings = sorted(self.findings, key=lambda finding: finding.offset or 0)
        uses = tuple(self._use(node) for node in self.graph.globals.values())
        vetted = None
        if not any(finding.level == "error" for finding in findings):
            vetted = Vetted(
                SEAL,
                graph=self.graph,
                policy=self.policy,
                member=self.member,
                constructors=self.constructors,
                kinds=self.kinds,
                literals=self.literals,
                storages=self._all_storages(),
                loose=self.loose,
                runs=self.runs,
            )
        return Judgement(vetted=vetted, findings=tuple(findings), suppressed=self.suppressed, globals=uses)

    def _all_storages(self) -> dict[int, StorageId]:
        """What each persistent id stands for; those of runs are said when they are asked for."""
        if not self.run_storages:
            return self.storages
        found: Late[int, StorageId] = Late()
        found.update(self.storages)
        for run, name in self.run_storages:
            found.add(range(run.start, run.stop, RUN_ENTRIES), partial(_storage_of, self.graph.log, run, name))
        return found

    def stopped(self, error: CheckpointError) -> None:
        """Keep what ended the judging, whatever the number of findings."""
        self.findings.append(Finding(rule=error.rule, message=error.message, member=error.member, offset=error.offset))

    def _forbidden(self, node: Global, decision: Decision) -> None:
        name, policy = self._names[node], self.policy.name
        calls = self.calls[node]
        verb = "is called" if calls else "is used as a storage type" if "storage-type" in self.uses[node] else "is named"
        rule = "SL321" if decision.expired else "SL301"
        if isinstance(decision.entry, Allow | Opaque) and decision.expired:
            until = f"let it through until {decision.entry.expires} and has expired"
            message = f"{name} {verb}, and entry {decision.entry.id!r} of policy {decision.entry.policy} {until}"
        elif decision.entry is not None:
            message = f"{name} {verb}, and policy {policy} denies it (entry {decision.entry.id!r}): {decision.entry.reason}"
        else:
            message = f"{name} {verb}, and no entry of policy {policy} lists it{_danger(name).words}"
        self._find(rule, message, calls[0] if calls else node.offset, decision, node)

    def _use(self, node: Global) -> GlobalUse:
        decision = self._decisions[node]
        offsets = sorted({*self.graph.mentions[node], *self.calls[node]})
        decided: Literal["allowed", "opaque", "denied"] = decision.kind
        return GlobalUse(
            global_name=node.full,
            uses=tuple(sorted(self.uses[node])),
            decision=decided,
            entry=decision.entry.id if decision.entry is not None else None,
            policy=decision.entry.policy if decision.entry is not None else None,
            capability=decision.capability,
            count=max(self.graph.named[node], self.called[node]),
            places=tuple((self.member or "", offset) for offset in offsets[:MAX_LISTED_PLACES]),
            expired=decision.expired,
        )

    def _find(
        self, rule: str, message: str, offset: int, decision: Decision | None = None, global_: Global | None = None, *, capability: str | None = None
    ) -> None:
        if len(self.findings) >= max(self.limits.findings, 1):  # one is always kept: without any, the file would pass for accepted
            self.suppressed += 1
            return
        if decision is None and global_ is not None:
            decision = self._decisions[global_]
        entry = decision.entry.id if decision is not None and decision.entry is not None else None
        self.findings.append(
            Finding(
                rule=rule,
                message=escape(message, MAX_MESSAGE_CHARACTERS),  # it holds names from the file, and ends up on terminals
                capability=decision.capability if decision is not None else capability,
                global_name=global_.full if global_ is not None else None,
                member=self.member,
                offset=offset,
                entry=entry,
            )
        )


# classes whose base is object itself, so that `object.__new__(cls)` makes one
BARE_OBJECTS = frozenset({"config-value", "record", "namespace", "uuid", "plain-object", "joblib-array"})
RUN_TYPES = {Global, str, bool}  # of what the records of a run share
RUN_CONSTRUCTORS = ["storage", "ordered-dict", "tensor"]  # of the entries of one tensor record
RECORDS_PER_CHECK = 1_024  # entries of the log between two looks at the clock
_MUTABLE = frozenset({list, dict, set})
_SIZED = frozenset({str, bytes, bytearray})
_WALKED = frozenset({dict, list, tuple, set, frozenset, Call})
FEW = 16  # values of a container: not worth a look at all of them
_LEAVES = frozenset({str, bytes, bytearray, int, float, bool, type(None)})
_VISITED = _WALKED | {Global, PersistentId}
_COPIED = frozenset({"bytearray", "quantized-tensor", "subclass-tensor"})
_CLASS_KINDS = frozenset({"tensor-class", "parameter-class", "numpy-dtype-class"})
_TENSOR_FAMILY = frozenset({"tensor", "parameter", "sparse-tensor", "quantized-tensor", "nested-tensor", "storage"})
_FLAT = frozenset(
    contract.id
    for contract in CONTRACTS.values()
    if contract.literal is not None or (contract.produces in _TENSOR_FAMILY and contract.id != "parameter-with-state")
)


def _storage_of(log: list[Any], run: TensorRun, name: str, index: int) -> StorageId:
    """The storage that the persistent id at this place of a run stands for."""
    which = (index - run.start) // RUN_ENTRIES
    return StorageId(
        index=index, offset=log[index].offset, storage_type=name, key=run.keys[which], location=run.alike[3], numel=run.geometries[which].numel, view=None
    )


def _danger(name: str) -> Danger:
    """What is known of a name that no entry lists. Its tables are for the files that have one."""
    from safeload.policy.danger import danger

    return danger(name)


def _kind_of_name(contract: Contract) -> str:
    """The kind of a name itself, as a value: a dtype is one, a class is not yet what it would make."""
    if contract.uses <= {"reference", "storage-type"}:
        return contract.produces
    return contract.id if contract.id in _CLASS_KINDS else f"class-{contract.id}"


def _text(value: Any) -> str | None:
    """A str, or ASCII bytes as `encoding="bytes"` leaves them; None for anything else."""
    if type(value) is bytes:
        return value.decode("ascii") if value.isascii() else None
    return value if type(value) is str else None


def _containers(args: tuple[Any, ...]) -> list[Any]:
    """The plain containers that a constructor looks into: its arguments, the parts of a tuple among them, the pairs of a list of pairs."""
    found: list[Any] = []
    for arg in args:
        if type(arg) in _MUTABLE:
            found.append(arg)
            if type(arg) is list:
                found.extend(item for item in arg if type(item) is list)
        elif type(arg) is tuple:
            found.extend(item for item in arg if type(item) in _MUTABLE)
    return found
