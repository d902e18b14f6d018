"""Own inputs, labelled here: a simulated person answers in the order that is asked, then in a
random order. How right the head is by then, what it takes over, whether the estimate holds, and
what a student of the rows is worth.

    python -m benchmarks.labelling --seeds 3 --answers 60

Needs the real public data (see `modelstation.testing.shared_data`). The student here is a linear
head, the same for all: it measures the rows, in seconds.
"""

import argparse
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from distillation.labelling.asking import asking_order
from distillation.labelling.encoding import encode
from distillation.labelling.estimate import estimate
from distillation.labelling.head import Head, Vectors, fit_head
from modelstation.testing import shared_data

LEVEL = 0.10
REFIT_EVERY, SPREAD_PER_LABEL = 5, 2  # as in the product
TEACHER_TASK = "cls-app-review-triage"
# source: (labels, inputs); labels are drawn from its forty most frequent ones
CORPUS_TASKS = {
    "banking77": (8, 300),
    "hwu64": (8, 300),
    "clinc150": (12, 300),
    "goemotions": (7, 300),
    "vader_ratings": (3, 300),
}
HELD_OUT = 300


@dataclass
class Task:
    name: str
    inputs: Vectors
    gold: np.ndarray
    seeds: Vectors  # names of the labels, and examples
    seed_answers: list[str]
    test: Vectors
    test_gold: np.ndarray


@dataclass
class Result:
    """After all answers. `right`: of the head, on what is open; `student`: of all-gold's score."""

    right: float
    taken: int
    taken_wrong: int
    is_held: bool  # the real error of what was taken over is not above its upper bound
    accuracy_is_held: bool  # that of the head lies in its interval
    student: float
    relative: float


def teacher_task(data: Path) -> Task:
    folder = data / "teacher"
    rows = read(folder / f"{TEACHER_TASK}.unlabelled.jsonl")
    test = read(folder / f"{TEACHER_TASK}.test.jsonl")
    wanted = read(data / "requirements" / "dev.jsonl")
    [model] = [each for each in wanted if each["id"] == TEACHER_TASK]
    examples = [(row["input"], row["output"]) for row in model["examples"]]
    return task(
        TEACHER_TASK,
        [(row["input"], row["gold"]) for row in rows],
        [(row["input"], row["output"]) for row in test],
        model["labels"],
        examples,
    )


def corpus_task(data: Path, source: str, count: int, inputs: int) -> Task:
    with gzip.open(data / "corpus" / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["messages"] for line in lines]
    pairs = {turns[-2]["content"]: turns[-1]["content"] for turns in rows}
    frequent = [label for label, _ in Counter(pairs.values()).most_common(40)]
    rng = random.Random(0)
    labels = rng.sample(frequent, min(count, len(frequent)))
    chosen = [(text, label) for text, label in pairs.items() if label in labels]
    rng.shuffle(chosen)
    rest = chosen[inputs : inputs + HELD_OUT]
    return task(source, chosen[:inputs], rest, labels, [])


def task(
    name: str,
    pairs: list[tuple[str, str]],
    test: list[tuple[str, str]],
    labels: list[str],
    examples: list[tuple[str, str]],
) -> Task:
    seeds = [(label.replace("_", " "), label) for label in labels] + examples
    columns = [list(zip(*each, strict=True)) for each in (pairs, seeds, test)]
    vectors = [encode(texts) for texts, _ in columns]
    gold, seed_answers, test_gold = (np.array(answers) for _, answers in columns)
    return Task(name, vectors[0], gold, vectors[1], list(seed_answers), vectors[2], test_gold)


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def asked_in_order(task: Task, answers: int, seed: int) -> list[int]:
    """As the product asks, on inputs that come in another order with each seed."""
    mixed = np.random.default_rng(seed).permutation(len(task.gold))
    vectors, gold = task.inputs[mixed], task.gold[mixed]
    asked: list[int] = []
    spread = SPREAD_PER_LABEL * len(set(task.seed_answers))
    while len(asked) < answers:
        head = fit_head(vectors[asked], list(gold[asked]), task.seeds, task.seed_answers)
        chances = head.probabilities(vectors) if head else None
        count = min(REFIT_EVERY, answers - len(asked))
        asked += asking_order(vectors, asked, chances, count, spread_first=spread)
    return [int(row) for row in mixed[asked]]


def asked_at_random(task: Task, answers: int, seed: int) -> list[int]:
    rows = np.random.default_rng(seed).permutation(len(task.gold))[:answers]
    return [int(row) for row in rows]


ORDERS = {"asked": asked_in_order, "random": asked_at_random}


def measured(task: Task, asked: list[int]) -> Result:
    rest = np.setdiff1d(np.arange(len(task.gold)), asked)
    head = learned(task, asked, task.gold[asked])
    chances = head.probabilities(task.inputs[rest])
    proposals = np.array(head.labels)[chances.argmax(axis=1)]
    right = proposals == task.gold[rest]
    result = estimate(head, list(task.gold[asked]), chances, LEVEL)
    assert result is not None
    over = result.take_over
    taken = list(over.rows)
    wrong = int((~right[taken]).sum())
    rows = [*asked, *rest[taken]]
    student = score(task, learned(task, rows, [*task.gold[asked], *proposals[taken]]))
    every = range(len(task.gold))
    return Result(
        right=float(right.mean()),
        taken=len(taken),
        taken_wrong=wrong,
        is_held=over.error is None or wrong / len(taken) <= over.error.high,
        accuracy_is_held=result.accuracy.low <= right.mean() <= result.accuracy.high,
        student=student,
        relative=student / score(task, learned(task, list(every), task.gold)),
    )


def learned(task: Task, rows: list[int], answers: object) -> Head:
    head = fit_head(task.inputs[rows], list(answers), task.seeds, task.seed_answers)
    assert head is not None
    return head


def score(task: Task, head: Head) -> float:
    said = np.array(head.labels)[head.probabilities(task.test).argmax(axis=1)]
    return float((said == task.test_gold).mean())


def lines(tasks: Iterator[Task], answers: int, seeds: int) -> Iterator[str]:
    yield (
        "| task | inputs | order | right on open | taken over | of them wrong | bound holds "
        "| accuracy in interval | student | of all gold |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for each in tasks:
        for name, order in ORDERS.items():
            results = [measured(each, order(each, answers, seed)) for seed in range(seeds)]
            mean = {
                f.name: float(np.mean([getattr(r, f.name) for r in results]))
                for f in fields(Result)
            }
            taken = sum(result.taken for result in results)
            wrong = sum(result.taken_wrong for result in results)
            yield (
                f"| {each.name} | {len(each.gold)} | {name} | {mean['right']:.3f} "
                f"| {mean['taken']:.0f} | {f'{wrong / taken:.3f}' if taken else '–'} "
                f"| {sum(r.is_held for r in results)} of {seeds} "
                f"| {sum(r.accuracy_is_held for r in results)} of {seeds} "
                f"| {mean['student']:.3f} | {mean['relative']:.3f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--answers", type=int, default=60)
    parser.add_argument("--only", default="", help="the name of one task")
    options = parser.parse_args()
    data = shared_data()
    made = {TEACHER_TASK: lambda: teacher_task(data)} | {
        source: lambda source=source, size=size: corpus_task(data, source, *size)
        for source, size in CORPUS_TASKS.items()
    }
    tasks = (make() for name, make in made.items() if options.only in ("", name))
    for line in lines(tasks, options.answers, options.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
