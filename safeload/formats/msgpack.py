"""A msgpack file, such as `flax.serialization` writes for JAX, is named and not read. Some pickles begin alike, so it is judged as one first."""

from __future__ import annotations

from safeload.containers.base import Container
from safeload.formats.judging import Judging


def read(judging: Judging, container: Container) -> None:
    """Nothing to build."""
    (member,) = container.members.values()
    judging.probe(member)
    judging.find("SL002", "this looks like msgpack, as Flax writes it, which safeload names and does not judge: read it with flax.serialization")
