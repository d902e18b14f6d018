"""How well the checks of a teacher's rows work, and what a model trained on what passes is worth.

The recorded teacher's pools hold planted repeats and wrong rows; `faults.json` says which, and only
this benchmark reads it.

    python -m benchmarks.teacher filters          # rows of each pool through all checks: minutes
    python -m benchmarks.teacher build TASK       # through the product: rows, training, evaluation
    python -m benchmarks.teacher few_shot TASK    # the base with the examples before each row
"""

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.intent import understand
from distillation.teachers import answers, working
from distillation.teachers.filtering.rows import TaughtRow
from distillation.teachers.prompts import Prompt
from modelstation.lm.embedding import load_embedder
from modelstation.testing import shared_data

TASKS = ("cls-app-review-triage", "ext-order-mail", "gen-query-rewrite")
METRIC_OF = dict(zip(TASKS, ("exact_match", "json_equal", "rougeL_f1"), strict=True))
REPEATED = ("said before", "nearly said before")
READERS = {
    "rows": answers.rows_of,
    "outputs": answers.outputs_of,
    "verdicts": answers.verdicts_of,
}


@dataclass
class Reply:
    items: list[Any] | None
    cost: Decimal = Decimal(0)


@dataclass
class PlainAsk:
    """The recorded teacher without budget, table or job."""

    url: str
    stopped: str = ""
    at_once: int = 1
    requests: int = 0

    def ask(self, prompts: Sequence[Prompt]) -> list[Reply]:
        return [Reply(self._one(prompt)) for prompt in prompts]

    def _one(self, prompt: Prompt) -> list[Any]:
        self.requests += 1
        body = {
            "model": "recorded-teacher",
            "messages": prompt.messages,
            "response_format": prompt.response_format,
        }
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            text = json.load(response)["choices"][0]["message"]["content"]
        return READERS[prompt.purpose](prompt, text)


@contextlib.contextmanager
def recorded_teacher(task: str, *options: str) -> Iterator[str]:
    """Serve the recorded rows of a task; yields the base URL."""
    data = shared_data()
    server = data.parent / "tools" / "recorded_teacher.py"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    known = data / "teacher" / f"{task}.unlabelled.jsonl"
    command = [sys.executable, str(server), "--pool", str(data / "teacher" / f"{task}.pool.jsonl")]
    command += ["--known", str(known), "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/stats")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError("The recorded teacher did not start.")


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def requirement_of(task: str) -> Requirement:
    rows = read_rows(shared_data() / "requirements" / "dev.jsonl")
    told = next(row for row in rows if row["id"] == task)
    examples = tuple(Example(e["input"], e["output"]) for e in told["examples"])
    return Requirement(told["requirement"], told["objective"], told["policy"], examples)


def check_pool(task: str, seed: int) -> tuple[list[TaughtRow], int]:
    """All rows of a pool through all checks, as if the teacher had just written them."""
    folder = shared_data() / "teacher"
    requirement = requirement_of(task)
    held_out = [
        Example(row["input"], row["output"]) for row in read_rows(folder / f"{task}.test.jsonl")
    ]
    with recorded_teacher(task, "--seed", str(seed)) as url:
        ask = PlainAsk(url)
        plan = working.Task(
            requirement, understand(requirement), seed, load_embedder().embed, held_out=held_out
        )
        work = working.Work(plan, ask)
        pool = read_rows(folder / f"{task}.pool.jsonl")
        for start in range(0, len(pool), working.WAVE):
            part = pool[start : start + working.WAVE]
            rows = [TaughtRow(row["input"].strip(), row["output"].strip()) for row in part]
            work.take(rows)
            working.check(work, rows)
        working.settle_kept(work)
    return work.rows, ask.requests


def filters(seeds: Sequence[int], verbose: bool) -> None:
    print("| pool | seed | repeats refused | wrong refused | right lost | leaks | requests |")
    print("|---|---|---|---|---|---|---|")
    for task in TASKS:
        faults = json.loads((shared_data() / "teacher" / f"{task}.faults.json").read_text())
        for seed in seeds:
            rows, requests = check_pool(task, seed)
            _print_row(task, seed, rows, faults, requests)
            if verbose:
                _print_misses(rows, faults)


def _print_row(
    task: str, seed: int, rows: Sequence[TaughtRow], faults: dict[str, list[int]], requests: int
) -> None:
    """A repeat is refused when one of the pair is; the other is a right row that stays."""
    repeats = sum(row.refusal in REPEATED for row in rows)
    wrong, planted = set(faults["wrong"]), set(faults["duplicates"])
    caught = sum(not row.is_kept for row in rows if row.line in wrong)
    judged = [row for row in rows if row.line not in wrong and row.refusal not in REPEATED]
    leaks = sum(row.refusal == "repeats a test row" for row in judged)
    lost = sum(not row.is_kept for row in judged) - leaks
    share = lost / max(1, len(judged))
    print(
        f"| {task} | {seed} | {repeats} of {len(planted)} | {caught} of {len(wrong)} "
        f"({caught / len(wrong):.0%}) | {lost} of {len(judged)} ({share:.1%}) | {leaks} "
        f"| {requests} |",
        flush=True,
    )


