"""A base small enough to be fetched in tests, and its entry in the catalogue."""

import json

from modelstation.lm.bases.catalog import BASES, Base
from modelstation.lm.testing import make_tiny_qwen

REVISION = "a" * 40
REPO = "tiny/qwen"


def entry_of(folder, name="tiny-qwen", **changes):
    """The catalogue's entry of the model in `folder`."""
    from modelstation.lm.gguf.export import tensor_shapes

    config = json.loads((folder / "config.json").read_text())
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    sizes = [a * (b[0] if b else 1) for a, *b in tensor_shapes(folder).values()]
    facts = {
        "name": name,
        "hub_id": REPO,
        "revision": REVISION,
        "license": "apache-2.0",
        "parameters": sum(sizes),
        "context": 2048,
        "architecture": config["model_type"],
        "hidden_size": hidden,
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_key_value_heads"],
        "head_dim": config.get("head_dim") or hidden // config["num_attention_heads"],
        "intermediate_size": config["intermediate_size"],
        "vocabulary": vocabulary,
        "tied": config["tie_word_embeddings"],
        "download_bytes": 1_000_000,
        "template": "ChatML",
        "suits": "Tests.",
    }
    return Base(**(facts | changes))


def make_tiny_base(folder, monkeypatch, architecture="qwen3"):
    """A model's folder, its entry put into the catalogue for one test."""
    make_tiny_qwen(folder, architecture)
    (folder / "README.md").write_text("# Not wanted")
    (folder / "training_args.bin").write_bytes(b"\x80\x04pickle")
    base = entry_of(folder)
    monkeypatch.setitem(BASES, base.name, base)
    return base
