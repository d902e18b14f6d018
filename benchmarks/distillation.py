"""Do rows selected for a requirement make a better small model than other rows?

    manage.py seed …/corpus                                    # the pool, once
    python -m benchmarks.distillation select                   # precision@k, seconds per selection
    python -m benchmarks.distillation train --rows 300 --steps 40 --out grid.jsonl

`select` asks for k rows per held-out task, once with the customer's examples and once with the
requirement alone, and counts those of the sources that serve the task (the product never sees that
list). `train` gives the same student (SmolLM2-135M), LoRA config, steps and tokens per step the
rows of each arm, and measures the held-out answers' negative log-likelihood per token:

base       the student as it comes
balanced_random, random, bm25, embedding   the peers, through the same generator, leaks refused
round_robin                                the product
oracle     k rows of the task's own source, at random: what perfect retrieval would give

SE = (NLL_balanced - NLL_ours) / (NLL_balanced - NLL_oracle): 0 is the balanced peer, 1 the oracle.
Each cell is appended to --out as it is done, so that a grid may be run in parts; `report` prints
the table of a file.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np

BASE = "base"
ORACLE = "oracle"
OURS, BALANCED, EMBEDDING = "round_robin", "balanced_random", "embedding"
ARMS = (BASE, BALANCED, EMBEDDING, OURS, ORACLE)
MAX_SEQ_LEN = 768


def setup_django():
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelstation.settings")
    django.setup()


def models_dir():
    from django.conf import settings

    return settings.MODELS_DIR


def tasks(names):
    from modelstation.testing import shared_data

    found = json.loads((shared_data() / "eval/intents.json").read_text())["tasks"]
    return [task for task in found if not names or task["name"] in names]


def requirement_of(task, *, with_examples):
    from distillation.pipeline.types import Example, Requirement

    pairs = task["examples"] if with_examples else []
    return Requirement(
        text=task["requirement"],
        objective=task["objective"] if with_examples else "",
        policy=task["policy"] if with_examples else "",
        examples=tuple(Example(pair["input"], pair["output"]) for pair in pairs),
    )


def held_out_of(task):
    """Return inputs in the model's form: what a system turn of the row alone says (the section to
    write) belongs to the input, as in training rows.
    """
    from distillation.pipeline.text import input_text
    from distillation.pipeline.types import Example
    from distillation.pipeline.understand.row_format import MANY_SYSTEM_TURNS
    from modelstation.testing import shared_data

    lines = (shared_data() / task["eval_file"]).read_text().splitlines()
    rows = [json.loads(line)["messages"] for line in lines]
    systems = {row[0]["content"] for row in rows if row[0]["role"] == "system"}
    telling = len(systems) > MANY_SYSTEM_TURNS
    return [
        Example(
            f"{row[0]['content']}\n\n{input_text(row)}" if telling else input_text(row),
            row[-1]["content"],
        )
        for row in rows
    ]


def pool():
    """Sees what an organisation without rows of its own sees."""
    from accounts.models import Organization
    from distillation.corpus.catalog import CorpusCatalog

    org, _ = Organization.objects.get_or_create(
        slug="benchmark", defaults={"name": "Benchmark", "allow_unknown_license": True}
    )
    return CorpusCatalog(org)


def relevant_rows(catalog, task):
    served = task["relevant_sources"]
    return sum(group.rows for group in catalog.source_groups() if group.source in served)


class Remembering:
    """Embeds a text once, so that the time of a selection is that after embedding its texts."""

    def __init__(self, embedder):
        self.embedder, self.known = embedder, {}

    def embed(self, texts):
        unknown = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known.update(zip(unknown, self.embedder.embed(unknown), strict=True))
        return np.stack([self.known[t] for t in texts]) if texts else self.embedder.embed([])


# --- Which rows are found -------------------------------------------------------------------------


def select(options):
    from distillation.pipeline.dataset_generator import DatasetGenerator
    from distillation.pipeline.outcome import NotEnoughData
    from distillation.pipeline.types import SelectionConfig
    from distillation.pipeline.understand.intent import understand
    from modelstation.lm.answer_scoring import load_scorer
    from modelstation.lm.embedding import load_embedder

    embedder, catalog = Remembering(load_embedder()), pool()
    generator = DatasetGenerator(catalog, embedder, load_scorer(models_dir()))
    print(f"{sum(g.rows for g in catalog.source_groups()):,} rows in the pool\n")
    print("| task | from | k | rows | precision@k | seconds |\n|---|---|---:|---:|---:|---:|")
    for with_examples in (True, False):
        precisions = []
        for task in tasks(options.tasks):
            k = min(1000, relevant_rows(catalog, task))
            requirement = requirement_of(task, with_examples=with_examples)
            config = SelectionConfig(rows=k, selector=options.selector)
            held_out = held_out_of(task) if with_examples else []
            embedder.embed([row.input for row in held_out])
            embedder.embed([q.text for q in understand(requirement).queries])
            started = time.perf_counter()
            try:
                sources = generator.generate(requirement, config, held_out).sources
            except NotEnoughData:
                sources = {}
            seconds = time.perf_counter() - started
            precisions.append(sum(sources.get(s, 0) for s in task["relevant_sources"]) / k)
            origin = "examples" if with_examples else "requirement"
            print(
                f"| {task['name']} | {origin} | {k} | {sum(sources.values())} "
                f"| {precisions[-1]:.3f} | {seconds:.1f} |",
                flush=True,
            )
        print(f"| **mean** | {origin} | | | **{np.mean(precisions):.3f}** | |")


# --- What they are worth --------------------------------------------------------------------------


def train(options):
    done = {(cell["task"], cell["k"], cell["arm"]) for cell in cells_of(options.out)}
    for task in tasks(options.tasks):
        for k in options.rows:
            for arm in options.arms:
                if (task["name"], k, arm) in done:
                    continue
                cell = measure(task, k, arm, options)
                with options.out.open("a") as file:
                    file.write(json.dumps(cell) + "\n")
                print(json.dumps(cell), flush=True)
    report(options)


def measure(task, k, arm, options):
    from distillation.pipeline.understand.intent import understand
    from distillation.pipeline.understand.row_format import held_out_messages

    requirement = requirement_of(task, with_examples=True)
    held_out = held_out_of(task)
    prompt = understand(requirement).system_prompt
    rows = [] if arm == BASE else rows_of(arm, task, requirement, k, held_out, prompt)
    sample = Random(0).sample(held_out, min(options.held_out, len(held_out)))
    started = time.perf_counter()
    nll, trained = nll_after_training(rows, held_out_messages(prompt, sample), options)
    return {
        "task": task["name"],
        "k": k,
        "arm": arm,
        "rows": len(rows),
        "nll": round(nll, 4),
        "steps": options.steps if rows else 0,
        "tokens": trained,
        "seconds": round(time.perf_counter() - started, 1),
    }


def rows_of(arm, task, requirement, k, held_out, prompt):
    """Messages in the model's one form."""
    from distillation.pipeline.dataset_generator import DatasetGenerator
    from distillation.pipeline.types import SelectionConfig
    from modelstation.lm.answer_scoring import load_scorer
    from modelstation.lm.embedding import load_embedder

    catalog = pool()
    if arm == ORACLE:
        return oracle_rows(catalog, task, k, prompt)
    generator = DatasetGenerator(catalog, load_embedder(), load_scorer(models_dir()))
    config = SelectionConfig(rows=k, selector=arm)
    return [row.messages for row in generator.generate(requirement, config, held_out).rows]


