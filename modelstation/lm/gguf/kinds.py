"""Which GGML type each tensor of a GGUF gets, and the numbers in it.

q4_k_m is llama.cpp's recipe of that name: 4-bit K-blocks, the head and about half of the value and
down projections in 6 bits. Its numbers come from llama.cpp's own quantiser, which the serving
library carries: the gguf package reads K-blocks but cannot write them. No importance matrix is
used. Rows that are no multiple of 256 long take the next larger type, as llama.cpp has it:
SmolLM2-135M, 576 wide, is mostly Q5_0.

Run `python -m pytest modelstation/lm/tests/gguf/test_kinds.py`.
"""

import ctypes
import re
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as Kind

from modelstation.lm.gguf.quantisations import Quantisation

# What llama.cpp takes where a row cannot be cut into blocks of 256.
LARGER = {Kind.Q4_K: Kind.Q5_0, Kind.Q5_K: Kind.Q5_1, Kind.Q6_K: Kind.Q8_0}
_BLOCK = re.compile(r"blk\.(\d+)\.(attn_v|ffn_down)\.weight")


def kind_of(
    name: str, shape: Sequence[int], quantisation: Quantisation, *, blocks: int, tied: bool
) -> Kind:
    """Return the type of the tensor with this GGUF name. Vectors (norms, biases) stay float32."""
    if len(shape) < 2:
        return Kind.F32
    delicate = quantisation.delicate_tensor_type
    is_delicate = delicate and _is_delicate(name, blocks, tied)
    return _fitting(Kind[delicate if is_delicate else quantisation.tensor_type], shape[-1])


def _is_delicate(name: str, blocks: int, tied: bool) -> bool:
    """Say what Q4_K_M keeps in 6 bits: the head, and value and down projections of the outer
    eighths and of every third block between (llama.cpp, use_more_bits)."""
    if name == ("token_embd.weight" if tied else "output.weight"):
        return True
    block = _BLOCK.fullmatch(name)
    if block is None:
        return False
    at, eighth = int(block[1]), blocks // 8
    return at < eighth or at >= 7 * blocks // 8 or (at - eighth) % 3 == 2


def _fitting(kind: Kind, columns: int) -> Kind:
    """Of llama.cpp's fallbacks the first whose blocks the row can be cut into; at last float16."""
    while columns % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = LARGER.get(kind, Kind.F16)
    return kind


def nbytes_of(shape: Sequence[int], kind: Kind) -> int:
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    return prod(shape) // per_block * block_bytes


def quantize(data: np.ndarray, kind: Kind) -> np.ndarray:
    """Use the gguf package where it can, else llama.cpp's own code."""
    if kind not in LARGER:
        return gguf.quants.quantize(data, kind)
    rows = np.ascontiguousarray(data, dtype=np.float32).reshape(-1, data.shape[-1])
    out = np.empty((len(rows), nbytes_of(rows.shape[1:], kind)), np.uint8)
    source, target = rows.ctypes.data, out.ctypes.data
    written = _llama_cpp()(int(kind), source, target, 0, len(rows), rows.shape[1], None)
    if written != out.nbytes:
        raise RuntimeError(f"llama.cpp wrote {written} bytes of {kind.name}, not {out.nbytes}.")
    return out


@cache
def _llama_cpp() -> Callable[..., Any]:
    """ggml_quantize_chunk(type, source, target, first, rows, columns, importance) of the library
    that serves the file too."""
    from xllamacpp import xllamacpp

    function = ctypes.CDLL(xllamacpp.__file__).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    return function
