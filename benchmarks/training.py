"""Training tokens per second: our recipe beside TRL's SFTTrainer on the same rows, steps and base.

    python benchmarks/training.py --rows 192 --peer-python PATH_OF_A_PYTHON_WITH_TRL

TRL is no part of the installation: put requirements-bench.in into a virtual environment of its own
and name that one's interpreter. Rows are a mix of every source of the real public data where it is
on the machine, else those of --dataset FOLDER (train.jsonl and valid.jsonl). All arms get the same
token ids and the same learnt tokens, batches of 16 rows, steps, rank and learning rate; the tuned
peer also gets our order, in which rows of like length share a batch. The loss at the end is that of
the tuned model on the same held-out rows, computed alike for all. Tokens are those of the rows,
without padding; seconds are those of the training loop, without loading. Each arm runs in a process
of its own, one after another. `of GEMM` is the share of the bfloat16 rate that this machine reaches
on one large product, measured in the same process: floating-point operations that were really done
(a prompt that rows share counts once), 4 per trunk weight and token, 4 per head weight and answer
token, 6 per adapter weight and token, and attention.
"""

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

ROWS_PER_STEP = 16
LEARNING_RATE = 1e-3
RANK = 16
HELD_OUT = 64
OURS, OURS_DEFAULT, TRL, TRL_TUNED = "ours", "ours-default", "trl", "trl-tuned"
ARMS = {
    TRL: "TRL SFTTrainer, defaults",
    TRL_TUNED: "TRL SFTTrainer, tuned: bf16, rows of like length, no checkpointing",
    OURS: "ModelStation, the peer's batches of 16 rows",
    OURS_DEFAULT: "ModelStation, its own batches",
}


