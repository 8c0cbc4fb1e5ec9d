"""The two closed tables of GGUF: the types of its metadata, and those of its tensors with the size of their blocks.

From gguf's specification (ggml/docs/gguf.md), ggml.h and ggml-common.h. Left out, so that a file with them is refused: the numbers that ggml gave and took back
(4, 5, 31 to 33, 36 to 38), of which no reader of today knows the length, and Q8_1 (9), which no file holds: ggml counts 36 bytes to its block and gguf-py 40.
"""

from __future__ import annotations

UINT32, BOOL, STRING, ARRAY = 4, 7, 8, 9
"""The types of metadata that are more than a number of some length."""

VALUE_BYTES: dict[int, int] = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of metadata to bytes: uint8, int8, uint16, int16, uint32, int32, float32, bool, uint64, int64, float64."""

TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""Type of a tensor to its name, the elements of one block, and the bytes of one block."""
