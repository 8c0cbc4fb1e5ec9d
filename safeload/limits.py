"""The budget: how much of each thing a file may ask for before safeload stops reading it (law 3).

Turns nothing into anything; it is the one place where the numbers stand, each with its unit and where it comes from. A policy's `[limits]`
table and the `limits=` argument use the same names (with `-` for `_` in TOML); a child policy takes the minimum.
"""

from __future__ import annotations

import msgspec

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds for one file. Every field is inclusive: the value itself is still allowed."""

    file_bytes: int = 16 * TIB  # bytes; ext4's largest file, so only a sparse or lying source meets it
    spool_bytes: int = 8 * GIB  # bytes read into memory from a stream that cannot seek
    remote_bytes: int = 1 * GIB  # bytes fetched over a network for one file: directory and pickles, or all of it where a server knows no ranges
    remote_requests: int = 100  # requests for one file, redirects counting; a zip by torch takes three
    container_depth: int = 4  # files inside files: a compressed archive of checkpoints that are archives takes three
    members: int = 1_000_000  # archive members; the largest real archives measured hold about 20,000
    name_bytes: int = 4_096  # bytes of one member name; PATH_MAX on Linux
    directory_bytes: int = 512 * MIB  # bytes of a central directory: a million members with names of 400 bytes
    member_bytes: int = 4 * GIB  # bytes of one member that has to be inflated or parsed (stored storages are not bound by it)
    inflated_bytes: int = 8 * GIB  # bytes inflated from one file, all members together
    compression_ratio: int = 200  # inflated bytes per stored byte, counted above 1 MiB; DEFLATE's own limit is 1,032
    dictionary_bytes: int = 256 * MIB  # memory of one xz, lzma or zstandard dictionary; `xz -9` needs 65 MiB, `zstd --long` 128
    pickle_bytes: int = 1 * GIB  # bytes of one pickle stream
    opcodes: int = 50_000_000  # opcodes of all streams of a file; 20,000 tensors take 640,000
    stack: int = 1_000_000  # objects on the machine's stack at once; pickle.py's own batches hold 1,000
    memo_entries: int = 10_000_000  # memo slots of one stream; 20,000 tensors take 160,000
    graph_nodes: int = 10_000_000  # calls, persistent ids and effects of one stream
    containers: int = 10_000_000  # lists, tuples and dicts of one stream (50 to 80 bytes of memory for one byte of it), a set counting as four
    globals: int = 10_000  # distinct names in one stream; the largest real module pickle measured names 60
    literal_bytes: int = 2 * GIB  # bytes of strings and byte strings decoded from one stream
    copy_ratio: int = 8  # bytes and items that calls copy out of a stream, for each byte of it, counted above 4 MiB; honest calls copy each byte once
    global_name_bytes: int = 1_024  # bytes of `module` and of `name` of one global
    integer_bytes: int = 1_024  # bytes of one LONG; a 128-bit generator state needs 17
    nesting_depth: int = 500  # containers within containers; CPython's own pickler stops at its recursion limit of 1,000
    key_size: int = 1_000  # elements of one dict key or set item, tuples counted through: hash() walks them recursively
    key_depth: int = 50  # tuples within tuples in one such key: comparing equal keys recurses, and counts against Python's recursion limit
    equal_hash_keys: int = 128  # keys of one container that share one hash (building it is quadratic in them)
    findings: int = 10_000  # findings kept for one file; the verdict counts all of them
    tensors: int = 5_000_000  # tensor records of one file
    tensor_dims: int = 64  # dimensions of one tensor; numpy 2's NPY_MAXDIMS
    tensor_bytes: int = 1 * TIB  # logical bytes of one tensor: a stride-0 view may be far larger than its storage
    total_tensor_bytes: int = 16 * TIB  # logical bytes of all tensors of a file together
    scan_seconds: int = 120  # wall time of reading and judging one file, checked inside the loop

    @staticmethod
    def names() -> tuple[str, ...]:
        """All limits, in the order in which they are documented."""
        return Limits.__struct_fields__

    def tightened(self, other: dict[str, int]) -> Limits:
        """These limits, each lowered to `other` where that is lower: a child policy can tighten, never loosen."""
        return self.replaced({name: min(value, self.as_dict()[name]) for name, value in other.items()})

    def replaced(self, other: dict[str, int]) -> Limits:
        """These limits with the named ones replaced. Raises `ValueError` for a name that does not exist or a value below zero."""
        values = self.as_dict()
        for name, value in other.items():
            if name not in values:
                raise ValueError(f"there is no limit named {name!r}; the limits are {', '.join(values)}")
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"limit {name} takes a whole number from 0, not {value!r}")
            values[name] = value
        return Limits(**values)

    def as_dict(self) -> dict[str, int]:
        """Name to value, for reports and for merging."""
        return msgspec.structs.asdict(self)


DEFAULT_LIMITS = Limits()
