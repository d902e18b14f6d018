"""What is read back out of an exported file. That llama.cpp answers the same: serving's tests."""

import json
import shutil

import numpy as np
import pytest
import torch
from gguf import GGUFReader, TokenType, dequantize

from modelstation.lm.chat import load_renderer
from modelstation.lm.gguf.export import export_gguf
from modelstation.lm.loading import load_causal_lm


@pytest.fixture
def copied(tiny_llama, tmp_path):
    return shutil.copytree(tiny_llama, tmp_path / "model")


def edit_json(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_every_weight_is_there_and_close(tiny_llama, tmp_path):
    export_gguf(tiny_llama, tmp_path / "model.gguf")

    model = load_causal_lm(tiny_llama, torch.float32)
    tensors = {t.name: t for t in GGUFReader(str(tmp_path / "model.gguf")).tensors}
    written = sum(int(tensor.n_elements) for tensor in tensors.values())
    assert written == sum(p.numel() for p in model.parameters())
    down = tensors["blk.1.ffn_down.weight"]
    expected = model.model.layers[1].mlp.down_proj.weight.detach().numpy()
    assert np.abs(dequantize(down.data, down.tensor_type) - expected).max() < 1e-3


def test_the_tokenizer_travels_with_its_special_tokens_and_template(tiny_llama, tmp_path):
    export_gguf(tiny_llama, tmp_path / "model.gguf")

    fields = GGUFReader(str(tmp_path / "model.gguf")).fields
    read = {name: field.contents() for name, field in fields.items()}
    renderer = load_renderer(tiny_llama)
    assert read["tokenizer.ggml.pre"] == "smollm"
    assert read["tokenizer.ggml.tokens"][:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    assert read["tokenizer.ggml.token_type"][:4] == [TokenType.CONTROL] * 3 + [TokenType.NORMAL]
    assert read["tokenizer.ggml.eos_token_id"] == renderer.eos_token_id
    assert read["tokenizer.chat_template"] == renderer.template


def test_an_embedding_longer_than_the_vocabulary_gets_unused_tokens(copied, tmp_path):
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    last = max(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    del tokenizer["model"]["vocab"][last]
    tokenizer["model"]["merges"].pop()
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))

    export_gguf(copied, tmp_path / "model.gguf")

    fields = GGUFReader(str(tmp_path / "model.gguf")).fields
    assert fields["tokenizer.ggml.token_type"].contents()[-1] == TokenType.UNUSED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "'mamba' cannot be exported"),
        ({"attention_bias": True}, "biases"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "scaled rope"),
    ],
)
def test_what_cannot_be_exported_is_refused_plainly(copied, tmp_path, changes, message):
    edit_json(copied / "config.json", **changes)

    with pytest.raises(ValueError, match=message):
        export_gguf(copied, tmp_path / "model.gguf")
    assert not list(tmp_path.glob("*.gguf*"))


def test_an_unknown_tokenizer_and_an_unknown_quantisation_are_refused(copied, tmp_path):
    with pytest.raises(ValueError, match="f16, q8_0, q4_k_m"):
        export_gguf(copied, tmp_path / "model.gguf", quantisation="q2")
    edit_json(copied / "tokenizer.json", pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(ValueError, match="only byte-level BPE"):
        export_gguf(copied, tmp_path / "model.gguf")


def test_a_failed_export_leaves_no_file_behind(copied, tmp_path):
    (copied / "model.safetensors").unlink()

    with pytest.raises(ValueError, match="no safetensors"):
        export_gguf(copied, tmp_path / "model.gguf")
    assert not list(tmp_path.glob("*gguf*"))
