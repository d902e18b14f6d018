"""Writes a llama-architecture model (SmolLM2, its fine-tunes) as one GGUF file with its tokenizer.

Run `python -c "from pathlib import Path; from modelstation.lm.gguf_export import export_gguf;
print(export_gguf(Path('MODEL_FOLDER'), Path('model-q8_0.gguf')))"`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
from gguf.constants import GGMLQuantizationType, LlamaFileType, TokenType

from modelstation.lm.chat import load_renderer

if TYPE_CHECKING:
    import numpy as np

QUANTIZATIONS = {
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
}


def export_gguf(model_folder: Path, target: Path, *, quantization: str = "q8_0") -> dict[str, Any]:
    """Writes `target` from the config, safetensors and tokenizer in `model_folder`.

    Matrices are quantised, vectors (norms) stay float32. Returns the facts of the file. ValueError
    says what cannot be exported: another architecture, scaled rope, biases, another tokenizer.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"Unknown quantization {quantization!r}. Choose one of: {', '.join(QUANTIZATIONS)}."
        )
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    _check_config(config)
    partial = target.with_name(f".{target.name}.partial")
    writer = gguf.GGUFWriter(partial, "llama")
    _add_architecture(writer, config, quantization)
    _add_tokenizer(writer, model_folder, config)
    parameters = _add_tensors(writer, model_folder, config, quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)
    return {
        "file": target.name,
        "quantization": quantization,
        "bytes": target.stat().st_size,
        "parameters": parameters,
    }


def _check_config(config: dict[str, Any]) -> None:
    architecture = config.get("model_type")
    if architecture != "llama":
        raise ValueError(f"Only llama models can be exported to GGUF; this is {architecture!r}.")
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError("Llama models with biases cannot be exported to GGUF.")
    if _rope(config).get("rope_type", "default") != "default":
        raise ValueError("Llama models with scaled rope cannot be exported to GGUF.")


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """transformers 5 keeps theta and type together; 4 kept them apart, the type only if scaled."""
    return {
        "rope_theta": config.get("rope_theta", 10_000.0),
        **(config.get("rope_scaling") or {}),
        **(config.get("rope_parameters") or {}),
    }


def _head_dim(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _add_architecture(writer: gguf.GGUFWriter, config: dict[str, Any], quantization: str) -> None:
    head_dim = _head_dim(config)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(QUANTIZATIONS[quantization][1])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(_rope(config)["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens, types = _tokens(tokenizer, config["vocab_size"])
    renderer = load_renderer(folder)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer_name(tokenizer))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(
        [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    )
    writer.add_eos_token_id(renderer.eos_token_id)
    writer.add_pad_token_id(renderer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(renderer.template)


def _tokens(tokenizer: dict[str, Any], vocab_size: int) -> tuple[list[str], list[TokenType]]:
    """One token per row of the embedding; rows that the tokenizer does not use get a filler."""
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    types = [TokenType.UNUSED] * vocab_size
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], types[index] = token, TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], kind
    return tokens, types


def _pre_tokenizer_name(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how text is cut before merging; a wrong one tokenises in silence."""
    pre = tokenizer.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    plain_bytes = steps[-1].get("use_regex", True) and not steps[-1].get("add_prefix_space")
    if tokenizer["model"]["type"] == "BPE" and plain_bytes:
        if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
            return "smollm"
        if kinds == ["ByteLevel"]:
            return "gpt-2"
    raise ValueError("Only byte-level BPE tokenizers (SmolLM2, GPT-2) can be exported to GGUF.")


def _add_tensors(
    writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any], quantization: str
) -> int:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    parameters = 0
    for name, array in _arrays(folder):
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        target = names.get_name(name, try_suffixes=(".weight",))
        if target is None:
            raise ValueError(f"{folder} holds a tensor that llama does not have: {name}.")
        kind = QUANTIZATIONS[quantization][0] if array.ndim > 1 else GGMLQuantizationType.F32
        data = gguf.quants.quantize(_permuted(name, array, config), kind)
        writer.add_tensor(target, data, raw_dtype=kind)
        parameters += array.size
    return parameters


def _arrays(folder: Path) -> "Iterator[tuple[str, np.ndarray]]":
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} holds no safetensors weights.")
    for file in files:
        # Through torch, because numpy has no bfloat16.
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                yield name, tensors.get_tensor(name).float().numpy()


def _permuted(name: str, array: "np.ndarray", config: dict[str, Any]) -> "np.ndarray":
    """Rows of q and k in llama.cpp's order: it rotates neighbouring pairs, transformers halves."""
    heads = {
        "q_proj": config["num_attention_heads"],
        "k_proj": config["num_key_value_heads"],
    }.get(name.split(".")[-2])
    if heads is None:
        return array
    rows, columns = array.shape
    return (
        array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )
