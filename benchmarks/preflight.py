"""The preflight's promises beside what runs really took: minutes and peak memory of 20 varied runs.

    python benchmarks/preflight.py                       # measure all 20, print the table
    python benchmarks/preflight.py --only 0,4,9          # a few of them
    python benchmarks/preflight.py --points POINTS       # compare runs measured before, run nothing
    python benchmarks/preflight.py --points POINTS --calibrate    # print constants fitted to them

Each run is the real training child (`python -m training.runs.child SPEC`) in a process of its own,
from its start to its last artifact. Its peak memory is what the kernel says at its end. Rows are
made of words, so that any length can be made. The machine is measured first, as a worker does
it. Nothing is corrected by earlier runs here. Leave the machine alone meanwhile: another busy core
makes times worthless.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

SYSTEM = "Read the message and answer with the words that matter, and with nothing else."
TINY, BASE = "tiny", "smollm2-135m-instruct"
WORDS = (
    "card", "account", "bank", "money", "transfer", "please", "help", "lost", "the", "my", "when",
    "where", "number", "order", "ticket", "laptop", "invoice", "meeting", "report", "printer",
    "network", "password", "office", "travel", "booking", "refund", "delay", "answer",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A run: `words` in, `answer` words out, and what is asked of the trainer."""

    base: str
    rows: int
    words: int
    answer: int
    config: dict = field(default_factory=dict)


CASES = (
    Case(TINY, 60, 20, 2, {"max_steps": 30}),
    Case(TINY, 400, 60, 20, {"max_steps": 60}),
    Case(TINY, 200, 200, 60, {"method": "full", "max_steps": 40}),
    Case(BASE, 60, 15, 2, {"max_steps": 24, "tokens_per_batch": 256}),
    Case(BASE, 120, 30, 2, {"max_steps": 24, "tokens_per_batch": 1024}),
    Case(BASE, 200, 30, 2, {"max_steps": 16, "tokens_per_batch": 2048}),
    Case(BASE, 120, 30, 30, {"max_steps": 16, "tokens_per_batch": 1024}),
    Case(BASE, 60, 120, 60, {"max_steps": 12, "tokens_per_batch": 1024}),
    Case(BASE, 60, 250, 10, {"max_steps": 10, "tokens_per_batch": 2048}),
    Case(BASE, 40, 600, 40, {"max_steps": 8, "tokens_per_batch": 1024}),
    Case(BASE, 120, 30, 2, {"max_steps": 20, "tokens_per_batch": 1024, "lora_rank": 64}),
    Case(BASE, 120, 30, 2, {"max_steps": 20, "tokens_per_batch": 512, "lora_rank": 128}),
    Case(BASE, 120, 30, 2, {"max_steps": 20, "tokens_per_batch": 1024, "lora_rank": 8}),
    Case(BASE, 120, 30, 2, {"max_steps": 16, "tokens_per_batch": 1024, "method": "dora"}),
    Case(BASE, 120, 30, 2, {"max_steps": 16, "tokens_per_batch": 1024, "method": "full"}),
    Case(BASE, 60, 120, 60, {"max_steps": 10, "tokens_per_batch": 2048, "method": "full"}),
    Case(BASE, 120, 60, 10, {"max_steps": 10, "tokens_per_batch": 4096}),
    Case(BASE, 120, 60, 10, {"max_steps": 8, "tokens_per_batch": 4096, "micro_batch_tokens": 1024}),
    Case(BASE, 60, 60, 100, {"max_steps": 10, "tokens_per_batch": 1024, "dtype": "float32"}),
    Case(BASE, 300, 20, 2, {"max_steps": 40, "tokens_per_batch": 512, "eval_every": 10}),
)


def main() -> None:
    options = arguments()
    points = read_points(options.points) if options.points else measure_all(options)
    if options.calibrate:
        print(calibrated(points))
        return
    print(table(points))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="numbers of cases, with commas")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "var" / "models")
    parser.add_argument("--keep", type=Path, help="append what was measured to this file")
    parser.add_argument("--points", type=Path, help="a file that --keep wrote")
    parser.add_argument("--calibrate", action="store_true")
    return parser.parse_args()


