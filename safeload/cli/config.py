"""Which policy a verb judges by, where the command line does not say: the environment, then the project that the caller works in, then the default.

    1. --policy                                             wins over everything
    2. SAFELOAD_POLICY
    3. `policy` in safeload.toml, or in [tool.safeload] of pyproject.toml, of the nearest folder from the current one up to the root of its repository
    4. checkpoint

A file that is judged must not choose its judge. So a configuration, and a policy that it names, counts only if it lies outside of what is judged: neither in a
folder that is walked nor beside a file that is named. One that lies there is an error and not passed over, since the default might let more through than the
policy that was meant. Outside of a repository only the current folder is looked at, so that nobody's file in /tmp speaks for others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import msgspec

from safeload.cli.common import ENVIRONMENT
from safeload.errors import PolicyFileError
from safeload.policy.model import Policy
from safeload.policy.named import load_policy
from safeload.policy.shipped import DEFAULT_POLICY, SHIPPED

OWN_FILE = "safeload.toml"
PROJECT_FILE = "pyproject.toml"
MAX_CONFIG_BYTES = 4 << 20  # bytes of one configuration; the largest pyproject.toml known has 200 KiB
MAX_FOLDERS = 64  # from the current folder upwards


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A policy and what chose it: the path of a configuration, `SAFELOAD_POLICY`, or None for the command line and the default."""

    policy: Policy
    by: str | None = None


def choose(policy: str | None, paths: Iterable[str], *, from_environment: bool = False) -> Chosen:
    """The policy to judge `paths` by; `policy` is what the command line or the environment says.

    Raises `PolicyFileError` for a wrong policy or configuration and for one that lies in what is judged, `OSError` where a file cannot be read.
    """
    if policy is not None:
        return Chosen(policy=load_policy(policy), by=ENVIRONMENT if from_environment else None)
    config = find_config(os.getcwd())
    if config is None:
        return Chosen(policy=load_policy(DEFAULT_POLICY))
    file, named = config
    judged = list(paths)
    _refuse_judged(file, file, judged)
    if named not in SHIPPED and named.endswith(".toml"):
        named = os.path.join(os.path.dirname(file), named)
    chosen = Chosen(policy=load_policy(named), by=file)
    for source in _sources(chosen.policy):
        _refuse_judged(source, file, judged)
    return chosen


def refuse_listed(chosen: Chosen, path: str) -> None:
    """The same for a path that was not known when the policy was chosen. Raises `PolicyFileError`."""
    if chosen.by is not None and chosen.by != ENVIRONMENT:
        for source in (chosen.by, *_sources(chosen.policy)):
            _refuse_judged(source, chosen.by, [path])


def _sources(policy: Policy) -> list[str]:
    """The files that a policy was made from."""
    return [file for file in (policy.file, *(ancestor.file for ancestor in policy.ancestors)) if file is not None]


def find_config(folder: str) -> tuple[str, str] | None:
    """The nearest configuration from `folder` upwards, as (its path, the policy that it names); None where there is none."""
    folders = [folder]
    while not os.path.exists(os.path.join(folders[-1], ".git")):
        parent = os.path.dirname(folders[-1])
        if parent == folders[-1] or len(folders) == MAX_FOLDERS:
            folders = [folder]  # no repository
            break
        folders.append(parent)
    for each in folders:
        found = [(path, named) for path in (os.path.join(each, OWN_FILE), os.path.join(each, PROJECT_FILE)) if (named := _named(path)) is not None]
        if len(found) > 1:
            raise PolicyFileError(found[0][0], [("policy", f"{PROJECT_FILE} beside it has [tool.safeload] too; keep one of them")])
        if found:
            return found[0]
    return None


def _named(path: str) -> str | None:
    """The policy that a configuration names; None where there is no such file, or nothing of ours in it."""
    if not os.path.isfile(path):  # a FIFO would be waited for
        return None
    with open(path, "rb") as stream:
        data = stream.read(MAX_CONFIG_BYTES + 1)
    own = os.path.basename(path) == OWN_FILE
    if not own and b"safeload" not in data:
        return None
    if len(data) > MAX_CONFIG_BYTES:
        raise PolicyFileError(path, [("", f"larger than {MAX_CONFIG_BYTES:,} bytes; this is no configuration")])
    return _policy_of(data, path, own=own)


def _policy_of(data: bytes, path: str, *, own: bool) -> str | None:
    from safeload.policy import fields
    from safeload.policy.toml import parse_toml, policy_file_error

    text, document = parse_toml(data, path)
    table: Any = document
    where = ""
    if not own:
        tool = document.get("tool")
        table, where = (tool.get("safeload") if isinstance(tool, dict) else None), "tool.safeload"
        if table is None:
            return None
    problems: fields.Problems = []
    found = fields.table(table, where, {"policy": fields.Key(fields.path_text)}, problems)
    if problems:
        raise policy_file_error(path, problems, text)
    named: str = found["policy"]
    return named


def _refuse_judged(source: str, config: str, judged: list[str]) -> None:
    """Raise where a file that chooses or makes the policy lies in what is judged."""
    for path in judged:
        if path != "-" and lies_in(source, path):
            what = "this file" if source == config else f"{source}, which it leads to,"
            message = f"{what} lies in what is to be judged ({path}), and nothing there may choose the policy; say --policy"
            raise PolicyFileError(config, [("policy", message)])


def lies_in(file: str, path: str) -> bool:
    """Is `file` somewhere below the folder `path`, or beside the file `path`? Folders are compared as the system knows them: no spelling and no link helps."""
    walked = os.path.isdir(path)
    folders = [path] if walked else [os.path.dirname(os.path.abspath(path)), os.path.dirname(os.path.realpath(path))]
    judged = {identity for folder in folders if (identity := _identity(folder)) is not None}
    for name in (os.path.abspath(file), os.path.realpath(file)):
        at = os.path.dirname(name)
        while _identity(at) not in judged:
            above = os.path.dirname(at)
            if not walked or above == at:
                break
            at = above
        else:
            return True
    return False


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
