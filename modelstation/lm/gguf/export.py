"""Writes a model of a known architecture as one GGUF file with its tokenizer.

Run `python -c "from pathlib import Path; from modelstation.lm.gguf.export import export_gguf;
print(export_gguf(Path('MODEL_FOLDER'), Path('model-q8_0.gguf')))"`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType
from safetensors import safe_open

from modelstation.lm.gguf.kinds import QUANTIZATIONS, kind_of, nbytes_of, quantize
from modelstation.lm.gguf.tokenizer import add_tokenizer

# What each model_type of transformers is called in GGUF. All have RMS norms, rotary positions and
# SwiGLU; qwen2 has biases on q, k and v, qwen3 norms on q and k.
ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}


def export_gguf(model_folder: Path, target: Path, *, quantization: str = "q8_0") -> dict[str, Any]:
    """Writes `target` from the config, safetensors and tokenizer in `model_folder`.

    Matrices are quantised, vectors (norms, biases) stay float32. Returns the facts of the file.
    ValueError says what cannot be exported: another architecture, scaled rope, biases, another
    tokenizer.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"Unknown quantization {quantization!r}. Choose one of: {', '.join(QUANTIZATIONS)}."
        )
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    check_config(config)
    partial = target.with_name(f".{target.name}.partial")
    writer = gguf.GGUFWriter(partial, gguf.MODEL_ARCH_NAMES[ARCHITECTURES[config["model_type"]]])
    try:
        _add_architecture(writer, config, quantization)
        add_tokenizer(writer, model_folder, config)
        parameters = _write_tensors(writer, model_folder, config, quantization)
        partial.replace(target)
    finally:
        writer.close()
        partial.unlink(missing_ok=True)
    return {
        "file": target.name,
        "quantization": quantization,
        "bytes": target.stat().st_size,
        "parameters": parameters,
    }


def check_config(config: dict[str, Any]) -> None:
    """ValueError says what of this config.json cannot be exported."""
    architecture = config.get("model_type")
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(
            f"Models of the kind {architecture!r} cannot be exported to GGUF; only {known} can."
        )
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError(f"{architecture} models with such biases cannot be exported to GGUF.")
    if _rope(config).get("rope_type", "default") != "default":
        raise ValueError("Models with scaled rope cannot be exported to GGUF.")
    if config.get("use_sliding_window"):
        raise ValueError("Models with a sliding window cannot be exported to GGUF.")
    if config.get("hidden_act", "silu") != "silu":
        raise ValueError(f"Models with {config['hidden_act']} cannot be exported to GGUF.")


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


def _write_tensors(
    writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any], quantization: str
) -> int:
    """The header needs every tensor's shape first; then each is read, quantised and written alone,
    so that a large model never lies in memory as a whole.
    """
    shapes = {name: shape for name, shape in tensor_shapes(folder).items() if _has(config, name)}
    names = _target_names(folder, shapes, config)
    kinds = _kinds(shapes, names, config, quantization)
    for name, shape in shapes.items():
        nbytes = nbytes_of(shape, kinds[name])
        writer.add_tensor_info(
            names[name], shape, np.dtype("float32"), nbytes, raw_dtype=kinds[name]
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, array in _arrays(folder):
        if name in shapes:
            writer.write_tensor_data(quantize(_permuted(name, array, config), kinds[name]))
    return sum(prod(shape) for shape in shapes.values())


def gguf_bytes(folder: Path, quantization: str) -> int:
    """Of the weights in the file that export_gguf would write, from the headers alone."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shapes = {name: shape for name, shape in tensor_shapes(folder).items() if _has(config, name)}
    kinds = _kinds(shapes, _target_names(folder, shapes, config), config, quantization)
    return sum(nbytes_of(shape, kinds[name]) for name, shape in shapes.items())


def _kinds(
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    config: dict[str, Any],
    quantization: str,
) -> dict[str, GGMLQuantizationType]:
    blocks, tied = config["num_hidden_layers"], "lm_head.weight" not in shapes
    return {
        name: kind_of(names[name], shape, quantization, blocks=blocks, tied=tied)
        for name, shape in shapes.items()
    }


def _has(config: dict[str, Any], name: str) -> bool:
    """A head that is tied to the embedding may be stored all the same; it is left out."""
    return name != "lm_head.weight" or not config.get("tie_word_embeddings")


def _target_names(folder: Path, shapes: Iterable[str], config: dict[str, Any]) -> dict[str, str]:
    architecture = config["model_type"]
    known = gguf.get_tensor_name_map(ARCHITECTURES[architecture], config["num_hidden_layers"])
    names = {name: known.get_name(name, try_suffixes=(".weight", ".bias")) for name in shapes}
    for name, target in names.items():
        if target is None:
            raise ValueError(f"{folder} holds a tensor that {architecture} does not have: {name}.")
    return cast(dict[str, str], names)


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Of all tensors in the folder, read from the headers alone, in the order of their files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(folder):
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                shapes[name] = tuple(tensors.get_slice(name).get_shape())
    return shapes


def _arrays(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for file in _weight_files(folder):
        # Through torch, because numpy has no bfloat16.
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                yield name, tensors.get_tensor(name).float().numpy()


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} holds no safetensors weights.")
    return files


def _permuted(name: str, array: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """Rows of q and k in llama.cpp's order: for llama, it rotates neighbouring pairs, transformers
    halves; for the others both rotate halves.
    """
    if config["model_type"] != "llama":
        return array
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
