"""The description of a Keras model becomes the names that Keras would import or run for it, each put to the policy.

`config.json` of a `.keras` archive, and the text of `Model.to_json()`, describe objects in objects: `{"module": ..., "class_name": ..., "config": ...}`. Keras
looks each class or function up by its module and name, and calls it with what stands in its config. So the same questions are asked as of a pickle:

    code in the text      a lambda as marshalled bytecode, a layer that unpickles a torch module or loads a program          SL124
    names                 of modules that are not Keras's, which Keras before 3.9 imports (CVE-2025-1550)                    SL301
    functions of Keras    that are no part of a model: they load files, fetch them or switch checks off (CVE-2025-8747)      SL301
    files                 a layer whose vocabulary is a file of the machine that loads it (CVE-2025-12058)                   SL304

Judged strictly as JSON: what two readers could take differently is not judged at all (SL122). Nothing is looked up here, and nothing is built: what the
description says beside this, and the numbers that belong to it, are Keras's to read.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any

import msgspec

from safeload.budget import exceeded
from safeload.containers.base import Container
from safeload.containers.json_strict import BadJson, parse
from safeload.containers.zip_names import shown
from safeload.errors import LimitExceeded
from safeload.escape import escape
from safeload.findings import Finding, GlobalUse
from safeload.formats.judging import Judging
from safeload.policy.aliases import canonical_name
from safeload.policy.danger import danger
from safeload.policy.model import Decision
from safeload.source import ByteSource

CONFIG = "config.json"
MAX_CONFIG_BYTES = 64 << 20  # a model of a hundred thousand layers
MAX_NAMES = 1_000  # distinct things that are found, each with a count
MAX_MESSAGE_CHARACTERS = 400
NODES_PER_CHECK = 4_096  # of the time

CODE_LAYERS: dict[str, str] = {
    "__lambda__": "a Python function as marshalled bytecode, which Keras runs where its safe mode is off, and always before 2.13 (CVE-2024-3660)",
    "Lambda": "it runs a Python function, which may stand in the file as marshalled bytecode (CVE-2024-3660)",
    "TorchModuleWrapper": "it unpickles a torch module",
    "TFSMLayer": "it loads and runs a TensorFlow program from a path",
}
"""Class to what it does. The first is no layer: it is what a function becomes in the text."""
VOCABULARY_LAYERS = frozenset({"StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"})
PACKAGES = frozenset({"keras", "keras_core", "keras_cv", "keras_hub", "keras_nlp", "tf_keras"})
"""Whose classes are layers, losses and the like. What else lies in them Keras itself has refused since 3.9 unless it can be saved."""
TOOLS: dict[str, str] = {
    "get_file": "net", "load_data": "net", "load_img": "fs.read", "save_img": "fs.write", "audio_dataset_from_directory": "fs.read",
    "image_dataset_from_directory": "fs.read", "text_dataset_from_directory": "fs.read", "extract_archive": "fs.write", "save_model": "fs.write",
    "save_weights": "fs.write", "load_model": "code.deserialize", "load_weights": "code.deserialize", "model_from_json": "code.deserialize",
    "model_from_config": "code.deserialize", "deserialize_keras_object": "code.deserialize", "func_load": "code.exec",
    "enable_unsafe_deserialization": "code.exec",
}  # fmt: skip
"""Functions of Keras that are no part of a model, under whichever of its modules, and the gravest that each does."""
TOOL_WORDS: dict[str, str] = {
    "code.exec": "it could run code from the file", "code.deserialize": "it could load another model", "net": "it could fetch and unpack files",
    "fs.read": "it could read files", "fs.write": "it could write files",
}  # fmt: skip
BUILTINS = "builtins"  # where Keras says that its own functions are


class Found(msgspec.Struct, kw_only=True):
    """One thing that stands against the description, and how often."""

    message: str = ""
    rule: str | None = None  # None: nothing stands against the name, and the report lists it
    capability: str | None = None
    name: str | None = None  # of a global
    decision: Decision | None = None
    count: int = 0


def read(judging: Judging, container: Container) -> None:
    """A description alone: it is judged, and there is nothing to load."""
    data = container.source.read(0, container.source.size)
    judge_config(judging, data, "")
    judging.find("SL002", "this is the description of a Keras model: the names in it were judged; load it with Keras, which makes the layers")


def judge_config(judging: Judging, data: bytes, member: str) -> None:
    """Judge one description. `member` is where it stands."""
    place = member or None
    if len(data) > MAX_CONFIG_BYTES:
        raise exceeded("member_bytes", MAX_CONFIG_BYTES, f"the description of the model is {len(data):,} bytes long, more", place)
    try:
        document = parse(data, floats=True)
    except BadJson as error:
        judging.find("SL122", f"the description of the model is not well-formed JSON: {error}", member=place)
        return
    found: dict[str, Found] = {}
    try:
        for count, node in enumerate(_objects(document)):
            if not count % NODES_PER_CHECK:
                judging.budget.check_time(place)
            for each in _judged(judging, node, member):
                key = f"{each.rule} {each.name or each.message}"
                if key in found or len(found) < MAX_NAMES:
                    found.setdefault(key, each).count += 1
                else:
                    judging.suppressed += 1
    finally:  # what was found before a limit was met is said all the same
        for each in found.values():
            _report(judging, each, place)


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    """Every object in the text that names a class, without recursion."""
    pending = [document]
    while pending:
        node = pending.pop()
        if type(node) is dict:
            if type(node.get("class_name")) is str:
                yield node
            pending.extend(reversed(node.values()))
        elif type(node) is list:
            pending.extend(reversed(node))


def _judged(judging: Judging, node: dict[str, Any], member: str) -> list[Found]:
    """All that stands against one object."""
    name, module, config = node["class_name"], node.get("module"), node.get("config")
    out: list[Found] = []
    ours = type(module) is not str or _package(module) in PACKAGES
    if name in CODE_LAYERS and ours:
        out.append(Found(rule="SL124", message=f"the model has {layer(name)}: {CODE_LAYERS[name]}", capability="code.exec"))
    if name == "TorchModuleWrapper" and type(config) is dict:
        _torch_module(judging, config.get("module"), f"{member}!/{name}" if member else name)
    if name in VOCABULARY_LAYERS and type(config) is dict and type(config.get("vocabulary")) is str:
        text = f"{name} takes its vocabulary from the file {shown(config['vocabulary'])} of the machine that loads the model (CVE-2025-12058)"
        out.append(Found(rule="SL304", message=text, capability="fs.read"))
    if type(module) is str and module:
        function = config if name == "function" and type(config) is str else None
        out += _named(judging, module, name if function is None else function, is_function=function is not None)
    return out


def layer(name: str) -> str:
    """`a layer Lambda`."""
    return f"a layer {name}" if name[0] != "_" else f"a {name}"


def _package(module: str) -> str:
    return module.split(".", 1)[0]


def _named(judging: Judging, module: str, name: str, *, is_function: bool) -> list[Found]:
    """What the policy says of a name that Keras would look up."""
    full = f"{module}.{name}"
    if len(full) > judging.limits.global_name_bytes:
        limit = exceeded("global_name_bytes", judging.limits.global_name_bytes, "the model names something that is longer")
        return [Found(rule=limit.rule, message=limit.message)]
    decision = judging.policy.decide(canonical_name(full))
    if module == BUILTINS and is_function and decision.entry is None:
        return []  # one of Keras's own, by its bare name: relu
    if _package(module) in PACKAGES:
        capability = TOOLS.get(name)
        if capability is None or decision.kind != "denied":
            return []
        text = f"{full} is named by the model, and is a tool of Keras and no part of one: {TOOL_WORDS[capability]} (CVE-2025-8747)"
        return [Found(rule="SL301", message=text, capability=capability, name=full, decision=decision)]
    if decision.kind != "denied":
        return [Found(name=full, decision=decision)]
    if decision.entry is not None and not decision.expired:
        why = f"policy {judging.policy.name} denies it (entry {decision.entry.id!r})"
    else:
        why = f"no entry of policy {judging.policy.name} lists it{danger(full).words}"
    text = f"{full} is named by the model, and {why}; Keras before 3.9 imports its module (CVE-2025-1550)"
    return [Found(rule="SL301", message=text, capability=decision.capability, name=full, decision=decision)]


def _torch_module(judging: Judging, text: Any, name: str) -> None:
    """A torch module stands in the text as base64 of a `torch.save`: judged as the file that it is."""
    if type(text) is not str:
        return
    try:
        data = binascii.a2b_base64(text, strict_mode=False)
    except (binascii.Error, ValueError) as error:
        judging.find("SL122", f"the torch module in the description is no base64: {error}", member=name)
        return
    try:
        judging.nested(ByteSource(name=name, size=len(data), buffer=data), name, unbuilt=True)
    except LimitExceeded as error:
        if judging.depth < judging.limits.container_depth:
            raise
        judging.stopped(error)


def _report(judging: Judging, found: Found, member: str | None) -> None:
    if found.name is not None and found.decision is not None:
        decision = found.decision
        judging.globals.append(
            GlobalUse(
                global_name=found.name,
                uses=("reference",),
                decision="denied" if found.rule is not None else decision.kind,
                entry=decision.entry.id if decision.entry is not None else None,
                policy=decision.entry.policy if decision.entry is not None else None,
                capability=found.capability or decision.capability,
                count=found.count,
                places=(),
                expired=decision.expired,
            )
        )
    if found.rule is not None:
        times = f" ({found.count:,} times)" if found.count > 1 else ""
        entry = found.decision.entry.id if found.decision is not None and found.decision.entry is not None else None
        message = escape(found.message, MAX_MESSAGE_CHARACTERS) + times  # it holds names from the file, and ends up on terminals
        judging.findings.append(
            Finding(rule=found.rule, message=message, capability=found.capability, global_name=found.name, member=member, entry=entry)
        )
