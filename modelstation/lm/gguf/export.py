"""Write a model of a known architecture as one GGUF file with its tokenizer.

Run `python -c "from pathlib import Path; from modelstation.lm.gguf.export import export_gguf;
export_gguf(Path('MODEL_FOLDER'), Path('model-q8_0.gguf'))"`.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType, LlamaFileType
from safetensors import safe_open

from modelstation.lm.gguf.config import ModelConfig, read_config
from modelstation.lm.gguf.kinds import kind_of, nbytes_of, quantize
from modelstation.lm.gguf.quantisations import SERVED, Quantisation, quantisation_of
from modelstation.lm.gguf.tokenizer import add_tokenizer


def export_gguf(model_folder: Path, target: Path, *, quantisation: str = SERVED.name) -> None:
    """Write `target` from the config, safetensors and tokenizer in `model_folder`.

    Matrices are quantised, vectors (norms, biases) stay float32. ValueError says what cannot be
    exported: another architecture, scaled rope, biases, another tokenizer.
    """
    chosen, config = quantisation_of(quantisation), read_config(model_folder)
    partial = target.with_name(f".{target.name}.partial")
    writer = gguf.GGUFWriter(partial, gguf.MODEL_ARCH_NAMES[_architecture(config)])
    try:
        _add_architecture(writer, config, chosen)
        add_tokenizer(writer, model_folder, config.vocab_size)
        _write_tensors(writer, model_folder, config, chosen)
        partial.replace(target)
    finally:
        writer.close()
        partial.unlink(missing_ok=True)


def _architecture(config: ModelConfig) -> gguf.MODEL_ARCH:
    return gguf.MODEL_ARCH[config.model_type.upper()]


def _add_architecture(
    writer: gguf.GGUFWriter, config: ModelConfig, quantisation: Quantisation
) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(LlamaFileType[quantisation.file_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _write_tensors(
    writer: gguf.GGUFWriter, folder: Path, config: ModelConfig, quantisation: Quantisation
) -> None:
    """Write every tensor's shape into the header first; then each is read, quantised and written
    alone, so that a large model never lies in memory as a whole."""
    shapes = _exported_shapes(folder, config)
    names = _target_names(folder, shapes, config)
    kinds = _kinds(shapes, names, config, quantisation)
    for name, shape in shapes.items():
        nbytes, kind = nbytes_of(shape, kinds[name]), kinds[name]
        writer.add_tensor_info(names[name], shape, np.dtype("float32"), nbytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, array in _arrays(folder):
        if name in shapes:
            writer.write_tensor_data(quantize(_permuted(name, array, config), kinds[name]))


def gguf_bytes(folder: Path, quantisation: Quantisation) -> int:
    """Return the bytes of the weights that export_gguf would write, from the headers alone."""
    config = read_config(folder)
    shapes = _exported_shapes(folder, config)
    kinds = _kinds(shapes, _target_names(folder, shapes, config), config, quantisation)
    return sum(nbytes_of(shape, kinds[name]) for name, shape in shapes.items())


def _kinds(
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    config: ModelConfig,
    quantisation: Quantisation,
) -> dict[str, GGMLQuantizationType]:
    blocks, tied = config.num_hidden_layers, "lm_head.weight" not in shapes
    return {
        name: kind_of(names[name], shape, quantisation, blocks=blocks, tied=tied)
        for name, shape in shapes.items()
    }


def _exported_shapes(folder: Path, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Leave out a head that is tied to the embedding: it may be stored all the same."""
    shapes = tensor_shapes(folder)
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight", None)
    return shapes


def _target_names(folder: Path, shapes: Iterable[str], config: ModelConfig) -> dict[str, str]:
    known = gguf.get_tensor_name_map(_architecture(config), config.num_hidden_layers)
    names = {name: known.get_name(name, try_suffixes=(".weight", ".bias")) for name in shapes}
    for name, target in names.items():
        if target is None:
            kind = config.model_type
            raise ValueError(f"{folder} holds a tensor that {kind} does not have: {name}.")
    return cast(dict[str, str], names)


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return those of all tensors in the folder, in the order of their files, from the headers."""
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


def _permuted(name: str, array: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Put the rows of q and k in llama.cpp's order: for llama, it rotates neighbouring pairs,
    transformers halves; for the others both rotate halves."""
    permuted = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    heads = permuted.get(name.split(".")[-2])
    if config.model_type != "llama" or heads is None:
        return array
    halves = array.reshape(heads, 2, array.shape[0] // heads // 2, array.shape[1])
    return halves.swapaxes(1, 2).reshape(array.shape)
