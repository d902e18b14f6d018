"""Which tensors get which type; llama.cpp's quantiser writes what the gguf package reads."""

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType as Kind

from modelstation.lm.gguf.check import read_facts
from modelstation.lm.gguf.export import export_gguf, gguf_bytes
from modelstation.lm.gguf.kinds import kind_of, nbytes_of, quantize
from modelstation.lm.gguf.quantisations import QUANTISATIONS

WIDE = (512, 512)


def kind(name, shape=WIDE, tied=True):
    return kind_of(name, shape, QUANTISATIONS["q4_k_m"], blocks=16, tied=tied)


def test_q4_k_m_keeps_the_head_and_the_delicate_projections_in_six_bits():
    assert kind("token_embd.weight") == Kind.Q6_K
    assert kind("token_embd.weight", tied=False) == Kind.Q4_K
    assert kind("output.weight", tied=False) == Kind.Q6_K
    six_bits = [n for n in range(16) if kind(f"blk.{n}.ffn_down.weight") == Kind.Q6_K]
    assert six_bits == [0, 1, 4, 7, 10, 13, 14, 15]  # llama.cpp's use_more_bits(n, 16)
    assert kind("blk.0.attn_q.weight") == Kind.Q4_K
    assert kind("blk.0.attn_norm.weight", (512,)) == Kind.F32


def test_rows_that_are_no_multiple_of_256_take_the_next_larger_type():
    assert kind("blk.0.attn_q.weight", (64, 576)) == Kind.Q5_0
    assert kind("blk.0.attn_v.weight", (64, 576)) == Kind.Q8_0
    assert kind("blk.0.attn_q.weight", (64, 40)) == Kind.F16


@pytest.mark.parametrize(
    ("kind", "error"), [(Kind.Q4_K, 0.08), (Kind.Q5_K, 0.04), (Kind.Q6_K, 0.02)]
)
def test_k_blocks_come_back_close_to_what_went_in(kind, error):
    data = np.random.default_rng(0).standard_normal((8, 512)).astype(np.float32)
    packed = quantize(data, kind)
    assert packed.nbytes == nbytes_of(data.shape, kind)
    back = gguf.quants.dequantize(packed, kind).reshape(data.shape)
    assert np.sqrt(np.mean((back - data) ** 2)) < error


def test_llama_cpp_and_the_gguf_package_agree_where_both_can():
    """That shows that the library is called rightly."""
    from modelstation.lm.gguf import kinds as gguf_kinds

    data = np.random.default_rng(1).standard_normal((4, 256)).astype(np.float32)
    ours = np.empty((4, nbytes_of((256,), Kind.Q8_0)), np.uint8)
    gguf_kinds._llama_cpp()(int(Kind.Q8_0), data.ctypes.data, ours.ctypes.data, 0, 4, 256, None)
    assert (ours == gguf.quants.quantize(data, Kind.Q8_0)).all()


def test_a_file_says_which_types_it_is_made_of_and_its_size_is_known_before(tiny_llama, tmp_path):
    file = tmp_path / "model.gguf"
    export_gguf(tiny_llama, file, quantisation="q4_k_m")
    facts = read_facts(file)
    assert facts.tensor_types.keys() == {"F32", "Q5_0", "Q8_0"}  # 64 and 128 wide: all fall back
    weights = gguf_bytes(tiny_llama, QUANTISATIONS["q4_k_m"])
    assert weights < file.stat().st_size < weights + 64_000
