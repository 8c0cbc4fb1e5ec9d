"""The code that some archives carry beside their weights: noted where a policy keeps such classes as records, refused by every other (SL124).

safeload never runs it. It is read all the same, within the budget: text has to be UTF-8, so that what is called code is no pickle and no library in disguise.
"""

from __future__ import annotations

from safeload.containers.base import Container
from safeload.containers.torch_archive import NATIVE_SUFFIXES
from safeload.errors import ContainerError
from safeload.formats.judging import Judging

MAX_LISTED = 3  # names in the message; the report lists all members


def judge_code(judging: Judging, container: Container, prefix: str) -> None:
    """Read all members with the role `code`, and say that they are there. `prefix` is what the classes of this format are called by: `__torch__`."""
    names = [name for name, member in container.members.items() if member.role == "code"]
    native = [name for name in names if name.endswith(NATIVE_SUFFIXES)]
    for name in names:
        data = judging.member_bytes(container.members[name])
        if name not in native:
            try:
                data.decode("utf-8")
            except UnicodeDecodeError:
                judging.probe(container.members[name])
                judging.stopped(ContainerError("a member of source code is no text in UTF-8", rule="SL122", member=name))
    kept = judging.policy.keeps(f"{prefix}.Module")
    for what, group, capability in (("source code", [name for name in names if name not in native], "code.exec"), ("native code", native, "native")):
        if group:
            listed = ", ".join(name.rpartition("/")[2] for name in group[:MAX_LISTED]) + (", ..." if len(group) > MAX_LISTED else "")
            many = f"{len(group):,} members" if len(group) > 1 else "a member"
            end = "safeload does not run it" if kept else "policy='inspect' takes the weights out and runs none of it"
            message = f"the archive carries {what} in {many} ({listed}); {end}"
            judging.find("SL124", message, level="note" if kept else "error", member=group[0], capability=capability)