def measure_all(options: argparse.Namespace) -> list[dict]:
    chosen = [int(n) for n in options.only.split(",")] if options.only else range(len(CASES))
    points = []
    with tempfile.TemporaryDirectory() as folder:
        machine = measured_machine()
        for number in chosen:
            point = measure(CASES[number], number, Path(folder), options.models)
            points.append({**point, "machine": machine})
            print(f"{number:>2} {said(point)}", file=sys.stderr)
            if options.keep:
                with options.keep.open("a") as stream:
                    stream.write(json.dumps(points[-1]) + "\n")
    return points


def measured_machine() -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "training.plan.estimate.measure"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(case: Case, number: int, folder: Path, models: Path) -> dict:
    work = folder / str(number)
    spec = write_spec(case, number, work, models)
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "training.runs.child", str(spec)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    last: dict = {}
    for line in child.stdout:
        event = json.loads(line)
        last = event if event["event"] in ("result", "error") else last
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return {
        "case": number,
        "exit": child.returncode,
        "seconds": time.monotonic() - started,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
        "result": {key: last.get(key) for key in ("steps", "seconds", "config")},
        "error": last.get("message", ""),
        "data": asdict(data_facts(case, work, models)),
        "shape": asdict(shape_of(base_folder(case, folder, models))),
    }


