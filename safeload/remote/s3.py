"""An object of S3 becomes ranges of it, all of one version: GetObject through s3fs (extra `s3`), each pinned to the ETag of the first.

s3fs knows credentials, regions and endpoints (`AWS_PROFILE`, `AWS_ENDPOINT_URL`, fsspec's own configuration); its file objects read in blocks of 50 MiB and
ask with HeadObject first, so its one call below them is used: `call_s3("get_object", Range=..., IfMatch=...)`.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Literal

from safeload.budget import exceeded
from safeload.errors import CheckpointError
from safeload.limits import Limits
from safeload.remote.answers import part_of, wrong
from safeload.remote.http import First
from safeload.remote.uri import Bucket

INSTALL = "s3:// needs the s3fs library: pip install 'safeload[s3]'"
SOCKET_SECONDS = 30


class S3:
    """One object, and what reading it has cost."""

    def __init__(self, place: Bucket, limits: Limits) -> None:
        try:
            import fsspec.asyn
            import s3fs
        except ImportError as error:
            raise CheckpointError(f"{INSTALL} ({error})", rule="SL005") from None
        self._sync: Any = fsspec.asyn.sync
        self._place, self._limits = place, limits
        self._deadline = monotonic() + limits.scan_seconds
        self._etag: str | None = None
        self._total = -1
        self.requests = self.bytes_read = 0
        config = {"connect_timeout": SOCKET_SECONDS, "read_timeout": SOCKET_SECONDS, "retries": {"max_attempts": 1}}
        self._system: Any = s3fs.S3FileSystem(config_kwargs=config, skip_instance_cache=True)
        self._system.retries = 1

    @property
    def version(self) -> str | None:
        """The ETag."""
        return self._etag

    @property
    def pinned(self) -> Literal["etag", "commit", "whole"]:
        """By its ETag, always."""
        return "etag"

    def first(self, tail: int) -> First:
        """The size and the last bytes."""
        try:
            start, body = self._get(f"bytes=-{tail}", tail)
        except _EmptyObject:
            return First(total=0)
        if start != max(self._total - tail, 0) or start + len(body) != self._total:
            raise wrong("the server sends another range than the one that it was asked for")
        return First(total=self._total, body=body)

    def part(self, start: int, length: int) -> bytes:
        """Exactly these bytes, of the version that the first answer was of."""
        found, body = self._get(f"bytes={start}-{start + length - 1}", length)
        if found != start or len(body) != length:
            raise wrong("the server sends another range than the one that it was asked for")
        return body

    def _get(self, wanted: str, most: int) -> tuple[int, bytes]:
        """One GetObject: where its bytes start, and the bytes."""
        self.requests += 1
        if self.requests > self._limits.remote_requests:
            raise exceeded("remote_requests", self._limits.remote_requests, "judging this file takes more requests")
        if self.bytes_read + most > self._limits.remote_bytes:
            raise exceeded("remote_bytes", self._limits.remote_bytes, "judging this file takes more bytes over the network")
        left = self._deadline - monotonic()
        if left <= 0:
            raise exceeded("scan_seconds", self._limits.scan_seconds, "fetching this file takes longer")
        pin = {"IfMatch": self._etag} if self._etag is not None else {}
        try:
            answer, body = self._sync(self._system.loop, self._fetch, wanted, pin, most, timeout=left)
        except CheckpointError:
            raise
        except Exception as error:  # noqa: BLE001 - what botocore, aiohttp and s3fs raise, which share no base
            raise self._failed(error) from None
        self.bytes_read += len(body)
        part = part_of(answer.get("ContentRange"))
        etag = answer.get("ETag")
        if not isinstance(etag, str) or not etag:
            raise wrong("the server names no version of the object")
        if self._etag is not None and (etag != self._etag or part.total != self._total):
            raise wrong("the object has changed while it was being read")
        if part.total > self._limits.file_bytes:
            raise exceeded("file_bytes", self._limits.file_bytes, f"the file holds {part.total:,} bytes, more")
        if part.end - part.start != len(body):
            raise wrong(f"the server announces {part.end - part.start:,} bytes and sends {len(body):,}")
        self._etag, self._total = etag, part.total
        return part.start, body

    async def _fetch(self, wanted: str, pin: dict[str, str], most: int) -> tuple[dict[str, Any], bytes]:
        answer: dict[str, Any] = await self._system._call_s3("get_object", Bucket=self._place.bucket, Key=self._place.key, Range=wanted, **pin)
        body = answer["Body"]
        try:
            if int(answer.get("ContentLength") or 0) > most or "ContentRange" not in answer:
                raise wrong("the server sends more than the range that it was asked for")
            data = bytearray()
            while len(data) <= most and (chunk := await body.read(min(1 << 20, most + 1 - len(data)))):
                data += chunk
        finally:
            body.close()
        return answer, bytes(data)

    def _failed(self, error: Exception) -> CheckpointError:
        text = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]}"
        cause = str(getattr(error, "__cause__", None) or error)
        if "InvalidRange" in cause or "416" in cause:
            return _EmptyObject("the object is empty", rule="SL003")
        if "PreconditionFailed" in cause or "412" in cause:
            return wrong("the object has changed while it was being read")
        if monotonic() >= self._deadline:
            return exceeded("scan_seconds", self._limits.scan_seconds, "fetching this file takes longer")
        return wrong(f"the object cannot be read: {text}")


class _EmptyObject(CheckpointError):
    """No range of it can be satisfied."""
