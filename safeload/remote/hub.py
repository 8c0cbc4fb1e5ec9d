"""`hf://` becomes the address of a file at one commit of a repository of the Hub; a repository or folder becomes those of all its files.

huggingface_hub (extra `hub`) resolves the revision, knows the endpoint (`HF_ENDPOINT`) and the token; the bytes are fetched by `http`, under the same rules as
any other. The token goes to the endpoint alone, never to the storage that it redirects to.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from safeload.errors import CheckpointError
from safeload.limits import Limits
from safeload.remote.answers import wrong
from safeload.remote.http import Http
from safeload.remote.uri import Hub

INSTALL = "hf:// needs the huggingface_hub library: pip install 'safeload[hub]'"
_COMMIT_CHARACTERS = frozenset("0123456789abcdef")


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A repository at one commit."""

    commit: str
    files: tuple[str, ...]


def file_of(place: Hub, limits: Limits) -> tuple[str, Http]:
    """The full address of one file, and what fetches it."""
    if not place.path:
        raise wrong("this is a repository; name a file in it: hf://org/model@revision/file (safeload scan --online takes the repository, too)")
    library = _library()
    commit = place.revision
    if commit is None or not _is_commit(commit):  # a whole commit needs nobody to resolve it
        found = _resolved(place, library)
        commit = found.commit
        if place.path not in found.files:
            raise wrong(f"there is no such file in the repository at commit {commit[:12]}")
    endpoint: str = library.HfApi().endpoint
    token: str | None = library.get_token()
    url = f"{endpoint.rstrip('/')}/{place.prefix}{quote(place.repo)}/resolve/{commit}/{quote(place.path)}"
    return place.named(commit, place.path), Http(url, limits, bearer=token, commit=commit)


def files_of(place: Hub) -> list[str]:
    """The full addresses of the files below a place, in the order of their names."""
    found = _resolved(place, _library())
    below = [path for path in found.files if not place.path or path == place.path or path.startswith(place.path + "/")]
    if not below:
        raise wrong(f"there is no such file or folder in the repository at commit {found.commit[:12]}")
    return [place.named(found.commit, path) for path in sorted(below)]


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise CheckpointError(f"{INSTALL} ({error})", rule="SL005") from None
    return huggingface_hub


def _is_commit(revision: object) -> bool:
    return isinstance(revision, str) and len(revision) == 40 and _COMMIT_CHARACTERS.issuperset(revision)


def _resolved(place: Hub, library: Any) -> Resolved:
    try:
        kind = None if place.kind == "model" else place.kind
        info: Any = library.HfApi().repo_info(place.repo, repo_type=kind, revision=place.revision, timeout=30)
        commit, files = info.sha, tuple(each.rfilename for each in info.siblings or ())
    except Exception as error:  # noqa: BLE001 - the library's own errors, those of the HTTP library below it, and what hostile JSON does to both
        raise _failed(error) from None
    if not _is_commit(commit) or not all(isinstance(file, str) for file in files):
        raise wrong("the Hub names no commit for this revision")
    return Resolved(commit=commit, files=files)


def _failed(error: Exception) -> CheckpointError:
    first = next(iter(str(error).strip().splitlines()), "")
    return wrong(f"the Hub cannot be asked: {type(error).__name__}: {first[:200]}")