def write_spec(case: Case, number: int, work: Path, models: Path) -> Path:
    work.mkdir(parents=True)
    for name, rows in (("train", case.rows), ("valid", min(64, case.rows // 5))):
        lines = (json.dumps({"messages": row}) for row in conversations(case, rows, name))
        (work / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    spec = {
        "dataset": str(work),
        "base_folder": str(base_folder(case, work.parent, models)),
        "base_name": case.base,
        "out_dir": str(work / "out"),
        "checkpoints_dir": str(work / "checkpoints"),
        "config": {"device": "cpu", **case.config},
    }
    (work / "spec.json").write_text(json.dumps(spec))
    return work / "spec.json"


def base_folder(case: Case, folder: Path, models: Path) -> Path:
    if case.base != TINY:
        return models / case.base
    if not (folder / TINY).is_dir():
        from modelstation.lm.testing import make_tiny_llama

        make_tiny_llama(folder / TINY)
    return folder / TINY


def conversations(case: Case, rows: int, seed: str) -> list[list[dict]]:
    rng = random.Random(f"{case} {seed}")
    return [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": words(rng, case.words)},
            {"role": "assistant", "content": words(rng, case.answer)},
        ]
        for _ in range(rows)
    ]


def words(rng: random.Random, count: int) -> str:
    """About `count` of them: no two rows of a dataset are of one length."""
    return " ".join(rng.choices(WORDS, k=max(1, round(count * rng.uniform(0.5, 1.5)))))


def data_facts(case: Case, work: Path, models: Path):
    from modelstation.lm.chat import load_renderer
    from training.plan.estimate.token_facts import count_tokens
    from training.recipes.rows import read_conversations

    rows = read_conversations(work / "train.jsonl")
    renderer = load_renderer(base_folder(case, work.parent, models))
    return count_tokens(rows, renderer, rows=len(rows), valid_rows=min(64, case.rows // 5))


def shape_of(folder: Path):
    from training.plan.estimate.shapes import read_shape

    return read_shape(folder)


def read_points(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def said(point: dict) -> str:
    return (
        f"{name_of(CASES[point['case']])}: {point['seconds']:.1f} s, "
        f"{point['peak_bytes'] / 1e9:.2f} GB{point['error'] and ': ' + point['error']}"
    )


def name_of(case: Case) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in case.config.items())
    return f"{case.base}, {case.rows} rows of {case.words}+{case.answer} words, {settings}"


# --- predicted beside actual ----------------------------------------------------------------------


def estimate_of(point: dict, by=None):
    """Estimate what the preflight would have said of this run on an unlimited machine."""
    from training.plan.estimate.costs import CALIBRATION
    from training.plan.estimate.estimates import Facts, Machine
    from training.plan.estimate.preflight import preflight
    from training.plan.estimate.shapes import BaseShape
    from training.plan.estimate.token_facts import DataFacts
    from training.recipes.config import config_from

    machine = Machine(**{**point["machine"], "available_bytes": 0}, is_measured=True)
    facts = Facts(DataFacts(**point["data"]), BaseShape(**point["shape"]))
    config = config_from({"device": "cpu", **CASES[point["case"]].config})
    return preflight(config, facts, machine, by or CALIBRATION)


def table(points: list[dict]) -> str:
    lines = [
        "| run | minutes | predicted | error | GB | predicted | error |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    times, sizes = [], []
    for point in (point for point in points if point["exit"] == 0):
        estimate = estimate_of(point)
        minutes, size = point["seconds"] / 60, point["peak_bytes"]
        times.append(estimate.minutes.expected / minutes - 1)
        sizes.append(estimate.memory_bytes.expected / size - 1)
        lines.append(
            f"| {name_of(CASES[point['case']])} | {minutes:.2f} | {estimate.minutes.expected:.2f} "
            f"| {times[-1]:+.0%} | {size / 1e9:.2f} | {estimate.memory_bytes.expected / 1e9:.2f} "
            f"| {sizes[-1]:+.0%} |"
        )
    return "\n".join([*lines, "", summary(points, times, sizes)])


def summary(points: list[dict], times: list[float], sizes: list[float]) -> str:
    died = [point for point in points if point["exit"] != 0]
    return (
        f"{len(points)} runs, {len(died)} died; median error of time "
        f"{statistics.median(map(abs, times)):.0%} (target 25 %), of memory "
        f"{statistics.median(map(abs, sizes)):.0%} (target 15 %)\n"
        + "\n".join(said(point) for point in died)
    )


# --- fitting the constants ------------------------------------------------------------------------

# Of these, each is scaled until the points are met best; the others are left alone.
TIME_CONSTANTS = ("load", "efficiency", "half_tokens", "dora", "per_micro_batch_layer")
MEMORY_CONSTANTS = ("process", "hidden", "intermediate", "logits", "workspace")


def calibrated(points: list[dict]) -> str:
    """Constants that make the relative errors small, and how well those fitted to every second
    point foretell the others.
    """
    from training.plan.estimate.costs import CALIBRATION

    good = [point for point in points if point["exit"] == 0]
    halves = (good[::2], good[1::2])
    crossed = [errors_of(other, fitted(half)) for half, other in (halves, halves[::-1])]
    times, sizes = (first + second for first, second in zip(*crossed, strict=True))
    result = fitted(good)
    moved = {n: v for n, v in asdict(result).items() if v != getattr(CALIBRATION, n)}
    lines = [f"{name} = {value:.4g}" for name, value in moved.items()]
    crossed_summary = f"Fitted to one half, on the other half: {summary(good, times, sizes)}"
    return "\n".join([*lines, "", crossed_summary, summary(good, *errors_of(good, result))])


def fitted(points: list[dict]):
    from training.plan.estimate.costs import CALIBRATION

    result = fit(CALIBRATION, TIME_CONSTANTS, lambda by: errors_of(points, by)[0])
    return fit(result, MEMORY_CONSTANTS, lambda by: errors_of(points, by)[1])


def fit(start, names: tuple[str, ...], errors):
    """Multiplies each named constant by what makes the errors smallest, held near where it was."""
    import numpy as np
    from scipy.optimize import least_squares

    def moved(scales):
        return replace(
            start,
            **{n: getattr(start, n) * float(np.exp(s)) for n, s in zip(names, scales, strict=True)},
        )

    def residuals(scales):
        return [*errors(moved(scales)), *(0.03 * scale for scale in scales)]

    return moved(least_squares(residuals, [0.0] * len(names), loss="soft_l1", f_scale=0.2).x)


def errors_of(points: list[dict], by=None) -> tuple[list[float], list[float]]:
    """Relative errors of the time and of the peak memory."""
    pairs = [(point, estimate_of(point, by)) for point in points]
    times = [said.minutes.expected * 60 / point["seconds"] - 1 for point, said in pairs]
    sizes = [said.memory_bytes.expected / point["peak_bytes"] - 1 for point, said in pairs]
    return times, sizes


if __name__ == "__main__":
    main()
