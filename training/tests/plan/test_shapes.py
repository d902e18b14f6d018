"""The shape of a base, read from its files or guessed from its size."""

import json

import pytest

from training.plan.estimate.shapes import BaseShape, guessed_shape, read_shape
from training.recipes.config import (
    TrainingConfig,
)


def test_the_shape_is_read_from_the_headers_of_the_files(tiny_llama):
    shape = read_shape(tiny_llama)
    assert (shape.layers, shape.hidden, shape.intermediate, shape.attention) == (2, 64, 128, 64)
    assert (shape.key_value, shape.context, shape.is_tied) == (32, 2048, True)
    assert shape.bytes_per_parameter == 4
    of_layers = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64) + 64
    assert shape.trunk_parameters == of_layers
    assert shape.parameters == of_layers + shape.vocabulary * 64


def test_the_shape_counts_the_adapter_that_peft_makes(tiny_llama):
    from training.recipes.lora_sft import setup_model, trainable

    config = TrainingConfig(dtype="float32", device="cpu", lora_rank=4, learning_rate=1e-3)
    model = setup_model(tiny_llama, config)
    made = sum(parameter.numel() for parameter in trainable(model))
    assert read_shape(tiny_llama).lora_parameters * 4 == made


@pytest.mark.parametrize("content", [None, "{", "{}", '{"hidden_size": 0}'])
def test_a_folder_that_does_not_say_its_shape_says_so(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="do not say its shape"):
        read_shape(tmp_path)


def test_a_guessed_shape_has_about_the_parameters_it_was_guessed_from():
    for parameters in (135_000_000, 500_000_000, 3_000_000_000):
        shape = guessed_shape(parameters, 4096)
        assert 0.5 < shape.trunk_parameters / parameters < 1


def test_a_base_of_another_family_has_a_shape_too(tmp_path):
    config = {
        "hidden_size": 896, "num_attention_heads": 14, "num_key_value_heads": 2,
        "num_hidden_layers": 24, "intermediate_size": 4864, "vocab_size": 151_936,
        "max_position_embeddings": 32_768, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1000, 1000], "data_offsets": [0, 2]}})
    raw = header.encode()
    (tmp_path / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)
    shape = read_shape(tmp_path)
    assert isinstance(shape, BaseShape)
    assert (shape.attention, shape.key_value, shape.parameters) == (896, 128, 1_000_000)
