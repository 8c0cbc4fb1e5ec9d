"""A file behind `https://` becomes ranges of it, all of one version, by one GET for each: no HEAD, no guess, no cache, and nothing kept open.

    1. The first GET asks for the last bytes: its answer gives them, the size, and the ETag.
    2. Every other asks for a range `If-Match` that ETag, and has to be exactly that range of that version.
    3. A server without ranges, or without a strong ETag, is asked for all of it at once: one answer is one version.

fsspec's file system for http is not used (docs/remote.md has the numbers): it asks for the size with a HEAD, reads in blocks of 5 MiB, pins no version, and its
client follows redirects wherever they lead. Here one leads to TLS or it is refused, and credentials are for the origin that they were given for.

Refuses (SL005) what does not fit: other ranges, lengths or versions than asked for, bodies that end early, encodings; (SL901) more bytes, requests or seconds
than the limits allow. A server that sends a byte a second is cut off by a clock of its own, since every single read of a socket would be in time.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Timer
from time import monotonic
from typing import IO, Literal
from urllib.parse import quote, urljoin

import msgspec

from safeload.budget import exceeded
from safeload.errors import CheckpointError
from safeload.limits import Limits
from safeload.remote.answers import check_plain, etag_of, length_of, part_of, refusal, total_of, wrong
from safeload.remote.uri import MAX_URI_CHARACTERS, Web, web

SOCKET_SECONDS = 30  # without a byte
CLOCK_SECONDS = 0.1  # behind the deadline, so that whoever was cut off knows why
CHUNK_BYTES = 1 << 16
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
NO_SUFFIX = (400, 416, 501)  # what servers answer that know ranges, and none that count from the end
ABANDON_BYTES = 1 << 20  # a whole file of more is not read on where ranges will do


class First(msgspec.Struct, frozen=True, kw_only=True):
    """What the first requests gave: the size and the last bytes; or a file with all of it."""

    total: int
    body: bytes = b""
    spooled: IO[bytes] | None = None


class Http:
    """One file, and what reading it has cost. `commit`: what the address names never changes, whatever the server says of it."""

    def __init__(self, uri: str, limits: Limits, *, bearer: str | None = None, commit: str | None = None) -> None:
        self._place = web(uri)
        self._limits = limits
        self._loopback = not self._place.secure  # only what was given as http may lead to http, on this machine
        self._origin = self._place.origin
        login = self._place.login
        self._authorization = f"Bearer {bearer}" if bearer else f"Basic {base64.b64encode(login.encode()).decode()}" if login else None
        self._etag: str | None = None
        self._commit = commit
        self._total = -1
        self._deadline = monotonic() + limits.scan_seconds
        self.requests = self.bytes_read = 0

    @property
    def version(self) -> str | None:
        """The commit, or the ETag."""
        return self._commit or self._etag

    @property
    def pinned(self) -> Literal["etag", "commit", "whole"]:
        """What makes all bytes be of one version."""
        return "commit" if self._commit else "etag" if self._etag else "whole"

    def first(self, tail: int) -> First:
        """Steps 1 and 3: at least `tail` bytes of the end, or all of the file."""
        with self._get({"Range": f"bytes=-{tail}"}) as answer:
            if answer.status == 206:
                part = part_of(answer.getheader("Content-Range"))
                if part.end != part.total or part.start != max(part.total - tail, 0):
                    raise wrong(f"the server was asked for the last {tail:,} bytes and sends {part.start:,} to {part.end:,} of {part.total:,}")
                self._check_total(part.total)
                self._etag, self._total = etag_of(answer.getheader("ETag")), part.total
                if self.version is not None or part.start == 0:
                    return First(total=part.total, body=self._body(answer, part.end - part.start))
            elif answer.status == 200:
                length = length_of(answer.getheader("Content-Length"))
                self._etag = etag_of(answer.getheader("ETag"))
                ranges = (answer.getheader("Accept-Ranges") or "").strip().lower() == "bytes"
                if not (ranges and length is not None and length > ABANDON_BYTES and self.version is not None):
                    return self._whole(answer)
                self._check_total(length)
                self._total = length
            elif answer.status in NO_SUFFIX and (total := total_of(answer.getheader("Content-Range"))) is not None:
                if not total:
                    return First(total=0)
                self._check_total(total)
                self._etag, self._total = etag_of(answer.getheader("ETag")), total
            else:
                raise refusal(answer.status)
        if self.version is not None:
            return First(total=self._total, body=self.part(max(self._total - tail, 0), min(tail, self._total)))
        with self._get({}) as answer:
            if answer.status != 200:
                raise refusal(answer.status)
            return self._whole(answer)

    def part(self, start: int, length: int) -> bytes:
        """Step 2: exactly these bytes, of the version that the first answer was of."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        if self._etag is not None:
            headers["If-Match"] = self._etag
        with self._get(headers) as answer:
            if answer.status == 200:
                raise wrong("the server knows ranges once and not again: it sends the whole file")
            if answer.status != 206:
                raise refusal(answer.status)
            part = part_of(answer.getheader("Content-Range"))
            etag = etag_of(answer.getheader("ETag"))
            if part.total != self._total or (self._etag is not None and etag != self._etag):
                raise refusal(412)
            if (part.start, part.end) != (start, start + length):
                raise wrong(f"the server was asked for {start:,} to {start + length:,} and sends {part.start:,} to {part.end:,}")
            return self._body(answer, length)

    # ---- bodies -------------------------------------------------------------------------------------------------------------------------

    def _body(self, answer: http.client.HTTPResponse, length: int) -> bytes:
        """Exactly `length` bytes."""
        announced = length_of(answer.getheader("Content-Length"))
        if announced is not None and announced != length:
            raise wrong(f"the server contradicts itself: a range of {length:,} bytes, and a length of {announced:,}")
        self._afford(length)
        data = bytearray()
        for chunk in self._chunks(answer):
            data += chunk
            if len(data) > length:
                raise wrong(f"the server sends more than the {length:,} bytes that it announced")
        if len(data) < length:
            raise wrong(f"the server ends the answer after {len(data):,} of {length:,} bytes")
        return bytes(data)

    def _whole(self, answer: http.client.HTTPResponse) -> First:
        """All of the file, into one that has no name. A body without a length ends where the server ends it; what is missing then, the archive tells."""
        announced = length_of(answer.getheader("Content-Length"))
        if announced is not None:
            self._check_total(announced)
            self._afford(announced)
        total = 0
        spooled = tempfile.TemporaryFile()  # noqa: SIM115 - the source closes it
        try:
            for chunk in self._chunks(answer):
                total += len(chunk)
                self._afford(0)
                spooled.write(chunk)
            if announced is not None and total != announced:
                raise wrong(f"the server ends the answer after {total:,} of {announced:,} bytes")
            spooled.flush()
        except BaseException:
            spooled.close()
            raise
        return First(total=total, spooled=spooled)

    def _chunks(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        while chunk := answer.read1(CHUNK_BYTES):
            self.bytes_read += len(chunk)
            yield chunk
        self._in_time()

    def _afford(self, length: int) -> None:
        if self.bytes_read + length > self._limits.remote_bytes:
            raise exceeded("remote_bytes", self._limits.remote_bytes, "judging this file takes more bytes over the network")

    def _check_total(self, total: int) -> None:
        if total > self._limits.file_bytes:
            raise exceeded("file_bytes", self._limits.file_bytes, f"the file holds {total:,} bytes, more")

    # ---- requests -----------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _get(self, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """The answer to one GET that is no redirect. Whatever goes wrong on the way or in the block is a `CheckpointError`."""
        place = self._place
        for _ in range(MAX_REDIRECTS + 1):
            with self._failures(), self._connection(place) as connection:
                connection.request("GET", place.target, headers={**self._headers(place), **headers})
                answer = connection.getresponse()
                self._in_time()
                if answer.status not in REDIRECTS:
                    check_plain(answer.status, answer.getheader("Content-Encoding"), answer.getheader("Content-Type"))
                    self._place = place  # the next request goes there at once
                    yield answer
                    return
                place = self._redirected(place, answer.getheader("Location"))
        raise wrong(f"more than {MAX_REDIRECTS} redirects")

    def _headers(self, place: Web) -> dict[str, str]:
        own = {"Accept-Encoding": "identity", "User-Agent": "safeload", "Connection": "close"}
        return {**own, "Authorization": self._authorization} if self._authorization and place.origin == self._origin else own

    def _redirected(self, place: Web, location: str | None) -> Web:
        if not location or len(location) > MAX_URI_CHARACTERS or not location.isprintable():
            raise wrong("the server sends a redirect without a place")
        try:
            target = urljoin(place.url, quote(location.encode("latin-1", "replace"), safe="/%:@!$&'()*+,;=~-._?#[]"))
            return web(target.partition("#")[0], loopback=self._loopback)
        except (CheckpointError, ValueError):
            raise wrong("the server redirects to a place that is not behind TLS, or no place at all") from None

    @contextmanager
    def _connection(self, place: Web) -> Iterator[http.client.HTTPConnection]:
        """A connection that is cut when the time of this file is over."""
        self.requests += 1
        if self.requests > self._limits.remote_requests:
            raise exceeded("remote_requests", self._limits.remote_requests, "judging this file takes more requests")
        left = self._deadline - monotonic()
        if left <= 0:
            raise self._late()
        connection = _connection(place, min(SOCKET_SECONDS, left))
        clock: Timer | None = None
        try:
            connection.connect()
            clock = Timer(max(self._deadline - monotonic(), 0) + CLOCK_SECONDS, _cut, [connection.sock])
            clock.daemon = True
            clock.start()
            yield connection
        finally:
            if clock is not None:
                clock.cancel()
            connection.close()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            if monotonic() >= self._deadline:  # cut off, it looks as if the body had ended
                raise self._late() from None
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            if monotonic() >= self._deadline:
                raise self._late() from None
            raise wrong(f"{self._place.host} cannot be read: {_reason(error)}") from None

    def _in_time(self) -> None:
        """What was cut off by the clock looks like a head or a body that has ended."""
        if monotonic() >= self._deadline:
            raise self._late()

    def _late(self) -> CheckpointError:
        return exceeded("scan_seconds", self._limits.scan_seconds, "fetching this file takes longer")


def _cut(sock: socket.socket) -> None:
    with suppress(OSError, ValueError):
        sock.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"[:200]


def _connection(place: Web, seconds: float) -> http.client.HTTPConnection:
    """To the place itself, or through the proxy that the environment names for it, as urllib reads it."""
    if not place.secure:
        return http.client.HTTPConnection(place.host, place.port, timeout=seconds)
    from urllib.request import getproxies, proxy_bypass

    context = ssl.create_default_context()
    proxy = getproxies().get("https")
    if not proxy or proxy_bypass(place.host):
        return http.client.HTTPSConnection(place.host, place.port, timeout=seconds, context=context)
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 8080, timeout=seconds, context=context)
    login = unquote(parts.netloc.rpartition("@")[0])
    headers = {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    connection.set_tunnel(place.host, place.port, headers)
    return connection
