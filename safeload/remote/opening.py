"""An address becomes a `ByteSource`, with what its reader needs first fetched already.

Refuses, always with a `CheckpointError`: addresses that are none, what cannot be fetched (SL005), and what is beyond the limits (SL901).
"""

from __future__ import annotations

from typing import IO

from safeload.errors import CheckpointError
from safeload.findings import Fetched
from safeload.limits import Limits
from safeload.remote.ahead import TAIL_BYTES, read_ahead
from safeload.remote.http import First, Http
from safeload.remote.store import RemoteSource, Store, Transport
from safeload.remote.uri import bucket, hub, scheme_of, shown, web
from safeload.source import ByteSource


def open_remote(uri: str, limits: Limits) -> ByteSource:
    """The source behind an address: `https://`, `s3://`, `hf://`; `http://` on this machine alone."""
    scheme = scheme_of(uri)
    if scheme == "s3":
        from safeload.remote.s3 import S3

        s3 = S3(bucket(uri), limits)
        return _opened(s3, s3.first(TAIL_BYTES), uri, limits)
    if scheme == "hf":
        from safeload.remote.hub import file_of

        uri, http = file_of(hub(uri), limits)
    else:
        web(uri)
        http = Http(uri, limits)
    return _opened(http, http.first(TAIL_BYTES), shown(uri), limits)


def _opened(transport: Transport, first: First, name: str, limits: Limits) -> ByteSource:
    if first.spooled is not None:
        return _Spooled(transport, first.spooled, name=name, size=first.total)
    store = Store(transport, first.total)
    source = RemoteSource(store, name=name, size=first.total)
    store.put(first.total - len(first.body), first.body)
    read_ahead(source, store, limits)
    return source


class _Spooled(ByteSource):
    """A file that came whole, in one that has no name."""

    __slots__ = ("_spooled",)

    def __init__(self, transport: Transport, spooled: IO[bytes], *, name: str, size: int) -> None:
        super().__init__(name=name, size=size, fd=spooled.fileno())
        self._spooled = spooled
        self.fetched = lambda: Fetched(
            version=transport.version, pinned=transport.pinned, bytes_read=transport.bytes_read, requests=transport.requests, bytes_unread=0
        )

    def close(self) -> None:
        """And the file is gone."""
        super().close()
        self._spooled.close()


def expanded(uri: str) -> list[str]:
    """The files that an address means: those of a repository or folder of the Hub at one commit, else the address itself. Raises `CheckpointError`."""
    if scheme_of(uri) != "hf":
        return [uri]
    from safeload.remote.hub import files_of

    return files_of(hub(uri))


__all__ = ["CheckpointError", "expanded", "open_remote"]