def _print_misses(rows: Sequence[TaughtRow], faults: dict[str, list[int]]) -> None:
    wrong = set(faults["wrong"])
    print(Counter(row.refusal for row in rows))
    for row in rows:
        if row.is_kept == (row.line in wrong) and row.refusal not in REPEATED:
            what = "MISSED" if row.is_kept else "LOST"
            print(f"  {what} {row.line} {row.refusal} {row.detail} {row.input!r} -> {row.output!r}")


def build(task: str, rows: int, trouble: float) -> None:
    """Through the product: the teacher's rows, a dataset of them, training, evaluation against the
    base and the few-shot base on the 60 gold rows. Needs a database of its own: MODELSTATION_VAR.
    """
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelstation.settings")
    os.environ["WEBHOOK_ALLOW_PRIVATE"] = "true"
    import django

    django.setup()
    from modelstation.site import installation

    installation.prepare_schema()
    installation.prepare_bases()
    with recorded_teacher(task, "--trouble", str(trouble)) as url:
        model = _taught_model(task, rows, url)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as answer:  # noqa: S310
            print("stats of the teacher:", json.load(answer), flush=True)
    _build_and_print(model)


def _taught_model(task: str, rows: int, url: str) -> Any:
    from accounts.models import User
    from distillation import tasks
    from distillation.teachers import services
    from models_app.drafts import ModelDraft
    from modelstation.site import installation
    from training.builds.services import create_model

    org = installation.prepare_demo()
    actor = User.objects.first() or User.objects.create_user("benchmark@example.org", "x" * 12)
    told = requirement_of(task)
    gold = read_rows(shared_data() / "teacher" / f"{task}.test.jsonl")
    draft = ModelDraft(
        name=f"{task} {time.time():.0f}",
        requirement=told.text,
        objective=told.objective,
        policy=told.policy,
        examples=[{"input": e.input, "output": e.output} for e in told.examples],
        test_rows=[{"input": row["input"], "output": row["output"]} for row in gold],
        base="smollm2-135m-instruct",
        student="generator",
        rows=rows,
    )
    model = create_model(actor=None, org=org, draft=draft)
    teacher = services.create_teacher(
        actor=actor, org=org, name=f"Recorded {time.time():.0f}", base_url=url,
        model_name="recorded-teacher", requests_per_minute=100_000,
    )  # fmt: skip
    wanted = services.RunDraft(rows=rows)
    run = services.start_run(actor=actor, model=model, teacher=teacher, draft=wanted)
    tasks.run_teaching(str(run.job_id))
    run.refresh_from_db()
    print("run:", run.job.state, run.job.error_text, run.row_count, "rows;", run.note)
    print("spent:", run.spent)
    print("refused:", {group["reason"]: group["rows"] for group in run.refused}, flush=True)
    return model


def _build_and_print(model: Any) -> None:
    from modelstation.core.jobs.kinds import run_task
    from modelstation.core.models import Job

    started = time.monotonic()
    model.refresh_from_db()
    while model.is_live_work:
        for job in Job.objects.filter(subject_id=model.id, state=Job.State.QUEUED)[:1]:
            run_task(job.kind, str(job.id))
            job.refresh_from_db()
            print(job.kind, job.state, job.error_text, f"{time.monotonic() - started:.0f} s")
        model.refresh_from_db()
    print("model:", model.status, model.status_reason)
    for version in model.versions.all():
        print("scores:", json.dumps(version.scores), flush=True)


def few_shot(task: str, folder: Path) -> None:
    """The base with the user's examples as turns before each of the 60 gold rows."""
    from distillation.pipeline.understand.system_prompt import compile_system_prompt
    from modelstation.lm.chat import Message, load_renderer
    from training.scoring.generate import answer_budget, generate
    from training.scoring.intervals import Bootstrap
    from training.scoring.metrics import build_scorer

    told = requirement_of(task)
    start: list[Message] = [{"role": "system", "content": compile_system_prompt(told)}]
    for example in told.examples:
        start.append({"role": "user", "content": example.input})
        start.append({"role": "assistant", "content": example.output})
    gold = read_rows(shared_data() / "teacher" / f"{task}.test.jsonl")
    prompts: list[list[Message]] = [
        [*start, {"role": "user", "content": row["input"]}] for row in gold
    ]
    references = [row["output"] for row in gold]
    most = answer_budget(references, load_renderer(folder))
    gguf = next(folder.glob("*.gguf"))
    answers = generate(gguf, folder, prompts, max_tokens=most, on_done=lambda _: None)
    scorer = build_scorer(METRIC_OF[task], {}, references)
    sums = scorer.sums(answers.texts, references)
    found = Bootstrap(len(gold), 0).interval(scorer, sums)
    print(f"few-shot base on {task}: {METRIC_OF[task]} {found.score:.3f}", found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("filters")
    one.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    one.add_argument("--verbose", action="store_true")
    other = commands.add_parser("build")
    other.add_argument("task", choices=TASKS)
    other.add_argument("--rows", type=int, default=320)
    other.add_argument("--trouble", type=float, default=0.0)
    base = commands.add_parser("few_shot")
    base.add_argument("task", choices=TASKS)
    base.add_argument("--base", type=Path, default=Path("var/models/smollm2-135m-instruct"))
    wanted = parser.parse_args()
    if wanted.command == "filters":
        filters(wanted.seeds, wanted.verbose)
    elif wanted.command == "few_shot":
        few_shot(wanted.task, wanted.base)
    else:
        build(wanted.task, wanted.rows, wanted.trouble)


if __name__ == "__main__":
    main()