def oracle_rows(catalog, task, k, prompt):
    from distillation.pipeline.understand import row_format

    groups = [g.key for g in catalog.source_groups() if g.source in task["relevant_sources"]]
    rows = list(catalog.rows(groups, limit=100_000))
    instructed = row_format.sources_with_own_instructions(rows)
    chosen = Random(0).sample(rows, min(k, len(rows)))
    return [
        row_format.model_messages(prompt, row_format.model_input(row, instructed), row.answer)
        for row in chosen
    ]


def nll_after_training(rows, held_out, options):
    import torch

    from modelstation.lm.chat import load_renderer
    from training.recipes import lora_sft, preparing
    from training.recipes.config import TrainingConfig
    from training.recipes.rows import encode

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "train.jsonl", rows or held_out)
        write_jsonl(Path(folder) / "valid.jsonl", [])
        config = TrainingConfig(
            max_steps=options.steps,
            tokens_per_batch=options.tokens_per_batch,
            max_seq_len=MAX_SEQ_LEN,
            eval_every=0,
        )
        prepared = preparing.prepare(Path(folder), options.base, config)
    model = lora_sft.setup_model(options.base, prepared.config)
    trained = 0
    if rows:
        trained = lora_sft.train(model, prepared, lambda *_, **__: None).train_tokens
    test, _ = encode([list(m) for m in held_out], load_renderer(options.base), 2 * MAX_SEQ_LEN)
    batches = lora_sft.batches_of(test, prepared.config)
    return lora_sft.measure(model, batches, prepared.config)[0], trained


