"""A GGUF file is judged by its header, and nothing is built of it: most of its tensors are quantised, in ways that no array has.

It holds no stream and no name, so what is left is to count its tensors and to say what it holds beside them. A chat template is a program in Jinja's language,
which the engine that reads the file runs: noted, since most files have one and honest engines keep it in a sandbox (SL126). One that reaches for what lies
under Python's objects has no use but to leave that sandbox, as in CVE-2024-34359: that is code (SL124).
"""

from __future__ import annotations

import re

from safeload.containers.base import Container
from safeload.containers.gguf import Header, Template
from safeload.containers.zip_names import shown
from safeload.formats.judging import Judging
from safeload.storage.records import Unbuilt

_ESCAPE = re.compile(
    rb"__(?:class|bases?|mro|subclasses|globals|builtins|init|import|getattribute|dict|code|self|call|reduce(?:_ex)?|loader|spec)__|\|\s*attr\b"
    rb"|\\x5f|\\u005f|\\U0000005f|\\137|\\N\{LOW LINE\}|[\"']_{1,2}[\"']|[\"']__[a-z]|[a-z]__[\"']|\bself\s*\.\s*_|[\"']%c[\"']",
    re.IGNORECASE,
)
"""What reaches from a template into Python: the attributes by which objects lead to each other, also with spelt-out underscores and in two halves, and the
filter that takes an attribute by its name. A text that means one of these can be put together in ways that no pattern sees, so the absence of them says
nothing."""


def read(judging: Judging, container: Container) -> Unbuilt:
    """What to say to somebody who loads it."""
    header: Header = container.detail
    for tensor in header.tensors:
        judging.count_tensor(tensor.member.size)
    for template in header.templates:
        _judge_template(judging, template)
    return Unbuilt(what="a GGUF file", hint="read it with the gguf package")


def _judge_template(judging: Judging, template: Template) -> None:
    found = _ESCAPE.search(template.text)
    if found is None:
        message = f"{shown(template.key)} is a Jinja template of {len(template.text):,} bytes, a program that the reader of the file runs; it is not judged"
        judging.find("SL126", message, level="note", offset=template.offset)
        return
    message = f"the template {shown(template.key)} says {shown(found[0])}: outside of a sandbox it would reach any of Python (CVE-2024-34359)"
    judging.find("SL124", message, offset=template.offset + found.start(), capability="code.exec")
