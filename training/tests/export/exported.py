"""A tiny trained version on the disk, and the spec that an export child reads."""

import json
import shutil

from modelstation.core.artifacts import write_artifact
from modelstation.lm.gguf.export import export_gguf
from training.export.bundle.checks import TOKENIZER_FILES
from training.export.spec import ExportSpec

PROMPT = "Answer with the label only."
SOURCE = {"name": "own", "license": "CC-BY-4.0", "rows": 3, "origin": "here", "revision": "1"}
FACTS = {
    "title": "Bank intents, version 1",
    "requirement": "Label each message.",
    "system_prompt": PROMPT,
    "base": {"name": "tiny", "hub_id": "acme/tiny", "revision": "0" * 40, "license": "apache-2.0"},
    "config": {"learning_rate": 0.001},
    "dataset": {"digest": "d" * 64, "splits": {"train": 3}},
    "sources": [SOURCE],
    "criteria": [{"sentence": "At least 50 %.", "passed": True}],
    "verdict": "pass",
    "evaluation": {
        "metric": "exact_match",
        "n_test": 4,
        "base": {"score": 0.1, "low": 0.0, "high": 0.2},
        "tuned": {"score": 0.9, "low": 0.8, "high": 1.0},
        "rivals": [
            {
                "name": "tf-idf and a linear layer",
                "score": 0.7,
                "low": 0.6,
                "high": 0.8,
                "difference": {"score": 0.2, "low": 0.1, "high": 0.3},
                "milliseconds": 0.4,
                "size_mb": 3.2,
            }
        ],
    },
}
ROWS = [
    ("what is the label for it", "yes"),
    ("answer the question", "no"),
    ("translate this sentence", "null"),
    ("extract a number 12", "true"),
]


def make_adapter(base, folder):
    """A LoRA adapter that changes the weights, as PEFT saves it."""
    import torch
    from peft import LoraConfig, get_peft_model

    from modelstation.lm.loading import load_causal_lm

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(load_causal_lm(base, torch.float32), config)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)


def make_version_files(base, folder):
    """adapter/, merged/ and gguf/, as the trainer leaves them; returns their manifests."""
    from training.runs.child import save_merged

    def gguf(target):
        export_gguf(folder / "merged", target / "model-q8_0.gguf")
        copy_tokenizer(folder / "merged", target)

    fills = {
        "adapter": lambda target: make_adapter(base, target),
        "merged": lambda target: save_merged(base, folder / "adapter", target),
        "gguf": gguf,
    }
    return {
        kind: write_artifact(folder / kind, fill, kind=kind, facts={})
        for kind, fill in fills.items()
    }


def copy_tokenizer(source, target):
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, target / name)


def write_rows(path):
    lines = [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for a, b in ROWS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def spec_of(version_folder, base, work, **changes):
    spec = {
        "version_folder": str(version_folder),
        "base_folder": str(base),
        "artifacts": ["adapter", "merged", "gguf-f16", "gguf-q8_0", "gguf-q4_k_m"],
        "test_file": str(write_rows(work / "test.jsonl")),
        "system_prompt": PROMPT,
        "metric": "exact_match",
        "context": 512,
        "out_dir": str(work / "bundle"),
        "facts": FACTS,
    }
    return ExportSpec.from_json(spec | changes)
