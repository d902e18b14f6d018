"""Make a folder of files from elsewhere into a base that can be trusted, or refuses it.

Every file is looked at: configs are written anew from the fields we know, sizes must be those of
the catalogue, weights must be plain numbers, and tokenizer and chat template must work in training,
serving and export alike. Run as a child process: `python -m modelstation.lm.bases.files SPEC.json`.
"""

import json
import os
import struct
import sys
from math import prod
from pathlib import Path
from typing import Any

from modelstation.core.errors import UserFacingError
from modelstation.lm.bases.catalog import GGUF_NAME, Base
from modelstation.lm.bases.download import NEEDED, WEIGHTS, is_wanted, refused
from modelstation.lm.gguf.config import ModelConfig

INDEX = "model.safetensors.index.json"
MAX_JSON_BYTES = 50_000_000
MAX_TEMPLATE_CHARS = 50_000
MAX_HEADER_BYTES = 20_000_000
DTYPES = {"BF16", "F16", "F32"}
SIZES = {  # in config.json: in the catalogue
    "hidden_size": "hidden_size",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "intermediate_size": "intermediate_size",
    "vocab_size": "vocabulary",
}
CONFIG_FIELDS = {
    *SIZES,
    "model_type", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps",
    "rope_theta", "rope_scaling", "rope_parameters", "attention_bias", "attention_dropout",
    "mlp_bias", "bos_token_id", "eos_token_id", "pad_token_id", "initializer_range",
    "use_cache", "use_sliding_window", "dtype", "torch_dtype",
}  # fmt: skip
TOKENIZER_FIELDS = {
    "bos_token", "eos_token", "pad_token", "unk_token", "chat_template", "model_max_length",
    "clean_up_tokenization_spaces",
}  # fmt: skip
GENERATION_FIELDS = {"bos_token_id", "eos_token_id", "pad_token_id"}
CHATS = (
    [("system", "Label it."), ("user", "Where is my card?"), ("assistant", "card_arrival")],
    [("user", "hello"), ("assistant", '{"a": [1, 2]}')],
    [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c\n"), ("assistant", "d")],
)


def make_ready(folder: Path, base: Base) -> None:
    """Check and clean `folder` in place and add the GGUF for serving. Raises UserFacingError that
    says what is wrong; the folder is of no use then."""
    from modelstation.lm.gguf.export import export_gguf

    try:
        _check_names(folder, base)
        _clean_config(folder, base)
        _keep(folder / "tokenizer_config.json", TOKENIZER_FIELDS, _PLAIN_TOKENIZER)
        _keep(folder / "generation_config.json", GENERATION_FIELDS, {})
        _check_weights(folder, base)
        _check_chats(folder)
        export_gguf(folder, folder / GGUF_NAME)
    except KeyError as error:
        raise refused(base, f"{error.args[0]} is missing") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refused(base, str(error).rstrip(".") or type(error).__name__) from error


_PLAIN_TOKENIZER = {"tokenizer_class": "PreTrainedTokenizerFast"}  # reads tokenizer.json as it is


def _check_names(folder: Path, base: Base) -> None:
    for entry in os.scandir(folder):
        if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
            raise ValueError(f"{entry.name} is a link or a folder")
        if not is_wanted(entry.name):
            raise ValueError(f"{entry.name} has no place in a base")
        if not entry.name.endswith(".safetensors") and entry.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{entry.name} is far too large")
    for name in NEEDED:
        if not (folder / name).is_file():
            raise ValueError(f"it lacks {name}")


def _clean_config(folder: Path, base: Base) -> None:
    config = _object(folder / "config.json")
    if config.get("model_type") != base.architecture:
        raise ValueError(f"config.json is of a {config.get('model_type')!r}")
    for field, own in SIZES.items():
        if config.get(field) != getattr(base, own):
            raise ValueError(f"{field} is {config.get(field)!r}, not {getattr(base, own)}")
    if config.get("head_dim", base.head_dim) != base.head_dim:
        raise ValueError(f"head_dim is {config['head_dim']!r}, not {base.head_dim}")
    config["max_position_embeddings"] = min(int(config["max_position_embeddings"]), base.context)
    kept = {field: config[field] for field in sorted(CONFIG_FIELDS) if field in config}
    ModelConfig.from_json(kept)
    kept |= {"architectures": [_CLASSES[base.architecture]], "tie_word_embeddings": base.tied}
    _write(folder / "config.json", kept)


_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def _keep(file: Path, fields: set[str], own: dict[str, Any]) -> None:
    if file.is_file():
        content = _object(file)
        _write(file, {name: content[name] for name in sorted(fields) if name in content} | own)


def _check_weights(folder: Path, base: Base) -> None:
    files = sorted(file.name for file in folder.glob("*.safetensors"))
    if not files:
        raise ValueError("it lacks safetensors weights")
    if (folder / INDEX).is_file():
        _check_index(folder, files)
    elif files != ["model.safetensors"]:
        raise ValueError(f"it lacks {INDEX}")
    parameters = 0
    for name in files:
        for tensor, (dtype, shape) in _tensors(folder / name).items():
            if dtype not in DTYPES:
                raise ValueError(f"{tensor} is stored as {dtype}, not as {', '.join(DTYPES)}")
            if not (base.tied and tensor == "lm_head.weight"):
                parameters += prod(shape)
    if parameters != base.parameters:
        raise ValueError(f"it holds {parameters:,} parameters, not {base.parameters:,}")


def _check_index(folder: Path, files: list[str]) -> None:
    """Refuse names of other files: transformers would open them, wherever they lie."""
    index = _object(folder / INDEX)
    named = set(index["weight_map"].values())
    for name in named:
        if not WEIGHTS.fullmatch(str(name)):
            raise ValueError(f"{INDEX} points to {str(name)[:80]!r}")
    if named != set(files):
        raise ValueError(f"{INDEX} and the files of weights do not agree")
    _write(folder / INDEX, {"metadata": {}, "weight_map": index["weight_map"]})


def _tensors(file: Path) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of each tensor, by the header; ValueError where the file's length differs."""
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER_BYTES + 1
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"{file.name} is no safetensors file")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if 8 + length + end != file.stat().st_size:
        raise ValueError(f"{file.name} is cut off")
    return {name: (tensor["dtype"], tensor["shape"]) for name, tensor in header.items()}


