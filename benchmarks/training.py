"""Training tokens per second: our recipe beside TRL's SFTTrainer on the same rows, steps and base.

    python benchmarks/training.py --rows 160 --peer-python PATH_OF_A_PYTHON_WITH_TRL

TRL is no part of the installation: put requirements-bench.in into a virtual environment of its own
and name that one's interpreter. Rows are bank intents of the real public data where they are on the
machine, else those of --dataset FOLDER (train.jsonl and valid.jsonl). Tokens are those of the rows,
without padding, for every arm; seconds are those of the training loop, without loading. Each arm
runs in a process of its own, one after another. On a busy machine look at tokens per CPU second.
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
SYSTEM = (
    "Classify the customer's message to the bank into one support intent. "
    "Answer with the intent label only."
)
OURS, OURS_DEFAULT, TRL, TRL_TUNED = "ours", "ours-default", "trl", "trl-tuned"
ARMS = {
    TRL: "TRL SFTTrainer, defaults",
    TRL_TUNED: "TRL SFTTrainer, tuned: bf16 weights, grouped by length, no checkpointing",
    OURS: "ModelStation, the peer's batches of 16 rows",
    OURS_DEFAULT: "ModelStation, its own batches",
}


def main() -> None:
    asked = arguments()
    if asked.arm:
        print(json.dumps(RUN[asked.arm](asked)))
        return
    with tempfile.TemporaryDirectory() as folder:
        asked.dataset = asked.dataset or bank_intents(Path(folder), asked.rows)
        print(
            f"{machine()}, {asked.rows} rows, {steps(asked.rows)} steps of {ROWS_PER_STEP} rows\n"
        )
        found = {arm: [] for arm in ARMS}
        for _ in range(asked.repeat):  # interleaved, so that a busy minute hits every arm
            for arm in ARMS:
                found[arm].append(measure(arm, asked))
    print(table(found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument(
        "--base", type=Path, default=REPOSITORY / "var/models/smollm2-135m-instruct"
    )
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    return parser.parse_args()


def steps(rows: int) -> int:
    return -(-rows // ROWS_PER_STEP)


def bank_intents(folder: Path, rows: int) -> Path:
    data = Path(os.environ.get("MODELSTATION_DATA") or REPOSITORY.parent / "shared" / "data")
    source = data / "corpus" / "banking77.jsonl.gz"
    if not source.is_file():
        sys.exit(
            "No real data here: give --dataset, or name the data's folder in MODELSTATION_DATA."
        )
    with gzip.open(source, "rt", encoding="utf-8") as stream:
        found = [json.loads(line)["messages"] for line in stream]
    spread = found[:: max(1, len(found) // rows)][:rows]
    lines = [
        {
            "messages": [
                {"role": "system", "content": SYSTEM},
                *(m for m in row if m["role"] != "system"),
            ]
        }
        for row in spread
    ]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "valid.jsonl").write_text("")
    return folder


def measure(arm: str, asked: argparse.Namespace) -> dict | None:
    """The arm's {"tokens_per_second", "seconds", "loss"}, or None when it could not run."""
    python = asked.peer_python if arm in (TRL, TRL_TUNED) else sys.executable
    command = [python, __file__, "--arm", arm, "--rows", str(asked.rows)]
    command += ["--dataset", str(asked.dataset), "--base", str(asked.base)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        print(f"{arm} could not run: {child.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    found = json.loads(child.stdout.strip().splitlines()[-1])
    print(f"{ARMS[arm]}: {found['tokens_per_second']:.0f} tokens/s", file=sys.stderr)
    return found


def run_ours(asked: argparse.Namespace) -> dict:
    from training.recipes import lora_sft
    from training.recipes.config import TrainingConfig

    # The peer's schedule: no warm-up, linear decay to nothing.
    config = TrainingConfig(
        learning_rate=LEARNING_RATE, epochs=1.0, eval_every=0, warmup_ratio=0.0, final_lr_ratio=0.0
    )
    prepared = lora_sft.prepare(asked.dataset, asked.base, config)
    if asked.arm == OURS:
        by_length = sorted(range(len(prepared.train)), key=lambda i: len(prepared.train[i].inputs))
        batches = [
            by_length[i : i + ROWS_PER_STEP] for i in range(0, len(by_length), ROWS_PER_STEP)
        ]
        random.Random(0).shuffle(batches)
        prepared = replace(prepared, steps=batches)
    model = lora_sft.setup_model(asked.base, prepared.config)
    cpu_before = time.process_time()
    outcome = lora_sft.train(model, prepared, lambda *args, **kwargs: None)
    cpu_seconds = time.process_time() - cpu_before
    loss = statistics.mean(outcome.losses)
    return summary(outcome.train_tokens, outcome.seconds, cpu_seconds, loss)


def run_trl(asked: argparse.Namespace) -> dict:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from training.recipes.config import TrainingConfig
    from training.recipes.lora_sft import prepare
    from training.recipes.rows import read_conversations

    rows = read_conversations(asked.dataset / "train.jsonl")
    data = Dataset.from_list([{"prompt": row[:-1], "completion": row[-1:]} for row in rows])
    tuned = asked.arm == TRL_TUNED
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=str(asked.base),
            args=SFTConfig(output_dir=folder, **common_settings(rows), **(TUNED if tuned else {})),
            train_dataset=data,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
        )
        cpu_before = time.process_time()
        found = trainer.train().metrics
        cpu_seconds = time.process_time() - cpu_before
    tokens = sum(
        len(row.inputs) for row in prepare(asked.dataset, asked.base, TrainingConfig()).train
    )
    return summary(tokens, found["train_runtime"], cpu_seconds, found["train_loss"])


TUNED = {
    "model_init_kwargs": {"dtype": "bfloat16"},
    "train_sampling_strategy": "group_by_length",
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


COLUMNS = ("tokens_per_second", "tokens_per_cpu_second", "seconds", "loss")


def table(found: dict[str, list]) -> str:
    """Medians over the repeats; the ratio is of tokens per second, against the tuned peer."""
    runs = {arm: [run for run in each if run] for arm, each in found.items()}
    middle = {
        arm: {key: statistics.median(run[key] for run in each) for key in COLUMNS}
        for arm, each in runs.items()
        if each
    }
    lines = [
        "| arm | tokens/s | ratio to TRL tuned | tokens/CPU-s | seconds | mean loss |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *(table_line(arm, middle) for arm in ARMS)])


def table_line(arm: str, middle: dict[str, dict[str, float]]) -> str:
    if arm not in middle:
        return f"| {ARMS[arm]} | not run | | | | |"
    speed, per_cpu, seconds, loss = (middle[arm][key] for key in COLUMNS)
    peer = middle.get(TRL_TUNED)
    ratio = f"{speed / peer['tokens_per_second']:.2f}" if peer else ""
    return f"| {ARMS[arm]} | {speed:.0f} | {ratio} | {per_cpu:.0f} | {seconds:.1f} | {loss:.3f} |"


if __name__ == "__main__":
    main()
