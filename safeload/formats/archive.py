"""A zip archive becomes a `Document`: the one pickle of a torch zip. Of a zip that torch.save did not write, the members are judged and nothing loads.

Members that no torch release writes, and storages that nothing refers to, are looked into: no reader of ours opens them, another program might.
Refuses bytes behind the pickle's STOP (SL207) and members that cannot be judged (SL122).
"""

from __future__ import annotations

from safeload.containers.base import Container, Member
from safeload.errors import StreamError
from safeload.formats.judging import Judging
from safeload.storage.records import Document, Plan


def read_torch_zip(judging: Judging, container: Container) -> Document | None:
    """The plan of `data.pkl`."""
    plans = [stream(judging, container, container.members[name]) for name in container.pickles]
    unreferenced(judging, container)
    for member in container.members.values():
        if member.role == "unknown" and member.size and not judging.probe(member):
            judging.find("SL122", f"a member of {member.size:,} bytes that torch.save does not write and safeload cannot judge", member=member.name)
    return plans[0] if len(plans) == 1 else None


def read_plain_zip(judging: Judging, container: Container) -> Document | None:
    """Nothing to load; the pickles among the members are judged, and a payload in them named."""
    for member in container.members.values():
        if member.size:
            judging.probe(member)
    return None


def stream(judging: Judging, container: Container, member: Member) -> Plan | None:
    """The one stream of a pickle member."""
    data = judging.pickle_bytes(member)
    graph = judging.interpret(data, member=member.name)
    plan = judging.judged(container, member.name, data, graph)
    if graph.end != len(data):
        raise StreamError(
            f"{len(data) - graph.end:,} bytes follow the end of the pickle, and nothing accounts for them", rule="SL207", member=member.name, offset=graph.end
        )
    return plan


def unreferenced(judging: Judging, container: Container) -> None:
    """Note the storages that no tensor stands on, and judge those that are pickles. Where a stream was refused, nobody knows what it would have used."""
    if any(finding.level == "error" for finding in judging.findings):
        return
    for key, member in container.storages.items():
        if key not in judging.used and member.size:
            judging.find("SL123", f"storage {key[:40]!a} ({member.size:,} bytes) belongs to no tensor", level="note", member=member.name)
            judging.probe(member)
