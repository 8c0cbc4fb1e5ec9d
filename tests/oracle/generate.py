"""Random checkpoints, a seed each: every dtype and kind of view, alias, container and writer's option that torch.save has."""

from __future__ import annotations

import argparse
import io
import pickle
import random
import warnings
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import torch

from .big_endian import turned

FORMS = ("zip", "legacy", "pickle", "big-endian")
"""torch.save now, torch.save before 1.6, pickle.dump, and torch.save on a big-endian machine (made of the first)."""
PROTOCOLS = (2, 0, 1, 3, 4, 5)

DENSE = [
    "float16", "float32", "float64", "bfloat16", "complex32", "complex64", "complex128", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
]  # fmt: skip
# The sequential format names a storage by its class, and has none for the others: torch.save writes them and torch.load cannot read them back.
LEGACY = ["float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool", "int8", "int16", "int32", "int64", "uint8"]
VALUE_TYPES = ("float32", "float64", "int64", "complex64", "float16")  # what sparse tensors hold here
MAX_ELEMENTS = 60
TEXTS = ("", "weight", "layer.0", "naïve", "日本", "a" * 300, "tab\t", "\x00", "\N{GRINNING FACE}")
FLOATS = (0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan"), 1e-320, 1e308)


class Case:
    """One checkpoint: `value`, and `data`, what torch.save made of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kinds: Counter[str] = Counter()
        self.bases: list[torch.Tensor] = []
        self.shared: list[Any] = []
        self.options: dict[str, Any] = {
            "form": FORMS[seed % len(FORMS)],
            "protocol": PROTOCOLS[seed // len(FORMS) % len(PROTOCOLS)],
            "alignment": self.random.choice((1, 8, 64, 64, 256, 4096)),
            "crc32": self.random.random() < 0.7,
        }
        # does torch read back what it writes? In the sequential format not the dtypes that have no storage class, in protocol 0 no persistent id
        self.is_modern = self.options["form"] == "legacy" and self.random.random() < 0.5
        self.is_readable = self.options["form"] == "pickle" or (self.options["protocol"] > 0 and not self.is_modern)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sparse layouts and quantisation warn that they are beta, or going
            self.value = self._container(3)
        self.data = save(self.value, **self.options)

    # ---- tensors ----------------------------------------------------------------------------------------------------------------------------

    def _fresh(self, names: list[str] | None = None) -> torch.Tensor:
        """A contiguous tensor with a storage of its own: random bytes, so NaNs and all."""
        dtype = getattr(torch, self.random.choice(names or (DENSE if self.options["form"] == "zip" or self.is_modern else LEGACY)))
        count = self.random.choice((0, 1, 2, self.random.randrange(3, MAX_ELEMENTS)))
        if dtype is torch.bool:
            return torch.tensor([self.random.random() < 0.5 for _ in range(count)], dtype=torch.bool)
        size = torch.empty(0, dtype=dtype).element_size()
        raw = bytearray(self.random.randbytes(count * size))
        return torch.frombuffer(raw, dtype=torch.uint8).clone().view(dtype) if count else torch.empty(0, dtype=dtype)

    def _base(self) -> torch.Tensor:
        """A new storage, or one that another tensor has already."""
        if self.bases and self.random.random() < 0.45:
            return self.random.choice(self.bases)
        self.bases.append(self._fresh())
        return self.bases[-1]

    def _dense(self) -> torch.Tensor:
        base = self._base()
        view = self.random.choice((self._whole, self._slice, self._strided, self._transposed, self._expanded, self._scalar, self._empty))(base)
        if view.dtype.is_complex and view.dtype is not torch.complex32 and self.random.random() < 0.3:
            view = view.conj()
            self.kinds["conjugate"] += 1
        if view.dtype in (torch.float32, torch.complex64) and self.random.random() < 0.15:
            view = torch._neg_view(view)
            self.kinds["negative"] += 1
        return view

    def _whole(self, base: torch.Tensor) -> torch.Tensor:
        return base

    def _slice(self, base: torch.Tensor) -> torch.Tensor:
        start = self.random.randrange(len(base) + 1)
        return base[start : self.random.randrange(start, len(base) + 1) : self.random.choice((1, 1, 2, 3))]

    def _strided(self, base: torch.Tensor) -> torch.Tensor:
        """Any view that fits, with overlaps, gaps and strides of 0."""
        if not len(base):
            return base
        shape, strides, reach = [], [], 0
        offset = self.random.randrange(len(base))
        for _ in range(self.random.randrange(4)):
            length, step = self.random.randrange(1, 5), self.random.randrange(6)
            if offset + reach + (length - 1) * step < len(base):
                shape.append(length)
                strides.append(step)
                reach += (length - 1) * step
        return torch.as_strided(base, shape, strides, offset)

    def _transposed(self, base: torch.Tensor) -> torch.Tensor:
        rows = self.random.randrange(1, 6)
        return base[: len(base) // rows * rows].view(rows, -1).t() if len(base) >= rows else base

    def _expanded(self, base: torch.Tensor) -> torch.Tensor:
        return base[:1].expand(self.random.randrange(1, 5), 1) if len(base) else base

    def _scalar(self, base: torch.Tensor) -> torch.Tensor:
        return base[self.random.randrange(len(base))] if len(base) else base

    def _empty(self, base: torch.Tensor) -> torch.Tensor:
        return base[:0].view(0, self.random.randrange(1, 4))

    def _parameter(self) -> torch.Tensor:
        data = self._fresh(["float32", "float64", "bfloat16", "complex64"])
        parameter = torch.nn.Parameter(data, requires_grad=self.random.random() < 0.7)
        if self.random.random() < 0.3:
            vars(parameter)["note"] = self._plain()
        return parameter

    def _leaf(self) -> torch.Tensor:
        made = self._fresh(["float32", "float64", "float16"]).requires_grad_(self.random.random() < 0.7)
        if self.random.random() < 0.3:
            vars(made)["note"] = self._plain()
        return made

    def _sparse(self) -> torch.Tensor:
        dtype = getattr(torch, self.random.choice(VALUE_TYPES))
        rows, columns = self.random.randrange(1, 4) * 2, self.random.randrange(1, 4) * 2
        dense = (torch.tensor([[self.random.randrange(-3, 4) for _ in range(columns)] for _ in range(rows)])).to(dtype)
        layout = self.random.choice(("coo", "coo-duplicates", "csr", "csc", "bsr", "bsc"))
        self.kinds[f"sparse {layout}"] += 1
        if layout == "coo":
            return dense.to_sparse()
        if layout == "coo-duplicates":
            return torch.sparse_coo_tensor(torch.tensor([[0, 0, rows - 1], [1, 1, 0]]), torch.tensor([1, 2, 3]).to(dtype), (rows, columns))
        if dtype is torch.float16:
            dense = dense.to(torch.float32)
        if layout in ("csr", "csc"):
            return dense.to_sparse_csr() if layout == "csr" else dense.to_sparse_csc()
        return dense.to_sparse_bsr((2, 2)) if layout == "bsr" else dense.to_sparse_bsc((2, 2))

    def _quantized(self) -> torch.Tensor:
        data = torch.tensor([[self.random.uniform(-2, 2) for _ in range(4)] for _ in range(3)])
        dtype = self.random.choice((torch.qint8, torch.quint8, torch.qint32))
        if self.random.random() < 0.5:
            made = torch.quantize_per_tensor(data, self.random.uniform(0.01, 0.1), self.random.randrange(0, 5), dtype)
            return made[1:] if self.random.random() < 0.3 else made
        axis = self.random.randrange(2)
        scales = torch.tensor([self.random.uniform(0.01, 0.1) for _ in range(data.shape[axis])], dtype=torch.float64)
        return torch.quantize_per_channel(data, scales, torch.zeros(data.shape[axis], dtype=torch.int64), axis, dtype)

    def _meta(self) -> torch.Tensor:
        return torch.empty(self.random.randrange(4), 3, dtype=torch.float32, device="meta")

    def _tensor(self) -> torch.Tensor:
        kinds = (self._dense,) * 8 + (self._parameter, self._leaf, self._sparse, self._quantized) + ((self._meta,) if self.options["form"] == "zip" else ())
        return self._drawn(self.random.choice(kinds))

    def _drawn(self, maker: Any) -> Any:
        self.kinds[maker.__name__.removeprefix("_")] += 1
        return maker()

    # ---- what else a checkpoint holds ---------------------------------------------------------------------------------------------------------

    def _storage(self) -> Any:
        """A storage that stands alone, or under a tensor as well."""
        owners = [base for base in self.bases if base.numel() and str(base.dtype).removeprefix("torch.") in LEGACY]
        return (self.random.choice(owners) if owners else torch.arange(self.random.randrange(1, 9))).storage()

    def _state_dict(self) -> Any:
        """Of a module: `_metadata`, buffers, an int tensor among them, and weights that two modules share."""
        first = torch.nn.Linear(2, 2, bias=self.random.random() < 0.5)
        module = torch.nn.ModuleDict({"norm": torch.nn.BatchNorm1d(2), "first": first, "again": first, "deep": torch.nn.Sequential(torch.nn.GRU(2, 1))})
        return module.to(getattr(torch, self.random.choice(("float32", "float64", "bfloat16")))).state_dict()

    def _optimizer(self) -> Any:
        """After one step: tensors, numbers and hyperparameters, by the numbers of the parameters."""
        weights = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.zeros(3))]
        kind = self.random.choice((torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad))
        made = kind(weights, lr=0.1)
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        made.step()
        return made.state_dict()

    # ---- plain values -------------------------------------------------------------------------------------------------------------------------

    def _plain(self) -> Any:
        rng = self.random
        return rng.choice((
            None, True, False, rng.randrange(-300, 300), rng.randrange(1 << 31, 1 << 33), -(1 << rng.randrange(60, 200)), rng.choice(FLOATS), rng.choice(TEXTS),
            rng.randbytes(rng.randrange(6)), bytearray(rng.randbytes(3)), complex(1.5, rng.choice(FLOATS[:4])), getattr(torch, rng.choice(DENSE)),
            torch.device("cuda", 1), torch.device("cpu"), torch.Size([2, 3]), {1, "a", None}, frozenset({2.5, b"x"}), range(1, 9, 2), slice(None, 3),
        ))  # fmt: skip

    def _key(self) -> Any:
        rng = self.random
        return rng.choice((rng.choice(TEXTS) + str(rng.randrange(99)), rng.randrange(99), (1, str(rng.randrange(9))), None, rng.random(), b"key"))

    def _container(self, depth: int) -> Any:
        rng = self.random
        items = [self._item(depth) for _ in range(rng.randrange(1, 6))]
        kind = rng.choice(("dict", "list", "tuple", "OrderedDict", "defaultdict", "Namespace", "state_dict"))
        made: Any
        if kind in ("list", "tuple"):
            made = items if kind == "list" else tuple(items)
        elif kind == "Namespace":
            made = argparse.Namespace(**{f"a{at}": item for at, item in enumerate(items)})
        elif kind == "state_dict":
            made = OrderedDict((f"layer.{at}.weight", self._tensor()) for at in range(len(items)))
            made._metadata = OrderedDict({"": {"version": 1}})
        else:
            made = {"dict": {}, "OrderedDict": OrderedDict(), "defaultdict": defaultdict(list)}[kind]
            for item in items:
                made[self._key()] = item
        if kind == "list" and rng.random() < 0.1:
            made.append(made)
        self.shared.append(made)
        return made

    def _item(self, depth: int) -> Any:
        draw = self.random.random()
        if draw < 0.08 and self.shared:
            return self.random.choice(self.shared)
        if draw < 0.3 and depth:
            return self._container(depth - 1)
        if draw < 0.38:
            made = self._drawn(self.random.choice((self._storage, self._storage, self._state_dict, self._optimizer)))
            self.shared.append(made)
            return made
        if draw < 0.75:
            made = self._tensor()
            self.shared.append(made)
            return made
        return self._plain()


def save(value: Any, *, protocol: int, form: str, alignment: int = 64, crc32: bool = True) -> bytes:
    """torch.save with these options; torch's own are put back."""
    if form == "pickle":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pickle.dumps(value, protocol)
    if form == "big-endian":
        return turned(save(value, protocol=protocol, form="zip"))
    from torch.utils.serialization import config

    file = io.BytesIO()
    before = config.save.storage_alignment, torch.serialization.get_crc32_options()
    try:
        config.save.storage_alignment = alignment
        torch.serialization.set_crc32_options(crc32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    finally:
        config.save.storage_alignment = before[0]
        torch.serialization.set_crc32_options(before[1])
    return file.getvalue()
