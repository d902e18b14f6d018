"""The evaluation child: held-out rows go to the base and to the tuned model, and to the live
version where there is one; a report and a verdict come out.

    python -m training.evaluations.child SPEC.json

SPEC.json holds the fields of training.evaluations.spec.EvaluationSpec. Writes report.json and
rows.jsonl, the worst row first.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from modelstation.core.artifacts import write_artifact
from modelstation.lm.chat import Message, load_renderer
from training.encoder.labels import objection_to_labels
from training.evaluations.held_out import coverage_check, doubtful_note
from training.evaluations.rivals import examples_for, rivals_of
from training.evaluations.spec import EvaluationSpec
from training.progress import Channel, ChildError, read_spec, run_as_child
from training.recipes.rows import read_conversations
from training.scoring import cache, generate
from training.scoring.criteria import Criteria
from training.scoring.criterion import LATENCY
from training.scoring.generate import Generated, HeldOut, answer_budget, distinct, held_out
from training.scoring.metrics import METRICS, Given, build_scorer, model_metric
from training.scoring.probes import MAX_TOKENS, all_probes, probe_report
from training.scoring.report import Answers, Measured, Rival, build_report, worst_first
from training.scoring.shapes import EvaluationResult, GenerationFacts, ProbeReport, Report
from training.scoring.sql import Fixture, find_fixture

TIMED = 20  # answers requested one by one for a criterion on latency …
TIMED_ANYWAY = 5  # … and for the report alone


@dataclass(frozen=True)
class Prepared:
    """The rows as each side gets them, the checks, and the tables given with rows."""

    rows: dict[str, HeldOut]
    criteria: Criteria
    tables: list[Any]


def main(spec_path: str) -> None:
    run_as_child(
        lambda channel: {**run_evaluation(EvaluationSpec.from_json(read_spec(spec_path)), channel)}
    )


def run_evaluation(spec: EvaluationSpec, channel: Channel) -> EvaluationResult:
    """Return the result of one evaluation. ChildError for what the user can put right."""
    prepared = _prepare(spec)
    writer = spec.base if spec.tuned.is_encoder else spec.tuned
    tokenizer, references = writer.tokenizer_folder, prepared.rows["tuned"].references
    max_tokens = spec.max_tokens or answer_budget(references, load_renderer(tokenizer))
    is_timed = any(check.metric == LATENCY for check in prepared.criteria.checks)
    timed = TIMED if is_timed else TIMED_ANYWAY
    generated = {
        side: _answer(f"generate_{side}", spec, side, rows.prompts, max_tokens, channel, timed)
        for side, rows in prepared.rows.items()
    }
    answers = replace(
        _answers(spec, prepared, generated), rivals=_rivals(spec, prepared, max_tokens, channel)
    )
    report = build_report(
        answers,
        metric=spec.metric,
        criteria=prepared.criteria,
        labels=spec.labels,
        seed=spec.seed,
        more=coverage_check(spec.coverage),
    )
    report["doubtful_rows"] = spec.doubtful_rows
    doubt = doubtful_note(spec.doubtful_rows, report["n_test"])
    report["note"] = f"{report['note']} {doubt}".strip()
    _add_generation(report, spec, generated)
    report["max_tokens"], report["system_prompt"] = max_tokens, spec.system_prompt
    if (base_prompt := spec.base.system_prompt) is not None:
        report["base_system_prompt"] = base_prompt
    report["probes"] = _probe(spec, channel) if spec.probes and not spec.tuned.is_encoder else None
    _write(spec, report, answers)
    return _result(report)


def _add_generation(
    report: Report, spec: EvaluationSpec, generated: Mapping[str, Generated]
) -> None:
    facts: dict[str, GenerationFacts] = {
        side: {**answered.facts(), "size_mb": spec.sides[side].size_mb}
        for side, answered in generated.items()
    }
    report["base"] = {**report["base"], **facts["base"]}
    report["tuned"] = {**report["tuned"], **facts["tuned"]}
    if live := report["live"]:
        report["live"] = {**live, **facts["live"]}


def _result(report: Report) -> EvaluationResult:
    """Return what the database keeps; tables and rows stay in the folder."""
    names = EvaluationResult.__annotations__
    result = cast(EvaluationResult, {name: v for name, v in report.items() if name in names})
    if probes := result["probes"]:
        kept = {name: value for name, value in probes.items() if name != "rows"}
        result["probes"] = cast(ProbeReport, kept)
    return result


def _prepare(spec: EvaluationSpec) -> Prepared:
    """Refuse here whatever can be refused, before an engine is started."""
    try:
        criteria = spec.checks()
        conversations = read_conversations(spec.test_file)
        lines = spec.test_file.read_text(encoding="utf-8").split("\n")
        tables = [json.loads(line).get("fixture") for line in lines if line.strip()]
        for name in (spec.metric, *(check.of for check in criteria.checks if check.of)):
            model_metric(name)
        for check in criteria.checks:
            if check.options and check.metric in METRICS:  # a pattern or a schema may be broken
                METRICS[check.metric].build(Given(check.options))
    except (ValueError, OSError) as error:
        raise ChildError("bad_spec", str(error)) from error
    if not conversations:
        message = "There are no held-out rows to measure on. Add test rows."
        raise ChildError("not_enough_data", message)
    for name, side in spec.sides.items():
        if not side.gguf.is_file():
            raise ChildError("bad_spec", f"The GGUF file of the {name} model is missing.")
    return Prepared(_rows_by_side(spec, conversations), criteria, tables)


def _rows_by_side(
    spec: EvaluationSpec, conversations: Sequence[list[Message]]
) -> dict[str, HeldOut]:
    """Give each side its own system prompt, where it has one, else that of the run."""
    prompts = {name: side.system_prompt for name, side in spec.sides.items()}
    return {
        name: held_out(conversations, spec.system_prompt if own is None else own)
        for name, own in prompts.items()
    }


def _probe(spec: EvaluationSpec, channel: Channel) -> ProbeReport:
    prompts = [probe.messages for probe in all_probes()]
    base, tuned = (
        _answer(f"probe_{side}", spec, side, prompts, MAX_TOKENS, channel, 0)
        for side in ("base", "tuned")
    )
    return probe_report(base.texts, tuned.texts, spec.seed)


def _answer(
    stage: str,
    spec: EvaluationSpec,
    side: str,
    prompts: list[list[Message]],
    max_tokens: int,
    channel: Channel,
    timed: int,
) -> Generated:
    """Return one side's answers, reported as progress; the base's from the cache where they are."""
    total = len(distinct(prompts))
    gguf, tokenizer = spec.sides[side].gguf, spec.sides[side].tokenizer_folder
    kept = None
    if spec.cache_dir and side == "base":
        kept = cache.entry_path(spec.cache_dir, gguf, tokenizer, prompts, max_tokens)

    def on_done(done: int) -> None:
        channel.progress(stage, step=done, total_steps=total)

    on_done(0)
    if spec.sides[side].is_encoder:
        return generate.classify(gguf, prompts, on_done=on_done, timed=timed)
    if kept and (entry := cache.read_entry(kept, len(prompts))):
        on_done(total)
        return replace(entry, cached=True)
    generated = generate.generate(
        gguf, tokenizer, prompts, max_tokens=max_tokens, on_done=on_done, timed=timed
    )
    if kept:
        cache.write_entry(kept, generated)
    on_done(total)
    return generated


def _answers(
    spec: EvaluationSpec, prepared: Prepared, generated: Mapping[str, Generated]
) -> Answers:
    return Answers(
        prepared.rows["tuned"].inputs,
        prepared.rows["tuned"].references,
        generated["base"].texts,
        generated["tuned"].texts,
        live=generated["live"].texts if spec.live else None,
        live_name=spec.live.name if spec.live else "",
        fixtures=_fixtures(spec, prepared),
        measured={
            side: Measured(answered.latencies, spec.sides[side].size_mb, answered.tokens)
            for side, answered in generated.items()
        },
    )


def _rivals(
    spec: EvaluationSpec, prepared: Prepared, max_tokens: int, channel: Channel
) -> list[Rival] | None:
    """Return what learned from the same rows; None where they are not at hand."""
    if spec.train_file is None or not spec.train_file.is_file():
        return None
    channel.progress("rivals", step=0, total_steps=1)
    rows = held_out(read_conversations(spec.train_file), "")
    pairs = list(zip(rows.inputs, rows.references, strict=True))
    found = rivals_of(pairs, prepared.rows["tuned"].inputs)
    if pairs and objection_to_labels(rows.references):
        found.append(_few_shot(spec, prepared, examples_for(pairs), max_tokens, channel))
    return found


def _few_shot(
    spec: EvaluationSpec,
    prepared: Prepared,
    examples: Sequence[tuple[str, str]],
    max_tokens: int,
    channel: Channel,
) -> Rival:
    shown: list[Message] = []
    for text, answer in examples:
        shown += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    prompts = [
        [*(turn for turn in prompt if turn["role"] == "system"), *shown, prompt[-1]]
        for prompt in prepared.rows["base"].prompts
    ]
    answered = _answer("rivals", spec, "base", prompts, max_tokens, channel, 0)
    each = answered.seconds * 1000 / max(len(distinct(prompts)), 1)
    name = f"the base with {len(examples)} rows as examples"
    return Rival(name, answered.texts, each, spec.base.size_mb)


def _fixtures(spec: EvaluationSpec, prepared: Prepared) -> list[Fixture | None]:
    """Look for tables only where a check executes SQL on them."""
    checks = prepared.criteria.checks
    named = {spec.metric, *(name for check in checks for name in (check.metric, check.of))}
    if not any(metric.needs_tables for name, metric in METRICS.items() if name in named):
        return []
    rows = prepared.rows["tuned"]
    return list(map(find_fixture, prepared.tables, rows.inputs, rows.references))


def _write(spec: EvaluationSpec, report: Report, answers: Answers) -> None:
    scorer = build_scorer(
        spec.metric, {"labels": spec.labels}, answers.references, answers.fixtures
    )

    def fill(folder: Path) -> None:
        (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False))
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as stream:
            for row in worst_first(answers, scorer):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    write_artifact(spec.out_dir, fill, kind="evaluation", facts={"verdict": report["verdict"]})


if __name__ == "__main__":
    main(sys.argv[1])