def main() -> None:
    options = arguments()
    if options.arm:
        print(json.dumps(RUN[options.arm](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.dataset = options.dataset or real_mix(Path(folder), options.rows)
        print(f"{machine()}, {options.rows} rows, {steps(options.rows)} steps of {ROWS_PER_STEP}\n")
        result = {arm: [] for arm in ARMS}
        for repeat in range(options.repeat):  # interleaved, so that a busy minute hits every arm
            for arm in options.arms:
                if arm != TRL or repeat == 0:  # the slowest, and far from every mark
                    result[arm].append(measure(arm, options))
    print(table(result))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--dataset", type=Path)
    parser.add_argument(
        "--base", type=Path, default=REPOSITORY / "var/models/smollm2-135m-instruct"
    )
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    return parser.parse_args()


def steps(rows: int) -> int:
    return -(-rows // ROWS_PER_STEP)


def real_mix(folder: Path, rows: int) -> Path:
    """As many rows of each source, drawn by a fixed seed."""
    data = Path(os.environ.get("MODELSTATION_DATA") or REPOSITORY.parent / "shared" / "data")
    sources = sorted((data / "corpus").glob("*.jsonl.gz"))
    if not sources:
        sys.exit(
            "No real data here: give --dataset, or name the data's folder in MODELSTATION_DATA."
        )
    draw, result = random.Random(0), []
    each = -(-(rows + HELD_OUT) // len(sources))
    for source in sources:
        with gzip.open(source, "rt", encoding="utf-8") as stream:
            result += draw.sample([json.loads(line)["messages"] for line in stream], each)
    draw.shuffle(result)
    lines = [json.dumps({"messages": messages}) for messages in result]
    (folder / "train.jsonl").write_text("\n".join(lines[:rows]))
    (folder / "valid.jsonl").write_text("\n".join(lines[rows : rows + HELD_OUT]))
    return folder


def measure(arm: str, options: argparse.Namespace) -> dict | None:
    """Return the arm's {"tokens_per_second", "seconds", "loss"}, or None when it could not run."""
    python = options.peer_python if arm in (TRL, TRL_TUNED) else sys.executable
    command = [python, __file__, "--arm", arm, "--rows", str(options.rows)]
    command += ["--dataset", str(options.dataset), "--base", str(options.base)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        print(f"{arm} could not run: {child.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    result = json.loads(child.stdout.strip().splitlines()[-1])
    print(f"{ARMS[arm]}: {result['tokens_per_second']:.0f} tokens/s", file=sys.stderr)
    return result


def prepared_rows(options: argparse.Namespace, arm: str):
    """Return the same rows and settings for every arm; the peer's schedule: no warm-up, even
    decay.
    """
    from training.recipes import preparing
    from training.recipes.config import TrainingConfig

    config = TrainingConfig(
        learning_rate=LEARNING_RATE, lora_rank=RANK, epochs=1.0, eval_every=0,
        warmup_ratio=0.0, final_lr_ratio=1 / steps(options.rows),
    )  # fmt: skip
    prepared = preparing.prepare(options.dataset, options.base, config)
    if arm == OURS_DEFAULT:
        return prepared
    by_length = sorted(range(len(prepared.train)), key=lambda i: len(prepared.train[i].inputs))
    batches = [by_length[i : i + ROWS_PER_STEP] for i in range(0, len(by_length), ROWS_PER_STEP)]
    random.Random(0).shuffle(batches)
    whole = replace(prepared.config, micro_batch_tokens=None)
    return replace(prepared, config=whole, steps=batches)


def run_ours(options: argparse.Namespace) -> dict:
    from training.recipes import lora_sft

    prepared = prepared_rows(options, options.arm)
    rate = gemm_rate()
    model = lora_sft.setup_model(options.base, prepared.config)
    cpu_before = time.process_time()
    outcome = lora_sft.train(model, prepared, lambda *args, **kwargs: None)
    cpu_seconds = time.process_time() - cpu_before
    loss = held_out_loss(model, prepared)
    result = summary(outcome.train_tokens, outcome.seconds, cpu_seconds, loss)
    return result | {"share": operations(model, prepared) / outcome.seconds / rate}


def held_out_loss(model, prepared) -> float:
    from training.recipes import lora_sft

    batches = lora_sft.batches_of(prepared.valid, prepared.config)
    return lora_sft.measure(model, batches, prepared.config)[0]


def gemm_rate() -> float:
    """Operations per second of a bfloat16 product of 2048 x 2048 x 2048, the best of five."""
    import torch

    a = torch.randn(2048, 2048).bfloat16()
    a @ a
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(4):
            a @ a
        seconds.append(time.perf_counter() - began)
    return 4 * 2 * 2048**3 / min(seconds)


def operations(model, prepared) -> float:
    """Floating-point operations of the run's forward and backward passes."""
    from training.recipes.data import collate

    config = model.config
    head = config.vocab_size * config.hidden_size
    adapter = sum(p.numel() for p in model.parameters() if p.requires_grad)
    trunk = sum(p.numel() for p in model.parameters() if not p.requires_grad) - head
    total = 0.0
    for rows in prepared.steps:
        chosen = [prepared.train[i] for i in rows]
        batch = collate(chosen)
        tokens, answers = batch.input_ids.numel(), len(batch.targets)
        pairs = sum(len(row.inputs) ** 2 / 2 for row in chosen)
        attention = 3 * 4 * config.num_hidden_layers * config.hidden_size * pairs
        total += tokens * (4 * trunk + 6 * adapter) + 4 * head * answers + attention
    return total


def run_trl(options: argparse.Namespace) -> dict:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from training.recipes.kernels import install

    prepared = prepared_rows(options, options.arm)
    rows = [prepared.train[i] for batch in prepared.steps for i in batch]
    tuned = options.arm == TRL_TUNED
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=str(options.base),
            args=SFTConfig(output_dir=folder, **common_settings(rows), **(TUNED if tuned else {})),
            train_dataset=Dataset.from_list([as_peer_row(row) for row in rows]),
            peft_config=LoraConfig(r=RANK, lora_alpha=32, target_modules="all-linear"),
        )
        cpu_before = time.process_time()
        result = trainer.train().metrics
        cpu_seconds = time.process_time() - cpu_before
    model = trainer.model.bfloat16() if not tuned else trainer.model
    install(model.get_base_model())
    tokens = sum(len(row.inputs) for row in rows)
    return summary(tokens, result["train_runtime"], cpu_seconds, held_out_loss(model, prepared))


def as_peer_row(row) -> dict:
    """Token ids, and which of them are learnt."""
    return {
        "input_ids": [*row.inputs, row.targets[-1]],
        "completion_mask": [0, *map(int, row.learnt)],
    }


TUNED = {
    "model_init_kwargs": {"dtype": "bfloat16"},
    "train_sampling_strategy": "sequential",  # the rows come in our order: length by length
    "gradient_checkpointing": False,
}


def common_settings(rows: list) -> dict:
    import torch

    return {
        "per_device_train_batch_size": ROWS_PER_STEP,
        "max_steps": steps(len(rows)),
        "learning_rate": LEARNING_RATE,
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
        "completion_only_loss": True,
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 0,
    }


RUN = {OURS: run_ours, OURS_DEFAULT: run_ours, TRL: run_trl, TRL_TUNED: run_trl}


def summary(tokens: int, seconds: float, cpu_seconds: float, loss: float) -> dict:
    return {
        "tokens_per_second": tokens / seconds,
        "tokens_per_cpu_second": tokens / cpu_seconds,
        "seconds": seconds,
        "loss": loss,
    }


def machine() -> str:
    import torch

    load = os.getloadavg()[0]
    return f"{platform.machine()}, {torch.get_num_threads()} threads, load {load:.1f} at the start"


COLUMNS = ("tokens_per_second", "tokens_per_cpu_second", "seconds", "loss", "share")


def table(result: dict[str, list]) -> str:
    """Medians over the repeats; the ratio is of tokens per second, against the tuned peer."""
    runs = {arm: [run for run in each if run] for arm, each in result.items()}
    middle = {
        arm: {key: statistics.median(run[key] for run in each) for key in COLUMNS if key in each[0]}
        for arm, each in runs.items()
        if each
    }
    lines = [
        "| arm | tokens/s | to TRL tuned | to its defaults | tokens/CPU-s | seconds | final loss "
        "| of GEMM |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *(table_line(arm, middle) for arm in ARMS)])


def table_line(arm: str, middle: dict[str, dict[str, float]]) -> str:
    if arm not in middle:
        return f"| {ARMS[arm]} | not run | | | | | | |"
    own = middle[arm]
    speed = own["tokens_per_second"]
    ratios = [
        f"{speed / middle[peer]['tokens_per_second']:.2f}" if peer in middle else ""
        for peer in (TRL_TUNED, TRL)
    ]
    share = f"{own['share']:.0%}" if "share" in own else ""
    return (
        f"| {ARMS[arm]} | {speed:.0f} | {ratios[0]} | {ratios[1]} "
        f"| {own['tokens_per_cpu_second']:.0f} | {own['seconds']:.1f} | {own['loss']:.4f} "
        f"| {share} |"
    )


if __name__ == "__main__":
    main()
