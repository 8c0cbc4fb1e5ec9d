"""The text of an address becomes its parts, and a form of it that may be shown: without credentials, and without a query, where signatures stand.

    https://host[:port]/path[?query]
    http://...                              only on this machine (127.0.0.0/8, ::1, localhost): nobody stands between
    s3://bucket/key
    hf://[datasets/|spaces/]org/model[@revision][/path]        as huggingface_hub's own file system writes it; `/` in a revision is %2F

Refuses everything else with `CheckpointError` SL005.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec

from safeload.errors import CheckpointError

MAX_URI_CHARACTERS = 8_192
SCHEMES = ("https", "s3", "hf")
_SAFE = "/%:@!$&'()*+,;=~-._?"
_HF = re.compile(r"hf://(?:(datasets|spaces)/)?([^/@]+(?:/[^/@]+)?)(?:@(refs/(?:pr|convert)/[^/]+|[^/]+))?(?:/(.*))?")


class Web(msgspec.Struct, frozen=True, kw_only=True):
    """A place that a GET goes to. `login` is what stood before an `@`, decoded."""

    secure: bool
    host: str
    port: int
    target: str  # path and query, as they are sent
    login: str | None = None

    @property
    def origin(self) -> tuple[bool, str, int]:
        """Credentials go to one of these and to no other."""
        return self.secure, self.host, self.port

    @property
    def url(self) -> str:
        """The whole, without the login: for redirects that are relative to it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.target}"


class Hub(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a repository, or a folder of one; `path` is empty for the whole."""

    kind: str  # model, dataset, space
    repo: str
    revision: str | None
    path: str

    def named(self, commit: str, path: str) -> str:
        """The address of one file at one commit."""
        return f"hf://{self.prefix}{self.repo}@{commit}/{path}"

    @property
    def prefix(self) -> str:
        """In front of the repository's name."""
        return {"dataset": "datasets/", "space": "spaces/"}.get(self.kind, "")


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """An object of S3."""

    bucket: str
    key: str


def scheme_of(uri: str) -> str:
    """In small letters. Raises for one that nothing here fetches."""
    scheme = uri.partition("://")[0].lower()
    if len(uri) > MAX_URI_CHARACTERS or not uri.isprintable():
        raise CheckpointError("the address is too long, or holds characters that do not print", rule="SL005")
    if scheme not in (*SCHEMES, "http"):
        raise CheckpointError(f"{scheme}:// is not fetched; {', '.join(f'{each}://' for each in SCHEMES)} are", rule="SL005")
    return scheme


def shown(uri: str) -> str:
    """What a report may hold of an address: no login, and of a query only that there is one."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri.partition("://")[0] + "://..."
    if parts.scheme.lower() == "hf":
        return uri  # `@` is a revision there
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "..." if parts.query else "", ""))


def web(uri: str, *, loopback: bool = True) -> Web:
    """The parts of `https://`, or of `http://` on this machine, if that is still allowed."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise CheckpointError(f"the address is none: {error}", rule="SL005") from None
    secure = parts.scheme.lower() == "https"
    if not host or not (secure or parts.scheme.lower() == "http"):
        raise CheckpointError("the address names no host", rule="SL005")
    if not secure and not (loopback and is_loopback(host)):
        raise CheckpointError("http:// is fetched from this machine alone: anybody on the way could change the bytes; say https://", rule="SL005")
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    login = unquote(parts.netloc.rpartition("@")[0]) or None
    return Web(secure=secure, host=host, port=port or (443 if secure else 80), target=target, login=login)


def is_loopback(host: str) -> bool:
    """Does the name mean this machine, whoever resolves it?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hub(uri: str) -> Hub:
    """The parts of `hf://`."""
    match = _HF.fullmatch(uri)
    if match is None:
        raise CheckpointError("an address of the Hub is hf://org/model[@revision][/path]", rule="SL005")
    kind = {"datasets": "dataset", "spaces": "space"}.get(match[1], "model")
    path = (match[4] or "").strip("/")
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise CheckpointError("the path of an address of the Hub is plain and relative", rule="SL005")
    return Hub(kind=kind, repo=match[2], revision=unquote(match[3]) if match[3] else None, path=path)


def bucket(uri: str) -> Bucket:
    """The parts of `s3://`; the key is taken as it stands, `%` and `?` included."""
    name, _, key = uri.partition("://")[2].partition("/")
    if not name or not key:
        raise CheckpointError("an address of S3 is s3://bucket/key", rule="SL005")
    return Bucket(bucket=name, key=key)
