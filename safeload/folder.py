"""The names of files beside a file: the shards of a checkpoint, as a file itself gives them, become plain relative names below its folder.

Refuses absolute and climbing names, backslashes, drive letters and characters that cannot be printed (SL136). The last part of a name may be a link, since that
is how download caches keep their files; it is opened all the same as a file and read as data.
"""

from __future__ import annotations

import os
import re

from safeload.errors import ContainerError

INDEX_SUFFIX = ".index.json"
METADATA = ".metadata"
MAX_NAME_CHARACTERS = 1_024
_ODD = r"\\|//|(?:^|/)\.\.?(?:/|$)|^/|^[A-Za-z]:|/$"


def checked(name: object) -> str:
    """The name, if it is one."""
    if type(name) is not str or not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable() or re.search(_ODD, name):
        raise ContainerError(f"the name of a shard is {ascii(name)[:80]}, which is no plain relative path", rule="SL136")
    return name


def main_file(folder: str) -> str:
    """The file of a folder that says what the others are: `.metadata` of a distributed checkpoint, or the one index of shards.

    Raises `IsADirectoryError` where there is none, as opening a folder does, and `ContainerError` SL136 where there are several.
    """
    names = os.listdir(folder)
    if METADATA in names:
        return METADATA
    indexes = sorted(name for name in names if name.endswith(INDEX_SUFFIX))
    if not indexes:
        raise IsADirectoryError(21, f"Is a directory, without {METADATA} of a distributed checkpoint and without an index of shards (*{INDEX_SUFFIX})", folder)
    if len(indexes) > 1:
        raise ContainerError(f"the folder holds {len(indexes)} indexes ({', '.join(indexes[:4])}); name the one to open", rule="SL136")
    return indexes[0]