def _check_chats(folder: Path) -> None:
    """Check that what is trained is what is served, token by token, and only the answer learnt."""
    from modelstation.lm.chat import load_renderer
    from modelstation.lm.gguf.tokenizer import check_tokenizer, read_tokenizer

    check_tokenizer(read_tokenizer(folder))
    renderer = load_renderer(folder)
    if len(renderer.template) > MAX_TEMPLATE_CHARS:
        raise ValueError("its chat template is far too long")
    for pairs in CHATS:
        chat = [{"role": role, "content": content} for role, content in pairs]
        ids, learnt = renderer.render_training(chat)
        prompt = renderer.render_prompt(chat[:-1])
        if ids[: len(prompt)] != prompt or any(learnt[: len(prompt)]) or not any(learnt):
            raise ValueError("its chat template does not open an answer as it writes one")


def _object(file: Path) -> dict[str, Any]:
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} is no JSON object")
    return content


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(spec_path: str) -> int:
    """Run as the child: print one line of JSON, a result or what is wrong."""
    spec = json.loads(Path(spec_path).read_text(encoding="utf-8"))
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints is for the log
    try:
        make_ready(Path(spec["folder"]), Base(**spec["base"]))
        event = {"event": "result"}
    except UserFacingError as error:
        message = error.text
        event = {"event": "error", "code": error.code, "message": message}
    print(json.dumps(event), file=channel, flush=True)
    return 0 if event["event"] == "result" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
