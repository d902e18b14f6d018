"""Runs of the recipe that are small enough for a test."""

import json

from modelstation.lm.chat import load_renderer
from training.recipes import lora_sft, preparing
from training.recipes.config import (
    TrainingConfig,
)
from training.recipes.rows import encode

SYSTEM = "Please classify the message with one word."


def conversation(question, answer, system=SYSTEM):
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def write_dataset(folder, rows=12):
    folder.mkdir(parents=True, exist_ok=True)
    requested = ["the question", "this sentence of the customer", "a number", "What is the label?"]
    lines = [
        json.dumps({"messages": conversation(f"{requested[i % 4]} {i}", ["yes", "no"][i % 2])})
        for i in range(rows)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "valid.jsonl").write_text("\n".join(lines[:4]) + "\n")
    return folder


def config(**values):
    settled = {"dtype": "float32", "device": "cpu", "max_steps": 6, "lora_rank": 16}
    return TrainingConfig(**settled | values)


def run(dataset, base, **values):
    prepared = preparing.prepare(dataset, base, config(**values))
    model = lora_sft.setup_model(base, prepared.config)
    return model, lora_sft.train(model, prepared, lambda *args, **kwargs: None)


def adapter_of(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def token_rows(base, *pairs):
    rows, _ = encode([conversation(*pair) for pair in pairs], load_renderer(base), 512)
    return rows
