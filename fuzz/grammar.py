"""A seed becomes a file that looks meant: a pickle program whose calls have the arguments that our contracts ask for, in a container with its storages.

What is written follows the policies and the contracts of the product, so every constructor is reached without a seed for it: a name is drawn from the allow
entries, a signature from its contract, and a value for each word of the signature. One value in ten is of another kind, one name in twenty is denied or a near
miss, and memo, protocols, frames and containers vary. The same seed gives the same bytes. `python -m fuzz.grammar SEED` writes one to standard output.
"""

from __future__ import annotations

import gzip
import io
import struct
import sys
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from fuzz.tars import pack
from fuzz.zips import repack
from safeload.opcodes.table import BY_NAME
from safeload.policy.contracts import CONTRACTS, Contract
from safeload.policy.resolve import load_policy
from safeload.policy.shapes import Signature
from safeload.policy.shipped import SHIPPED
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES

DEPTH = 5  # levels of values in values
EXACT = 0.6  # of the calls that have a recipe follow it
WRONG = 0.08  # of the values are of another kind than the signature asks for
STRANGE = 0.05  # of the names are ones that no policy lets through, or nearly ones that it does
MEMOISED = 0.25
PLACES = ("bare", "zip", "zip", "zip", "zip", "legacy", "gzip", "deflate", "plain-zip", "tar")
TEXTS = ("", "a", "weight", "cpu", "cuda:0", "latin1", "f4", "<i8", "float32", "storage", "é", "x" * 40, "_metadata", "keys", "__dict__", "torch.strided")
BYTES = (b"", b"\0", bytes(8), bytes(range(24)), b"\xff" * 16)
INTS = (0, 1, 2, 3, 4, 6, 8, -1, 127, 255, 2**31 - 1, 2**31, -(2**31), 2**40, 2**63 - 1, 2**63, 2**64)
FLOATS = (0.0, 0.5, -1.0, 1e-3, 1e300, float("inf"), float("nan"))
DENIED = ("posix.system", "builtins.eval", "builtins.getattr", "os.mkdir", "acme.models.Net", "torch.load", "numpy.load", "collections.namedtuple")
MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER

LITERAL_ARGS: dict[str, tuple[Any, ...]] = {
    "latin1-bytes": ("abc", "latin1"),
    "bytes": (),
    "complex": (1.0, 2.0),
    "size": ((2, 3),),
    "device": ("cuda", 1),
    "layout": ("torch.sparse_coo",),
    "torch-version": ("2.1.0",),
    "date": (b"\x07\xe8\x02\x1d",),
    "time": (b"\x01\x02\x03\x00\x00\x00",),
    "datetime": (b"\x07\xe8\x02\x1d\x01\x02\x03\x00\x00\x00",),
    "timedelta": (1, 2, 3),
    "decimal": ("1.50",),
    "fraction": ("1/3",),
    "slice": (1, None, 2),
    "range": (1, 10, 2),
    "posix-path": ("a", "b"),
    "windows-path": ("C:\\", "b"),
}


def _allowed() -> dict[str, Contract]:
    found: dict[str, Contract] = {}
    for policy in ("checkpoint", "weights-only", "omegaconf"):
        for name, entry in load_policy(policy).allow_exact.items():
            found[name] = CONTRACTS[entry.constructor]
    return found


ALLOWED = _allowed()
EVERYWHERE: dict[str, tuple[str, Contract]] = {
    name: (policy, CONTRACTS[entry.constructor]) for policy in reversed(SHIPPED) for name, entry in load_policy(policy).allow_exact.items()
}
"""Every name that a shipped policy allows, the first such policy in their order, and what it makes of it."""
NAMES = tuple(sorted(ALLOWED))
BY_KIND: dict[str, tuple[str, ...]] = {
    kind: tuple(name for name in NAMES if ALLOWED[name].produces == kind) for kind in sorted({contract.produces for contract in ALLOWED.values()})
}
STORAGE_NAMES = tuple(name for name in NAMES if ALLOWED[name].id == "storage-type")
CLASSES = tuple(name for name in NAMES if "reference" in ALLOWED[name].uses)


