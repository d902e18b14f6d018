"""A small model that writes the specification of a requirement, beside the reader that stands.

    python -m benchmarks.understanding_writer [--folder var/writer] [--epochs N] [held_out|dev]…

SmolLM2-135M is tuned on the development part by the product's own training child, and writes JSON
under its schema through the product's own engine, one requirement after another. Both are scored
alike, and only shares are printed. FOLDER keeps the trained model: a second call only measures.
The last line asks where the two disagree: of what stands, how many wrong ones that would catch, and
how many right ones it would ask about.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from distillation.pipeline.types import IntentSpec
from distillation.pipeline.understand.json_schema import keys_of
from distillation.pipeline.understand.languages import NAMES
from distillation.pipeline.understand.reading import written_in
from distillation.pipeline.understand.task_kind import KINDS
from models_app.serving.engine import Completion, Engine, GenerationConfig, memory_needed
from modelstation.lm.chat import Message
from modelstation.testing import REPOSITORY, shared_data
from tools.understanding.cases import DEVELOPMENT, HELD_OUT, Case, cases_in
from tools.understanding.scoring import Outcome, figures, outcomes_of, real_cases
from training.plan.estimate.measure import idle_cores
from training.progress import Channel
from training.recipes.config import TrainingConfig
from training.runs.child import GGUF_NAME, run_training
from training.runs.spec import TrainingSpec

BASE = REPOSITORY / "var/models/smollm2-135m-instruct"
VALID_EVERY = 20  # this share of the development part only decides which step was the best
CONTEXT, MAX_TOKENS = 4096, 512
SYSTEM = "Write what this requirement asks for, as JSON: kind, labels, json_keys, input_language."
NAMES_LIST = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 80},
    "maxItems": 40,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": list(KINDS)},
        "labels": NAMES_LIST,
        "json_keys": NAMES_LIST,
        "input_language": {"enum": ["", *NAMES]},
    },
    "required": ["kind", "labels", "json_keys", "input_language"],
    "additionalProperties": False,
}


def prompt(case: Case) -> list[Message]:
    parts = {"Requirement": case.requirement, "Objective": case.objective, "Policy": case.policy}
    lines = [f"{name}: {text}" for name, text in parts.items() if text]
    lines += [f"Input: {pair.input}\nAnswer: {pair.output}" for pair in case.examples]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n".join(lines)}]


def completion(case: Case) -> str:
    """Return what is right. A language that is not judged is that of the requirement."""
    language = case.input_language
    if language is None:
        language = case.language or written_in(case.requirement)
    names = {"labels": list(case.names["labels"]), "json_keys": list(case.names["keys"])}
    return json.dumps({"kind": case.kind, **names, "input_language": language}, ensure_ascii=False)


def train(folder: Path, config: TrainingConfig) -> None:
    rows = [
        [*prompt(case), {"role": "assistant", "content": completion(case)}]
        for case in cases_in(DEVELOPMENT)
    ]
    valid = rows[::VALID_EVERY]
    parts = {"train": [row for row in rows if row not in valid], "valid": valid}
    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in parts.items():
        lines = [json.dumps({"messages": row}, ensure_ascii=False) for row in chosen]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    spec = TrainingSpec(folder, BASE, BASE.name, folder, config)
    result = run_training(spec, Channel(sys.stderr))
    facts = result.facts
    print(
        f"\nTrained on {len(parts['train'])} requirements, {facts.steps} steps (best "
        f"{facts.best_step}, ended by {facts.ended_by} of {result.config.epochs:g} epochs), "
        f"{facts.train_tokens:,} tokens in {facts.seconds:.0f} s; loss {facts.final_loss:.3f}, "
        f"valid {facts.best_valid_loss:.3f}"
    )


def written(cases: Sequence[Case], folder: Path) -> list[Outcome]:
    """Return what the model writes of each; an answer that did not end is wrong in all."""
    config = GenerationConfig(max_new_tokens=MAX_TOKENS, json_schema=SCHEMA)
    gguf = folder / "gguf" / GGUF_NAME
    engine = Engine(gguf, gguf.parent, n_ctx=CONTEXT, n_threads=idle_cores(), n_parallel=1)
    try:
        return [Outcome(case, _intent(engine.generate(prompt(case), config))) for case in cases]
    finally:
        engine.close()


def _intent(answer: Completion) -> IntentSpec:
    empty = IntentSpec(task_kind="", system_prompt="", queries=(), task_texts=(), language="-")
    if answer.finish_reason != "stop":
        return empty
    said = json.loads(answer.text)
    labels = tuple(said["labels"]) if said["kind"] == "classify" else ()
    return replace(
        empty,
        task_kind=said["kind"],
        labels=labels,
        labels_closed=bool(labels),
        json_schema={"properties": dict.fromkeys(said["json_keys"], {})},
        language=said["input_language"],
    )


def specification(intent: IntentSpec) -> tuple[str, frozenset[str]]:
    """Return the kind and the names that belong to it, as far as a closed list is claimed."""
    names = {
        "classify": intent.labels if intent.labels_closed else (),
        "extract_json": keys_of(intent.json_schema or {}),
    }
    return intent.task_kind, frozenset(names.get(intent.task_kind, ()))


def held_out() -> list[Case]:
    """Return each held-out requirement once, without those that are to learn from too."""
    learnt = {prompt(case)[-1]["content"] for case in cases_in(DEVELOPMENT)}
    cases = {prompt(case)[-1]["content"]: case for case in cases_in(HELD_OUT)}
    return [case for asked, case in cases.items() if asked not in learnt]


def compare(part: str, folder: Path) -> None:
    cases = real_cases(shared_data()) if part == "dev" else held_out()
    stands, took = _timed(lambda: outcomes_of(cases))
    model, model_took = _timed(lambda: written(cases, folder))
    print(f"\n### {part}: {len(cases)} requirements\n")
    print("| | what stands | 135M writes | n |\n|---|---:|---:|---:|")
    theirs = figures(model)
    for name, (right, total) in figures(stands).items():
        if total and not name.endswith("asked"):  # the model has no questions of its own
            print(f"| {name} | {right / total:.2f} | {theirs[name][0] / total:.2f} | {total} |")
    print(f"| ms a requirement | {took:.0f} | {model_took:.0f} | |\n")
    print(f"Did not end: {sum(not outcome.intent.task_kind for outcome in model)}")
    print(disagreement(stands, model))


def _timed(run):
    begun = time.perf_counter()
    outcomes = run()
    return outcomes, 1000 * (time.perf_counter() - begun) / len(outcomes)


def disagreement(stands: Sequence[Outcome], model: Sequence[Outcome]) -> str:
    """Say what would be asked where the two disagree, alone and beside the questions of today."""
    asked = {"today": [outcome.asked for outcome in stands]}
    asked["where they disagree"] = [
        specification(one.intent) != specification(other.intent)
        for one, other in zip(stands, model, strict=True)
    ]
    asked["where either says so"] = [any(both) for both in zip(*asked.values(), strict=True)]
    wrong = sum(outcome.wrong for outcome in stands)
    lines = []
    for when, each in asked.items():
        caught = sum(is_asked for one, is_asked in zip(stands, each, strict=True) if one.wrong)
        right = f"{sum(each) - caught} of {len(stands) - wrong} right"
        lines.append(f"Asked {when}: {caught} of {wrong} wrong ones, {right} ones.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["held_out", "dev"])
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "var/writer")
    parser.add_argument("--epochs", type=float, help="the product's default where not given")
    parser.add_argument("--minutes", type=float, default=40.0, help="of training, at most")
    options = parser.parse_args()
    gguf = options.folder / "gguf" / GGUF_NAME
    if not gguf.is_file():
        config = TrainingConfig(epochs=options.epochs, max_minutes=options.minutes)
        train(options.folder, config)
    memory = memory_needed(gguf, n_ctx=CONTEXT, n_parallel=1) / 1e6
    print(f"\n{gguf.stat().st_size / 1e6:.0f} MB on disk, {memory:.0f} MB in memory")
    for part in options.parts:
        compare(part, options.folder)


if __name__ == "__main__":
    main()
