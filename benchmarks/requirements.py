"""Are real requirements served by the right rows, or refused with what is missing?

    manage.py seed …/corpus                                    # the pool, once
    python -m benchmarks.requirements                          # the whole pool
    python -m benchmarks.requirements --limit 1000             # at most so many rows of each source
    python -m benchmarks.requirements --own                    # 38 of benchmarks/requirements.jsonl
    python -m benchmarks.requirements --without-examples       # the words alone

For each requirement of `requirements/dev.jsonl`, with its four examples: whether kind, labels and
JSON keys were understood, which sources were used, and the verdict:

right      most rows are of sources that serve it, none of others
partly     rows are of sources that serve it in part
refused    nothing is used; right, where nothing serves it
LOST       refused, although a source serves it
WRONG      rows of sources that do not serve it

Rows of other work that a writer's dataset holds by design (replay) are not counted. After them the
eight held-out tasks: precision, and whether the source of the task is used at all.
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import distillation

REPLAY = "replay"
OWN = Path(__file__).parent / "requirements.jsonl"


@dataclass
class Case:
    name: str
    requirement: object
    served_by: set[str]
    partly: set[str]
    wanted: dict | None = None  # kind, labels: None for the held-out tasks


def requirements(options):
    from distillation.pipeline.types import Example, Requirement
    from modelstation.testing import shared_data

    path = OWN if options.own else shared_data() / "requirements/dev.jsonl"
    for line in path.open():
        row = json.loads(line)
        if options.only and row["id"] not in options.only:
            continue
        examples = [] if options.without_examples else row["examples"]
        pairs = tuple(Example(pair["input"], pair["output"]) for pair in examples)
        wanted = Requirement(row["requirement"], row["objective"], row["policy"], pairs)
        served, partly = row.get("served_by") or [], row.get("partly_served_by") or []
        yield Case(row["id"], wanted, set(served), set(partly), row)


def held_out_tasks(only):
    for task in distillation.tasks(None):
        if not only or task["name"] in only:
            wanted = distillation.requirement_of(task, with_examples=True)
            yield Case(task["name"], wanted, set(task["relevant_sources"]), set())


def capped(limit):
    """Return the pool; with a limit, no more than so many rows of each source are seen."""
    catalog = distillation.pool()
    if not limit:
        return catalog
    from distillation.tests.pipeline.catalog import MemoryCatalog

    rows = []
    for source in sorted({group.source_id for group in catalog.source_groups()}):
        keys = [group.key for group in catalog.source_groups() if group.source_id == source]
        rows += catalog.rows(keys, limit=limit)
    return MemoryCatalog(rows)


def understood(case, intent):
    """Say in three letters what was understood right: kind, labels, keys; '-' where not asked."""
    row = case.wanted
    labels = {label.casefold() for label in row.get("labels") or ()}
    keys = {
        key
        for pair in row["examples"] + row.get("test", [])
        if row["kind"] == "extract_json"
        for key in json.loads(pair["output"])
    }
    read = {label.casefold() for label in intent.labels}
    return " ".join(
        [
            "k" if intent.task_kind == row["kind"] else f"({intent.task_kind})",
            "-"
            if not labels
            else "l"
            if labels == read
            else f"({len(labels & read)}/{len(labels)})",
            "-" if not keys else "j" if keys == set(intent.json_keys) else "(j)",
        ]
    )


def judge(case, sources):
    if not sources:
        return "LOST" if case.served_by else "refused"
    wrong = sum(n for source, n in sources.items() if source not in case.served_by | case.partly)
    if wrong:
        return "WRONG"
    return "right" if set(sources) & case.served_by else "partly"


def run(generator, case, rows):
    """Return sources without replay, verdict, intent, gap and seconds."""
    from distillation.pipeline.outcome import NotEnoughData
    from distillation.pipeline.types import SelectionConfig

    started = time.perf_counter()
    try:
        selection = generator.generate(case.requirement, SelectionConfig(rows=rows))
        used = Counter(r.candidate.source for r in selection.rows if r.step != REPLAY)
        intent, gap = selection.intent, selection.gap
    except NotEnoughData as error:
        used, intent, gap = Counter(), error.intent, error.gap
    return used, judge(case, used), intent, gap, time.perf_counter() - started


def shown(sources):
    return ", ".join(f"{name} {rows}" for name, rows in sources.most_common(4)) or "–"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, help="rows of each source that are seen; all without")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--only", nargs="*", help="ids of requirements and names of tasks")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--without-examples", action="store_true")
    options = parser.parse_args()
    distillation.setup_django()
    from django.conf import settings

    from distillation.pipeline.dataset_generator import DatasetGenerator
    from modelstation.lm.answer_scoring import load_scorer
    from modelstation.lm.embedding import load_embedder

    catalog = capped(options.limit)
    generator = DatasetGenerator(catalog, load_embedder(), load_scorer(settings.MODELS_DIR))
    print(f"{sum(g.rows for g in catalog.source_groups()):,} rows in the pool\n")
    print_requirements(generator, options)
    if not (options.own or options.without_examples):
        print_tasks(generator, options)


def print_requirements(generator, options):
    print("| requirement | understood | sources used | served by | verdict | related | seconds |")
    print("|---|---|---|---|---|---|---:|")
    verdicts = Counter()
    near, partly = 0, 0
    for case in requirements(options):
        used, verdict, intent, gap, seconds = run(generator, case, options.rows)
        verdicts[verdict] += 1
        related = [source.source for source in gap.related]
        if case.partly:
            partly += 1
            near += bool(case.partly & {*related, *used})
        served = ", ".join(sorted(case.served_by) + [f"({name})" for name in sorted(case.partly)])
        print(
            f"| {case.name} | {understood(case, intent)} | {shown(used)} | {served or '–'} "
            f"| {verdict} | {', '.join(related[:4])} | {seconds:.1f} |",
            flush=True,
        )
    counts = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common())
    print(f"\n{counts}. Sources that serve in part, used or shown: {near} of {partly}.\n")


def print_tasks(generator, options):
    print("| task | precision | its source | sources used | seconds |\n|---|---:|---|---|---:|")
    precisions = []
    for case in held_out_tasks(options.only):
        used, _, _, _, seconds = run(generator, case, options.rows)
        right = sum(rows for source, rows in used.items() if source in case.served_by)
        precisions.append(right / max(1, sum(used.values())))
        has = "used" if right else "LOST"
        print(
            f"| {case.name} | {precisions[-1]:.3f} | {has} | {shown(used)} | {seconds:.1f} |",
            flush=True,
        )
    if precisions:
        print(f"| **mean** | **{sum(precisions) / len(precisions):.3f}** | | | |")


if __name__ == "__main__":
    main()
