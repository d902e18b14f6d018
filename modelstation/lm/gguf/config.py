"""The config.json of a model, as far as a GGUF file has room for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

# All have RMS norms, rotary positions and SwiGLU; qwen2 has biases on q, k and v, qwen3 norms on q
# and k.
MODEL_TYPES = ("llama", "qwen2", "qwen3")
DEFAULT_ROPE_THETA = 10_000.0


@dataclass(frozen=True)
class ModelConfig:
    """Names are those of transformers."""

    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    head_dim: int
    rope_theta: float
    tie_word_embeddings: bool

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> Self:
        """ValueError says what of this config.json cannot be exported."""
        rope = _rope(config)
        _check(config, rope)
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        derived = {
            "head_dim": int(head_dim),
            "rope_theta": rope.get("rope_theta", DEFAULT_ROPE_THETA),
            "tie_word_embeddings": bool(config.get("tie_word_embeddings")),
        }
        stated = {field.name for field in fields(cls)} - derived.keys()
        return cls(**{name: config[name] for name in stated}, **derived)


def read_config(model_folder: Path) -> ModelConfig:
    text = (model_folder / "config.json").read_text(encoding="utf-8")
    return ModelConfig.from_json(json.loads(text))


def _check(config: Mapping[str, Any], rope: Mapping[str, Any]) -> None:
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        only = f"only {', '.join(MODEL_TYPES)} can"
        raise ValueError(f"Models of the kind {model_type!r} cannot be exported to GGUF; {only}.")
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError(f"{model_type} models with such biases cannot be exported to GGUF.")
    if rope.get("rope_type", "default") != "default":
        raise ValueError("Models with scaled rope cannot be exported to GGUF.")
    if config.get("use_sliding_window"):
        raise ValueError("Models with a sliding window cannot be exported to GGUF.")
    if config.get("hidden_act", "silu") != "silu":
        raise ValueError(f"Models with {config['hidden_act']} cannot be exported to GGUF.")


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Merge theta and type, which transformers 4 kept apart, the type only if it is scaled."""
    theta = {"rope_theta": config["rope_theta"]} if "rope_theta" in config else {}
    return theta | (config.get("rope_scaling") or {}) | (config.get("rope_parameters") or {})