class Program:
    """One program that is being written, and the storages that it speaks of."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.out = bytearray()
        self.protocol = random.choice((0, 1, 2, 2, 2, 3, 4, 5))
        self.storages: dict[str, int] = {}  # key to bytes
        self.counts: dict[str, int] = {}  # key to elements, by the id that names it first
        self.contents: dict[str, bytes] = {}  # of storages whose numbers mean something
        self.memo: list[int] = []
        self.slots = 0

    # ---- opcodes --------------------------------------------------------------------------------------------------------------------------

    def op(self, name: str, argument: bytes = b"") -> None:
        """One instruction with its argument as bytes."""
        self.out += bytes((BY_NAME[name].code,)) + argument

    def sized(self, name: str, layout: str, content: bytes) -> None:
        """One with a length in front of its content."""
        self.op(name, struct.pack(layout, len(content)) + content)

    def name(self, full: str) -> None:
        """Push a global."""
        module, _, word = full.rpartition(".")
        if self.protocol >= 4 and self.random.random() < 0.8:
            self.text(module)
            self.text(word)
            self.op("STACK_GLOBAL")
        else:
            self.op("GLOBAL", f"{module}\n{word}\n".encode())

    def text(self, value: str) -> None:
        """Push a str."""
        data = value.encode("utf-8", "surrogatepass")
        if self.protocol == 0:
            self.op("UNICODE", value.encode("raw-unicode-escape").replace(b"\n", b"\\u000a") + b"\n")
        elif self.protocol >= 4 and len(data) < 256:
            self.sized("SHORT_BINUNICODE", "<B", data)
        else:
            self.sized("BINUNICODE", "<I", data)

    def raw(self, value: bytes) -> None:
        """Push bytes, as the protocol spells them."""
        if self.protocol < 3:
            self.name("_codecs.encode")
            self.text(value.decode("latin1"))
            self.text("latin1")
            self.tuple_of(2)
            self.op("REDUCE")
        else:
            self.sized("SHORT_BINBYTES", "<B", value)

    def integer(self, value: int) -> None:
        """Push an int."""
        if self.protocol == 0:
            self.op("INT" if self.random.random() < 0.5 else "LONG", b"%d\n" % value)
        elif 0 <= value < 256:
            self.op("BININT1", bytes((value,)))
        elif -(2**31) <= value < 2**31:
            self.op("BININT", struct.pack("<i", value))
        elif self.protocol >= 2:
            self.sized("LONG1", "<B", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
        else:
            self.op("LONG", b"%dL\n" % value)

    def real(self, value: float) -> None:
        """Push a float."""
        if self.protocol:
            self.op("BINFLOAT", struct.pack(">d", value))
        else:
            self.op("FLOAT", b"%r\n" % value)

    def truth(self, value: bool) -> None:
        """Push a bool."""
        if self.protocol >= 2:
            self.op("NEWTRUE" if value else "NEWFALSE")
        else:
            self.op("INT", b"01\n" if value else b"00\n")

    def tuple_of(self, count: int) -> None:
        """The topmost `count` values become a tuple; below protocol 2 they are pushed anew behind a mark by `items`."""
        self.op(("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")[count])

    def items(self, pushes: list[Callable[[], None]], closing: str) -> None:
        """A mark, values, and the opcode that takes them."""
        self.op("MARK")
        for push in pushes:
            push()
        self.op(closing)

    def remember(self) -> None:
        """Put what is on top into the memo, now and then."""
        if self.random.random() > MEMOISED:
            return
        if self.protocol >= 4:
            self.op("MEMOIZE")
        elif self.protocol:
            self.op("BINPUT", bytes((self.slots % 256,)))
        else:
            self.op("PUT", b"%d\n" % self.slots)
        self.memo.append(self.slots)
        self.slots += 1

    def recall(self) -> bool:
        """Push something from the memo, if there is anything."""
        if not self.memo:
            return False
        slot = self.random.choice(self.memo)
        if self.protocol:
            self.op("BINGET", bytes((slot % 256,)))
        else:
            self.op("GET", b"%d\n" % slot)
        return True

    # ---- values ---------------------------------------------------------------------------------------------------------------------------

    def plain(self, value: Any) -> None:
        """Push a plain value."""
        if value is None:
            self.op("NONE")
        elif isinstance(value, bool):
            self.truth(value)
        elif isinstance(value, int):
            self.integer(value)
        elif isinstance(value, float):
            self.real(value)
        elif isinstance(value, str):
            self.text(value)
        elif isinstance(value, bytes):
            self.raw(value)
        else:
            self.items([lambda item=item: self.plain(item) for item in value], "TUPLE" if isinstance(value, tuple) else "LIST")  # type: ignore[misc]

    def value(self, depth: int = DEPTH) -> None:
        """Push anything."""
        random = self.random
        if depth <= 0 or random.random() < 0.3:
            self.plain(random.choice((random.choice(INTS), random.choice(FLOATS), random.choice(TEXTS), random.choice(BYTES), None, True, False)))
        elif random.random() < 0.1 and self.recall():
            return
        elif random.random() < 0.45:
            self.call(random.choice(NAMES), depth - 1)
        else:
            self.container(depth - 1)
        self.remember()

    def container(self, depth: int) -> None:
        """Push a plain container, filled in one of the ways that picklers know."""
        random, count = self.random, self.random.randrange(4)
        what = random.choice(("list", "list", "tuple", "dict", "dict", "set", "frozenset"))
        children = [lambda: self.value(depth)] * count
        keys: list[Callable[[], None]] = []
        for number in range(count):
            keys += [lambda number=number: self.plain(random.choice((number, str(number), (number, "k"), float(number)))), lambda: self.value(depth)]  # type: ignore[misc]
        if what == "tuple":
            self.items(children, "TUPLE")
        elif what == "list" and self.protocol:
            self.op("EMPTY_LIST")
            self.remember()
            self.items(children, "APPENDS")
        elif what == "list":
            self.items(children, "LIST")
        elif what in ("set", "frozenset") and self.protocol >= 4:
            plain = [lambda number=number: self.plain(number) for number in range(count)]  # type: ignore[misc]
            if what == "frozenset":
                self.items(plain, "FROZENSET")
            else:
                self.op("EMPTY_SET")
                self.items(plain, "ADDITEMS")
        elif self.protocol:
            self.op("EMPTY_DICT")
            self.remember()
            self.items(keys, "SETITEMS")
        else:
            self.items(keys, "DICT")

    def call(self, full: str, depth: int) -> None:
        """Push what a call of this name gives, or the name alone, or nearly that."""
        random, contract = self.random, ALLOWED[full] if full in ALLOWED else EVERYWHERE[full][1]
        if random.random() < STRANGE:
            full = random.choice((*DENIED, full + "_", full.lower(), full.rpartition(".")[2]) if "." in full else DENIED)
            full = full if "." in full else f"{full}.{full}"
        if contract.id == "storage-type":
            self.storage()
            return
        if not contract.signatures and contract.literal is None:
            self.name(full)
            return
        start = len(self.out)
        self.name(full)
        if "call" not in contract.uses and "new" not in contract.uses:
            return
        self.items(self.arguments(contract, depth), "TUPLE")
        new = self.protocol >= 2 and "new" in contract.uses and random.random() < 0.4
        self.op("NEWOBJ" if new else "REDUCE")
        if len(self.out) - start < 4_000:
            self.fill(contract, depth)

    def arguments(self, contract: Contract, depth: int) -> list[Callable[[], None]]:
        """What pushes the arguments of one call."""
        random = self.random
        if contract.id in RECIPES and random.random() < EXACT:
            return RECIPES[contract.id](self)
        if contract.literal is not None or not contract.signatures:
            known = LITERAL_ARGS.get(contract.id, ())
            return [lambda value=value: self.bent(value, depth) for value in known]  # type: ignore[misc]
        signature: Signature = random.choice(contract.signatures)
        shapes = [shape for shape in signature.shapes if not shape.optional or random.random() < 0.5]
        pushes: list[Callable[[], None]] = [lambda text=shape.text: self.word(text, depth) for shape in shapes]  # type: ignore[misc]
        if pushes and random.random() < WRONG / 2:
            del pushes[random.randrange(len(pushes))]
        if random.random() < WRONG / 2:
            pushes.append(lambda: self.value(depth))
        return pushes

    def number_tensor(self, kind: str, values: tuple[int, ...], shape: tuple[int, ...] | None = None) -> None:
        """Push a dense tensor of these numbers, contiguous, on a storage of its own."""
        dtype = DTYPES[STORAGE_TYPES[kind]]
        key = f"n{len(self.storages)}"
        self.storages[key], self.counts[key] = len(values) * dtype.itemsize, len(values)
        self.contents[key] = b"".join(value.to_bytes(dtype.itemsize, "little", signed=True) for value in values)
        shape = (len(values),) if shape is None else shape
        strides = [1]
        for length in shape[:0:-1]:
            strides.insert(0, strides[0] * max(length, 1))
        self.name("torch._utils._rebuild_tensor_v2")
        self.op("MARK")
        self.fresh(kind, key, len(values))
        for value in (0, shape, tuple(strides[: len(shape)]), False):
            self.plain(value)
        self.hooks()
        self.op("TUPLE")
        self.op("REDUCE")

    def fresh(self, kind: str, key: str, count: int) -> None:
        """Push the persistent id of one storage."""
        parts = [lambda: self.text("storage"), lambda: self.name(f"torch.{kind}" if kind != "UntypedStorage" else "torch.storage.UntypedStorage")]
        self.items([*parts, lambda: self.text(key), lambda: self.text("cpu"), lambda: self.integer(count)], "TUPLE")
        self.op("BINPERSID")

    def new_storage(self, kind: str, count: int, width: int) -> None:
        """Push one of random bytes."""
        key = f"n{len(self.storages)}"
        self.storages[key], self.counts[key] = count * width, count
        self.fresh(kind, key, count)

    def hooks(self) -> None:
        """Push the empty OrderedDict of backward hooks."""
        self.called("collections.OrderedDict")

    def called(self, full: str, *pushes: Callable[[], None]) -> None:
        """Push a call with exactly these arguments."""
        self.name(full)
        self.items(list(pushes), "TUPLE")
        self.op("REDUCE")

    def numpy_dtype(self, text: str) -> None:
        """Push a call of `numpy.dtype`."""
        self.called("numpy.dtype", lambda: self.text(text), lambda: self.plain(False), lambda: self.plain(True))

    def bent(self, value: Any, depth: int) -> None:
        """Push this value, or another one."""
        if self.random.random() < WRONG:
            self.value(depth)
        else:
            self.plain(value)

    def fill(self, contract: Contract, depth: int) -> None:
        """Give the object on the stack items, or a state, where its kind takes any."""
        random = self.random
        if "set" in contract.items and random.random() < 0.6:
            self.items([lambda: self.plain("k"), lambda: self.value(depth)], "SETITEMS")
        elif "append" in contract.items and random.random() < 0.6:
            self.items([lambda: self.value(depth)], "APPENDS")
        if contract.state is not None and random.random() < 0.5:
            self.state(contract, depth)
            self.op("BUILD")

    def state(self, contract: Contract, depth: int) -> None:
        """A state that a class of this kind may have."""
        known: dict[str, tuple[Any, ...]] = {"numpy-dtype": (3, "<", None, None, None, -1, -1, 0)}
        if contract.id in known:
            self.plain(known[contract.id])
        elif contract.id == "numpy-array":
            dtype = (lambda: self.numpy_dtype("f4")) if self.random.random() < EXACT else (lambda: self.word("numpy-dtype", depth))
            self.items([lambda: self.plain(1), lambda: self.plain((2,)), dtype, lambda: self.plain(False), self.sixteen], "TUPLE")
        else:
            self.items([lambda: self.plain(self.random.choice(("a", "_metadata", "b"))), lambda: self.value(depth)], "DICT")

    def sixteen(self) -> None:
        """Push the bytes of a short array."""
        self.raw(self.random.choice((bytes(8), bytes(8), bytes(16), bytes(range(8)))))

    def sixteen_bytes(self) -> None:
        """Push sixteen bytes."""
        self.raw(bytes(16))

    def storage(self, kind: str | None = None) -> int:
        """Push a persistent id; returns how many elements it declares."""
        random = self.random
        name = random.choice(STORAGE_NAMES) if kind is None else kind
        key = str(random.randrange(4))
        dtype = STORAGE_TYPES.get(name)
        width = DTYPES[dtype].itemsize if dtype in DTYPES else 1
        known = self.storages.get(key)
        count = random.choice((0, 1, 4, 6, 12, 24)) if known is None else known // width
        self.storages.setdefault(key, count * width)
        self.counts.setdefault(key, count)
        location = random.choice(("cpu", "cpu", "cpu", "cuda:0", "meta"))
        parts = [lambda: self.text("storage"), lambda: self.name(name), lambda: self.text(key), lambda: self.text(location), lambda: self.integer(count)]
        if random.random() < WRONG / 2:
            parts[random.randrange(5)] = lambda: self.value(1)
        self.items(parts, "TUPLE")  # type: ignore[arg-type]
        self.op("BINPERSID")
        return count

    def dense(self, depth: int) -> None:
        """Push the call that makes a dense tensor, which lies inside its storage more often than not."""
        random = self.random
        self.name("torch._utils._rebuild_tensor_v2")
        self.op("MARK")
        count = self.storage()
        shape = random.choice(((count,), (count // 2, 2), (), (0, 3), (1, count), (2, 2)))
        strides = random.choice(((1,) * len(shape), (2, 1)[: len(shape)], (0,) * len(shape), (3, 1)[: len(shape)]))
        for value in (random.choice((0, 0, 0, 1, -1, 2**62)), shape, strides, random.random() < 0.5):
            self.bent(value, depth)
        self.word("hooks", depth)
        self.op("TUPLE")
        self.op("REDUCE")
        self.remember()

    def word(self, text: str, depth: int) -> None:  # noqa: PLR0912 - one line for each word of the language of shapes
        """Push a value for one word of a signature."""
        random = self.random
        if random.random() < WRONG:
            self.value(depth)
            return
        body = text.removesuffix("?").removesuffix("*")
        if body.startswith("global:"):
            self.name(random.choice(body.removeprefix("global:").split("|")))
            return
        word = random.choice(body.split("|"))
        plain: dict[str, tuple[Any, ...]] = {
            "none": (None,), "bool": (True, False), "int": (0, 1, 2, *INTS), "float": FLOATS, "number": (1, *FLOATS), "str": TEXTS, "identifier": ("a", "b"),
            "bytes": BYTES, "text": (*TEXTS, *BYTES), "shape": ((), (2,), (2, 3), (0,), (1, 1, 1), (-1,), (2**40,)),
        }  # fmt: skip
        if word in plain:
            self.plain(random.choice(plain[word]))
        elif word in ("tuple", "list"):
            self.items([lambda: self.value(depth - 1)] * random.randrange(4), word.upper())
        elif word == "dict":
            self.items([lambda: self.plain("k"), lambda: self.value(depth - 1)] * random.randrange(2), "DICT")
        elif word == "storage":
            self.storage()
        elif word == "tensor":
            self.dense(depth - 1)
        elif word == "hooks":
            self.hooks()
        elif word in ("class", "plain-class", "factory", "opaque-class"):
            self.name(random.choice(CLASSES))
        elif word in BY_KIND and depth > 0:
            self.call(random.choice(BY_KIND[word]), depth - 1)
        else:
            self.value(depth - 1)

    def finished(self) -> bytes:
        """The whole stream, framed or not."""
        self.op("STOP")
        body = bytes(self.out)
        if self.protocol < 2:
            return body
        framed = self.protocol >= 4 and self.random.random() < 0.5
        return bytes((0x80, self.protocol)) + (b"\x95" + struct.pack("<Q", len(body)) if framed else b"") + body


def _size(made: Program, *dims: int) -> None:
    made.called("torch.Size", lambda: made.plain(dims))


def _sparse(made: Program, layout: str, *tensors: Callable[[], None], coalesced: bool) -> list[Callable[[], None]]:
    parts = [*tensors, lambda: _size(made, 3, 3), *([lambda: made.plain(True)] if coalesced else [])]
    return [lambda: made.called("torch.serialization._get_layout", lambda: made.text(f"torch.{layout}")), lambda: made.items(parts, "TUPLE")]


def _coo(made: Program) -> list[Callable[[], None]]:
    indices, values = (lambda: made.number_tensor("LongStorage", (0, 1, 2, 0), (2, 2))), (lambda: made.number_tensor("LongStorage", (5, 6)))
    return _sparse(made, "sparse_coo", indices, values, coalesced=True)


def _csr(made: Program) -> list[Callable[[], None]]:
    numbers = ((0, 1, 2, 2), (0, 2), (5, 6))
    return _sparse(made, "sparse_csr", *[lambda part=part: made.number_tensor("LongStorage", part) for part in numbers], coalesced=False)  # type: ignore[misc]


def _dense_parts(made: Program, kind: str, width: int) -> list[Callable[[], None]]:
    return [lambda: made.new_storage(kind, 6, width), lambda: made.plain(0), lambda: made.plain((2, 3)), lambda: made.plain((3, 1))]


def _buffer(made: Program) -> list[Callable[[], None]]:
    return [made.sixteen_bytes, lambda: made.numpy_dtype("f4"), lambda: made.plain((4,)), lambda: made.text("C")]


RECIPES: dict[str, Callable[[Program], list[Callable[[], None]]]] = {
    "timezone": lambda made: [lambda: made.called("datetime.timedelta", lambda: made.plain(0), lambda: made.plain(3_600), lambda: made.plain(0))],
    "tensor": lambda made: [*_dense_parts(made, "FloatStorage", 4), lambda: made.plain(False), made.hooks],
    "tensor-v3": lambda made: [
        *(lambda: made.new_storage("UntypedStorage", 24, 1), lambda: made.plain(0), lambda: made.plain((2, 3)), lambda: made.plain((3, 1))),
        *(lambda: made.plain(False), made.hooks, lambda: made.name("torch.float32")),
    ],
    "typed-tensor": lambda made: [
        lambda: made.name("torch._utils._rebuild_tensor_v2"),
        lambda: made.name("torch.Tensor"),
        lambda: made.items([*_dense_parts(made, "FloatStorage", 4), lambda: made.plain(False), made.hooks], "TUPLE"),
        lambda: made.items([lambda: made.text("tag"), lambda: made.plain(1)], "DICT"),
    ],
    "sparse-tensor": _coo,
    "sparse-csr-tensor": _csr,
    "sparse-class": lambda made: [
        lambda: made.number_tensor("LongStorage", (0, 1, 2, 0), (2, 2)),
        lambda: made.number_tensor("LongStorage", (5, 6)),
        lambda: _size(made, 3, 3),
    ],
    "quantized-tensor": lambda made: [
        *_dense_parts(made, "QInt8Storage", 1),
        lambda: made.items([lambda: made.name("torch.per_tensor_affine"), lambda: made.plain(0.5), lambda: made.plain(3)], "TUPLE"),
        lambda: made.plain(False),
        made.hooks,
    ],
    "nested-tensor": lambda made: [
        lambda: made.number_tensor("LongStorage", (1, 2, 3, 4)),
        lambda: made.number_tensor("LongStorage", (2, 2), (2, 1)),
        lambda: made.number_tensor("LongStorage", (1, 1), (2, 1)),
        lambda: made.number_tensor("LongStorage", (0, 2)),
    ],
    "jagged-tensor": lambda made: [
        lambda: made.items(
            [
                *(lambda: made.text("values"), lambda: made.number_tensor("LongStorage", (1, 2, 3, 4, 5, 6), (3, 2))),
                *(lambda: made.text("offsets"), lambda: made.number_tensor("LongStorage", (0, 1, 3))),
                *(lambda: made.text("lengths"), lambda: made.plain(None), lambda: made.text("_ragged_idx"), lambda: made.plain(1)),
            ],
            "DICT",
        )
    ],
    "device-tensor-from-cpu": lambda made: [
        lambda: made.number_tensor("LongStorage", (1, 2)),
        lambda: made.name("torch.int64"),
        lambda: made.text("cuda:0"),
        lambda: made.plain(False),
    ],
    "device-tensor-from-numpy": lambda made: [
        lambda: made.called("numpy._core.numeric._frombuffer", *_buffer(made)),
        lambda: made.name("torch.float32"),
        lambda: made.text("cuda:0"),
        lambda: made.plain(False),
    ],
    "numpy-scalar": lambda made: [lambda: made.numpy_dtype("f8"), lambda: made.raw(bytes(8))],
    "numpy-array": lambda made: [lambda: made.name("numpy.ndarray"), lambda: made.plain((0,)), lambda: made.raw(b"b")],
    "numpy-array-frombuffer": _buffer,
    "opaque-attribute": lambda made: [lambda: made.name("acme.models.Net"), lambda: made.text("mode")],
}
"""Arguments that fit together, of constructors whose signature alone does not say what does."""


def program(random: Random) -> tuple[bytes, Program]:
    """A stream, and what was written into it: the storages that it speaks of."""
    made = Program(random)
    made.value()
    return made.finished(), made


def calling(name: str, seed: int) -> bytes:
    """A torch zip whose value is one call of `name`, nearly right or wholly."""
    random = Random(f"{name} {seed}")
    made = Program(random)
    made.call(name, DEPTH - 2)
    stream = made.finished()
    members = {b"a/data.pkl": stream, b"a/byteorder": b"little"}
    members |= {f"a/data/{key}".encode(): made.contents.get(key, random.randbytes(size)) for key, size in made.storages.items()}
    return repack({**members, b"a/version": b"3\n"})


def file(seed: int) -> bytes:
    """A whole file."""
    random = Random(seed)
    stream, made = program(random)
    place = random.choice(PLACES)
    contents = {key: random.randbytes(size if random.random() < 0.97 else random.randrange(40)) for key, size in made.storages.items()}
    contents |= made.contents
    if place == "zip":
        members = {b"a/data.pkl": stream, b"a/byteorder": random.choice((b"little", b"big"))}
        members |= {f"a/data/{key}".encode(): content for key, content in contents.items()}
        return repack({**members, b"a/version": b"3\n"})
    if place == "legacy":
        return legacy(stream, {key: (made.counts[key], content) for key, content in contents.items()})
    if place == "gzip":
        out = io.BytesIO()
        with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as inner:
            inner.write(stream)
        return out.getvalue()
    if place == "deflate":
        return zlib.compress(stream)
    if place == "plain-zip":
        return repack({b"model.pkl": stream, b"readme.md": b"text"})
    if place == "tar":
        return pack({b"model.pkl": stream, b"readme.md": b"text"})
    return stream


def legacy(stream: bytes, contents: dict[str, tuple[int, bytes]]) -> bytes:
    """torch's sequential format around a stream; each storage with the number of its elements."""
    parts = []
    for value in (MAGIC, 1001):
        head = Program(Random(0))
        head.protocol = 2
        head.plain(value)
        parts.append(head.finished())
    system = Program(Random(0))
    system.protocol = 2
    keys: list[Callable[[], None]] = []
    for key, value in (("protocol_version", 1001), ("little_endian", True)):
        keys += [lambda key=key: system.text(key), lambda value=value: system.plain(value)]  # type: ignore[misc]
    system.items(keys, "DICT")
    table = Program(Random(0))
    table.protocol = 2
    table.plain(list(contents))
    return b"".join([*parts, system.finished(), stream, table.finished(), *(struct.pack("<q", count) + content for count, content in contents.values())])


if __name__ == "__main__":
    sys.stdout.buffer.write(file(int(sys.argv[1])))
