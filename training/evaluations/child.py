"""The evaluation child: held-out rows go to the base and to the tuned model, and to the live
version where there is one; a report and a verdict come out.

    python -m training.evaluations.child SPEC.json

SPEC.json holds the fields of training.evaluations.spec.EvaluationSpec. Writes report.json and
rows.jsonl, the worst row first.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from modelstation.core.artifacts import write_artifact
from training.evaluations.spec import EvaluationSpec
from training.progress import Channel, ChildError, read_spec, run_as_child
from training.scoring.criteria import Criteria
from training.scoring.criterion import LATENCY
from training.scoring.metrics import METRICS, Given, Options, build_scorer, model_metric
from training.scoring.probes import MAX_TOKENS, all_probes, probe_report
from training.scoring.report import Answers, Measured, build_report, worst_first
from training.scoring.shapes import EvaluationResult, GenerationFacts, ProbeReport, Report
from training.scoring.sql import Fixture, find_fixture

if TYPE_CHECKING:
    from modelstation.lm.chat import Message
    from training.scoring.generate import Generated, HeldOut

TIMED = 20  # answers requested one by one for a criterion on latency …
TIMED_ANYWAY = 5  # … and for the report alone


@dataclass(frozen=True)
class Prepared:
    """The rows as each side gets them, the checks, and the tables given with rows."""

    rows: "dict[str, HeldOut]"
    criteria: Criteria
    tables: list[Any]

    @property
    def tuned(self) -> "HeldOut":
        return self.rows["tuned"]


def main(spec_path: str) -> None:
    run_as_child(lambda channel: _run(spec_path, channel))


def _run(spec_path: str, channel: Channel) -> dict[str, Any]:
    return {**run_evaluation(EvaluationSpec.from_json(read_spec(spec_path)), channel)}


def run_evaluation(spec: EvaluationSpec, channel: Channel) -> EvaluationResult:
    """Return the result of one evaluation. ChildError for what the user can put right."""
    prepared = _prepare(spec)
    max_tokens = spec.max_tokens or _answer_budget(prepared.tuned, spec.tuned.tokenizer_folder)
    generated = {
        side: _generate(side, spec, prepared, max_tokens, channel) for side in prepared.rows
    }
    answers = _answers(spec, prepared, generated)
    report = build_report(
        answers, metric=spec.metric, criteria=prepared.criteria, labels=spec.labels, seed=spec.seed
    )
    _add_generation(report, spec, generated)
    report["max_tokens"], report["system_prompt"] = max_tokens, spec.system_prompt
    report["probes"] = _probe(spec, channel) if spec.probes else None
    _write(spec, report, answers)
    return _result(report)


def _add_generation(
    report: Report, spec: EvaluationSpec, generated: "Mapping[str, Generated]"
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


# --- before an engine starts --------------------------------------------------------------------


def _prepare(spec: EvaluationSpec) -> Prepared:
    """Refuse here whatever can be refused, before an engine is started."""
    from training.recipes.rows import read_conversations

    try:
        criteria = spec.checks()
        conversations = read_conversations(spec.test_file)
        tables = _given_tables(spec.test_file)
        for name in (spec.metric, *(check.of for check in criteria.checks if check.of)):
            model_metric(name)
        for check in criteria.checks:
            if check.options and check.metric in METRICS:  # a pattern or a schema may be broken
                METRICS[check.metric].build(Given(check.options))
    except (ValueError, OSError) as error:
        raise ChildError("bad_spec", str(error)) from error
    if not conversations:
        raise ChildError(
            "not_enough_data", "There are no held-out rows to measure on. Add test rows."
        )
    for name, side in spec.sides.items():
        if not side.gguf.is_file():
            raise ChildError("bad_spec", f"The GGUF file of the {name} model is missing.")
    return Prepared(_rows_by_side(spec, conversations), criteria, tables)


def _rows_by_side(
    spec: EvaluationSpec, conversations: "list[list[Message]]"
) -> "dict[str, HeldOut]":
    """Give base and tuned the same prompts, and the live version its own system prompt."""
    from training.scoring.generate import held_out

    same = held_out(conversations, spec.system_prompt)
    rows = {"base": same, "tuned": same}
    if spec.live:
        own = spec.live.system_prompt
        rows["live"] = held_out(conversations, spec.system_prompt if own is None else own)
    return rows


def _given_tables(path: Path) -> list[Any]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line).get("fixture") for line in lines if line.strip()]


def _answer_budget(rows: "HeldOut", tokenizer_folder: Path) -> int:
    from modelstation.lm.chat import load_renderer
    from training.scoring.generate import answer_budget

    return answer_budget(rows.references, load_renderer(tokenizer_folder))


# --- answers ------------------------------------------------------------------------------------


def _generate(
    side: str, spec: EvaluationSpec, prepared: Prepared, max_tokens: int, channel: Channel
) -> "Generated":
    is_timed = any(check.metric == LATENCY for check in prepared.criteria.checks)
    timed = TIMED if is_timed else TIMED_ANYWAY
    prompts = prepared.rows[side].prompts
    return _ask(f"generate_{side}", spec, side, prompts, max_tokens, channel, timed)


def _probe(spec: EvaluationSpec, channel: Channel) -> ProbeReport:
    prompts = [probe.messages for probe in all_probes()]
    base, tuned = (
        _ask(f"probe_{side}", spec, side, prompts, MAX_TOKENS, channel, 0)
        for side in ("base", "tuned")
    )
    return probe_report(base.texts, tuned.texts, spec.seed)


def _ask(
    stage: str,
    spec: EvaluationSpec,
    side: str,
    prompts: "list[list[Message]]",
    max_tokens: int,
    channel: Channel,
    timed: int,
) -> "Generated":
    """Return one side's answers, reported as progress; the base's from the cache where they are."""
    from models_app.serving.engine import ServingError
    from training.scoring.generate import distinct, generate

    total = len(distinct(prompts))
    gguf, tokenizer = spec.sides[side].gguf, spec.sides[side].tokenizer_folder
    channel.progress(stage, step=0, total_steps=total)
    try:
        generated = _cached(
            spec.cache_dir if side == "base" else None,
            (gguf, tokenizer, prompts, max_tokens),
            lambda: generate(
                gguf,
                tokenizer,
                prompts,
                max_tokens=max_tokens,
                on_done=lambda done: channel.progress(stage, step=done, total_steps=total),
                timed=timed,
            ),
        )
    except ServingError as error:
        raise ChildError(error.code, error.message) from error
    channel.progress(stage, step=total, total_steps=total)
    return generated


def _cached(
    folder: Path | None,
    request: "tuple[Path, Path, list[list[Message]], int]",
    generate: "Callable[[], Generated]",
) -> "Generated":
    from training.scoring.cache import entry_path, read_entry, write_entry

    if not folder:
        return generate()
    path = entry_path(folder, *request)
    if entry := read_entry(path, len(request[2])):
        return replace(entry, cached=True)
    generated = generate()
    write_entry(path, generated)
    return generated


def _answers(
    spec: EvaluationSpec, prepared: Prepared, generated: "Mapping[str, Generated]"
) -> Answers:
    return Answers(
        prepared.tuned.inputs,
        prepared.tuned.references,
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


def _fixtures(spec: EvaluationSpec, prepared: Prepared) -> list[Fixture | None]:
    """Look for tables only where a check executes SQL on them."""
    checks = prepared.criteria.checks
    named = {spec.metric, *(name for check in checks for name in (check.metric, check.of))}
    if not any(metric.needs_tables for name, metric in METRICS.items() if name in named):
        return []
    rows = prepared.tuned
    triples = zip(prepared.tables, rows.inputs, rows.references, strict=True)
    return [find_fixture(tables, question, reference) for tables, question, reference in triples]


def _write(spec: EvaluationSpec, report: Report, answers: Answers) -> None:
    options: Options = {"labels": spec.labels}
    scorer = build_scorer(spec.metric, options, answers.references, answers.fixtures)

    def fill(folder: Path) -> None:
        (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False))
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as stream:
            for row in worst_first(answers, scorer):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    write_artifact(spec.out_dir, fill, kind="evaluation", facts={"verdict": report["verdict"]})


if __name__ == "__main__":
    main(sys.argv[1])
