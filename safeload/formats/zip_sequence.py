"""Archives of `torch.save` behind each other, as the shards of a distributed checkpoint are: each is judged. What the file means, only its `.metadata` says."""

from __future__ import annotations

from safeload.containers.base import Container
from safeload.formats.judging import Judging
from safeload.storage.records import Document


def read(judging: Judging, container: Container) -> Document | None:
    """Nothing to load by itself: several objects."""
    judging.objects = len(container.detail)
    for start, length in container.detail:
        judging.nested(judging.source.part(start, length), f"[{start:#x}]")
    return None
