"""Serving tokens per second: our engine beside transformers.generate, same prompts and weights.

    python benchmarks/serving.py --prompts 16 --repeat 3

Greedy answers to short questions, at most --max-tokens each. Tokens are those generated; seconds
are those of generating, without loading. Arms are interleaved, so that a busy minute hits them all.
On a busy machine look at tokens per CPU second.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import torch  # noqa: E402

from models_app.serving.engine import Engine, GenerationConfig, default_threads  # noqa: E402
from modelstation.lm.chat import load_renderer  # noqa: E402
from modelstation.lm.gguf_export import export_gguf  # noqa: E402
from modelstation.lm.loading import (  # noqa: E402
    base_folder,
    ensure_offline_weights,
    load_causal_lm,
)

MODELS = REPOSITORY / "var" / "models"
BASE = "smollm2-135m-instruct"
BATCH = 8
SYSTEM = "Answer the customer of a bank in one or two sentences."
SUBJECTS = ("my card", "a transfer", "an exchange rate", "a refund", "my PIN", "a direct debit")
QUESTIONS = ("What can I do about {}?", "Why is there a fee on {}?", "How long does {} take?")
PEER = "transformers.generate, bf16, one by one"


@dataclass(frozen=True)
class Run:
    tokens: int
    seconds: float
    cpu_seconds: float


def main() -> None:
    asked = arguments()
    ensure_offline_weights(MODELS)
    chats = conversations(asked.prompts)
    print(
        f"{cpu_name()}, {torch.get_num_threads()} threads for torch, load {os.getloadavg()[0]:.1f} "
        f"at the start; {BASE}, {asked.prompts} prompts, at most {asked.max_tokens} tokens each, "
        f"{asked.repeat} runs\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        arms = transformers_arms(asked.max_tokens) | engine_arms(Path(folder), asked.max_tokens)
        found = {name: [] for name in arms}
        for _ in range(asked.repeat):
            for name, generate in arms.items():
                found[name].append(measured(generate, chats))
    print(table(found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--repeat", type=int, default=3)
    return parser.parse_args()


def conversations(count: int) -> list[list[dict[str, str]]]:
    texts = [question.format(subject) for question in QUESTIONS for subject in SUBJECTS]
    return [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"Customer {number}: {texts[number % len(texts)]}"},
        ]
        for number in range(count)
    ]


def transformers_arms(max_tokens: int) -> dict[str, Callable]:
    folder = base_folder(MODELS, BASE)
    renderer, model = load_renderer(folder), load_causal_lm(folder, torch.bfloat16).eval()

    def generate(chats, size):
        prompts = [renderer.render_prompt(chat) for chat in chats]
        batches = [prompts[i : i + size] for i in range(0, len(prompts), size)]
        return sum(generated_tokens(model, renderer, batch, max_tokens) for batch in batches)

    return {
        PEER: lambda chats: generate(chats, 1),
        f"transformers.generate, bf16, batches of {BATCH}": lambda chats: generate(chats, BATCH),
    }


def generated_tokens(model, renderer, prompts: list[list[int]], max_tokens: int) -> int:
    """Padded on the left; counts each answer up to and with the token that ends it."""
    width, pad = max(map(len, prompts)), renderer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=mask, max_new_tokens=max_tokens, do_sample=False)
    answers = out[:, width:].tolist()
    eos = renderer.eos_token_id
    return sum(answer.index(eos) + 1 if eos in answer else len(answer) for answer in answers)


def engine_arms(folder: Path, max_tokens: int) -> dict[str, Callable]:
    config = GenerationConfig(max_tokens=max_tokens)
    arms: dict[str, Callable] = {}
    for quantization in ("q8_0", "f16"):
        for threads in sorted({default_threads(), torch.get_num_threads()}):
            gguf = folder / f"{quantization}.gguf"
            export_gguf(base_folder(MODELS, BASE), gguf, quantization=quantization)
            engine = Engine(gguf, base_folder(MODELS, BASE), n_ctx=512, n_threads=threads)
            name = f"ModelStation, {quantization}, {threads} thread{'s' * (threads > 1)}"
            arms |= one_by_one_and_together(name, engine, config)
    return arms


def one_by_one_and_together(name: str, engine: Engine, config: GenerationConfig) -> dict:
    def one_by_one(chats):
        return sum(engine.generate(chat, config).completion_tokens for chat in chats)

    def together(chats):
        return sum(answer.completion_tokens for answer in engine.generate_many(chats, config))

    return {f"{name}, one by one": one_by_one, f"{name}, together": together}


def measured(generate: Callable, chats: list) -> Run:
    started, cpu_started = time.perf_counter(), time.process_time()
    tokens = generate(chats)
    return Run(tokens, time.perf_counter() - started, time.process_time() - cpu_started)


def table(found: dict[str, list[Run]]) -> str:
    peer = median_rate(found[PEER])
    lines = [
        "| arm | tokens/s, median | lowest to highest | ratio | tokens per CPU second | tokens |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, runs in found.items():
        rates = [run.tokens / run.seconds for run in runs]
        per_cpu = statistics.median(run.tokens / run.cpu_seconds for run in runs)
        lines.append(
            f"| {name} | {median_rate(runs):.1f} | {min(rates):.1f} to {max(rates):.1f} | "
            f"{median_rate(runs) / peer:.1f} | {per_cpu:.1f} | {runs[-1].tokens} |"
        )
    return "\n".join(lines)


def median_rate(runs: list[Run]) -> float:
    return statistics.median(run.tokens / run.seconds for run in runs)


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