def write_jsonl(path, conversations):
    lines = [json.dumps({"messages": list(messages)}) + "\n" for messages in conversations]
    path.write_text("".join(lines))


# --- The table ------------------------------------------------------------------------------------


def cells_of(path):
    return [json.loads(line) for line in path.open()] if path.exists() else []


def report(options):
    nll = {(c["task"], c["k"], c["arm"]): c["nll"] for c in cells_of(options.out)}
    arms = [arm for arm in ARMS if any(key[2] == arm for key in nll)]
    arms += sorted({key[2] for key in nll} - set(arms))
    grid = sorted({key[:2] for key in nll})
    print(f"\n| task | k | {' | '.join(arms)} | SE |\n|---|---:|{'---:|' * (len(arms) + 1)}")
    for task, k in grid:
        values = [nll.get((task, k, arm)) for arm in arms]
        shown = " | ".join("–" if value is None else f"{value:.3f}" for value in values)
        print(f"| {task} | {k} | {shown} | {se_of(nll, task, k):.2f} |")
    for peer in (BALANCED, EMBEDDING):
        gains = [
            nll[(task, k, peer)] - nll[(task, k, OURS)]
            for task, k in grid
            if (task, k, peer) in nll and (task, k, OURS) in nll
        ]
        if gains:
            low, high = bootstrap([gain > 0 for gain in gains])
            print(
                f"\nBeside {peer}: better in {np.mean([g > 0 for g in gains]):.0%} of {len(gains)} "
                f"cells (95 %: {low:.0%} to {high:.0%}), mean gain {np.mean(gains):+.3f} nats/token"
            )
    ses = [se_of(nll, task, k) for task, k in grid]
    print(f"SE: mean {np.nanmean(ses):.2f}, median {np.nanmedian(ses):.2f}")


def se_of(nll, task, k):
    arms = [nll.get((task, k, arm), float("nan")) for arm in (BALANCED, OURS, ORACLE)]
    balanced, ours, oracle = arms
    return (balanced - ours) / (balanced - oracle)


def bootstrap(values, repeats=10_000):
    rng = np.random.default_rng(0)
    means = rng.choice(np.asarray(values, float), (repeats, len(values))).mean(axis=1)
    return np.quantile(means, [0.025, 0.975])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("select", "train", "report"))
    parser.add_argument("--tasks", nargs="*", help="names of held-out tasks; all without")
    parser.add_argument("--selector", default=OURS)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--rows", nargs="*", type=int, default=[300])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--held-out", type=int, default=64, help="rows measured in each cell")
    parser.add_argument("--tokens-per-batch", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--base", type=Path, help="folder of the student; SmolLM2-135M without")
    parser.add_argument("--out", type=Path, default=Path("var/distillation.jsonl"))
    options = parser.parse_args()
    setup_django()
    if options.base is None:
        from django.conf import settings

        options.base = settings.MODELS_DIR / "smollm2-135m-instruct"
    {"select": select, "train": train, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
