"""Seconds of a whole evaluation, base and tuned with probes: ours beside asking one by one.

    python benchmarks/evaluation.py --rows 300

Rows of bank messages (the public held-out rows where MODELSTATION_DATA holds them, made ones
else) go through the evaluation child as a worker runs it. The base stands in for the tuned model
under another name, unless --tuned names a folder with a GGUF: what is asked costs the same. "again"
is a second evaluation of the same rows, whose base answers are kept. The peer asks one by one, on a
sample, with the same engine and threads; its seconds are scaled to all rows.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from models_app.serving.engine import Engine, GenerationConfig  # noqa: E402
from training.plan.estimate.measure import idle_cores  # noqa: E402
from training.recipes.rows import read_conversations  # noqa: E402
from training.scoring.probes import MAX_TOKENS, all_probes  # noqa: E402

BASE = REPOSITORY / "var" / "models" / "smollm2-135m-instruct"
GGUF = "model-q8_0.gguf"
SYSTEM = (
    "Classify the customer's message to the bank into one support intent. "
    "Answer with the intent label only."
)


def main() -> None:
    options = arguments()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f} at the start, {idle_cores()} threads\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = write_spec(folder, options.rows, options.tuned)
        print("| arm | seconds | CPU seconds | rows/s, both models |\n|---|---:|---:|---:|")
        for arm in ("ours", "again"):
            before = cpu_seconds(resource.RUSAGE_CHILDREN)
            seconds, report = evaluated(folder, spec)
            used = cpu_seconds(resource.RUSAGE_CHILDREN) - before
            print(line(arm, seconds, used, options.rows), flush=True)
            for side in ("base", "tuned"):
                said = {key: report[side][key] for key in ("score", "seconds", "tokens_per_second")}
                print(f"<!-- {arm} {side}: {said}, asked {report[side]['asked']} -->")
        seconds, used = one_by_one(spec, options.sample)
        name = f"one by one ({options.sample} rows and probes, scaled)"
        print(line(name, seconds, used, options.rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--tuned", type=Path, default=BASE)
    return parser.parse_args()


def write_spec(folder: Path, rows: int, tuned: Path) -> dict:
    data = os.environ.get("MODELSTATION_DATA", "")
    source = Path(data) / "eval" / "banking77_intent.jsonl"
    lines = source.read_text().splitlines() if data and source.is_file() else made_rows(rows)
    (folder / "test.jsonl").write_text("\n".join(lines[:rows]) + "\n")
    spec = {
        "test_file": str(folder / "test.jsonl"),
        "base": {"gguf": str(BASE / GGUF), "tokenizer_folder": str(BASE)},
        "tuned": {"gguf": str(tuned / GGUF), "tokenizer_folder": str(tuned)},
        "system_prompt": SYSTEM,
        "metric": "exact_match",
        "criteria": ["Exact label accuracy of at least 75%"],
        "out_dir": str(folder / "out"),
        "cache_dir": str(folder / "kept"),
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return spec


def made_rows(rows: int) -> list[str]:
    subjects = ("card", "transfer", "refund", "PIN", "exchange rate")
    return [
        json.dumps(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": f"Where is my {subjects[i % 5]}, no. {i}?",
                    },
                    {"role": "assistant", "content": f"{subjects[i % 5].lower()}_status"},
                ]
            }
        )
        for i in range(rows)
    ]


def evaluated(folder: Path, spec: dict) -> tuple[float, dict]:
    """Wall time of the whole child: imports, loading, answers, grading and report."""
    started = time.monotonic()
    command = [sys.executable, "-m", "training.evaluations.child", str(folder / "spec.json")]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    seconds = time.monotonic() - started
    return seconds, json.loads((Path(spec["out_dir"]) / "report.json").read_text())


def one_by_one(spec: dict, sample: int) -> tuple[float, float]:
    """Seconds and CPU seconds for all rows and probes of both sides, from the first `sample` of
    each.
    """
    report = json.loads((Path(spec["out_dir"]) / "report.json").read_text())
    rows = read_conversations(Path(spec["test_file"]))
    system = {"role": "system", "content": SYSTEM}
    prompts = [
        [system, *(turn for turn in row[:-1] if turn["role"] != "system")] for row in rows[:sample]
    ]
    probes = [probe.messages for probe in all_probes()]
    engine = Engine(BASE / GGUF, BASE, n_ctx=1024, n_threads=idle_cores(), n_parallel=1)
    row = per_answer(engine, prompts, report["max_tokens"])
    probe = per_answer(engine, probes[:sample], MAX_TOKENS)
    engine.close()
    wall, used = (2 * (row[i] * len(rows) + probe[i] * len(probes)) for i in (0, 1))
    return wall, used


def per_answer(engine: Engine, prompts: list, max_tokens: int) -> tuple[float, float]:
    started, before = time.monotonic(), cpu_seconds(resource.RUSAGE_SELF)
    for prompt in prompts:
        engine.generate(prompt, GenerationConfig(max_new_tokens=max_tokens))
    wall, used = time.monotonic() - started, cpu_seconds(resource.RUSAGE_SELF) - before
    return wall / len(prompts), used / len(prompts)


def cpu_seconds(of: int) -> float:
    """On a busy machine the figure to look at."""
    usage = resource.getrusage(of)
    return usage.ru_utime + usage.ru_stime


def line(arm: str, seconds: float, used: float, rows: int) -> str:
    return f"| {arm} | {seconds:.1f} | {used:.1f} | {2 * rows / seconds:.1f} |"


if __name__ == "__main__":
    main()
