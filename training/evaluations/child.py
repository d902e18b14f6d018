"""The evaluation child: held-out rows go to the base and to the tuned model, and to the live
version where there is one; a report and a verdict come out.

    python -m training.evaluations.child SPEC.json

SPEC.json holds `test_file` (JSON lines of messages, the last one the reference answer, with tables
for SQL under `fixture` where there are any), `base` and `tuned` (each with `gguf` and
`tokenizer_folder`), `system_prompt`, `metric`, `out_dir`, and optionally `criteria` (objects or
plain sentences) or `contract` (as CompiledChecks), `labels`, `max_tokens`, `seed`, `live`
(an engine with its own `system_prompt` and `name`), `probes` (default true) and `cache_dir`, where
the base's answers are kept for the next evaluation. Writes report.json and rows.jsonl, the worst
row first.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelstation.core.artifacts import write_artifact
from training.progress import Channel, ChildError, read_spec, required, run_as_child
from training.scoring.criteria import CompiledChecks, Criteria, read_criteria
from training.scoring.criterion import LATENCY
from training.scoring.metrics import METRICS, Given, build_scorer, model_metric
from training.scoring.probes import MAX_TOKENS, all_probes, probe_report
from training.scoring.report import Answers, Measured, build_report, worst_first
from training.scoring.sql import Fixture, find_fixture

if TYPE_CHECKING:
    from modelstation.lm.chat import Message
    from training.scoring.generate import Generated, HeldOut

RESULT_FIELDS = (
    "metric",
    "n_test",
    "base",
    "tuned",
    "difference",
    "live",
    "verdict",
    "criteria",
    "unread_criteria",
    "baseline",
    "note",
    "probes",
)
MB = 1e6
TIMED = 20  # answers asked one by one for a criterion on latency …
TIMED_ANYWAY = 5  # … and for the report alone


def main(spec_path: str) -> None:
    run_as_child(lambda channel: run_evaluation(read_spec(spec_path), channel))


def run_evaluation(spec: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """The result facts of one evaluation. ChildError for whatever the user can put right."""
    rows, criteria, given = _prepare(spec)
    max_tokens = spec.get("max_tokens") or _answer_budget(
        rows, Path(spec["tuned"]["tokenizer_folder"])
    )
    generated = {
        side: _generate(side, spec, rows[side].prompts, max_tokens, channel, criteria)
        for side in rows
    }
    answers = _answers(spec, rows["tuned"], criteria, given, generated)
    seed = int(spec.get("seed") or 0)
    report = build_report(
        answers,
        metric=spec["metric"],
        criteria=criteria,
        labels=spec.get("labels"),
        seed=seed,
    )
    for side, found in generated.items():
        report[side] |= found.facts() | {"size_mb": _size_mb(spec, side)}
    report |= {"max_tokens": max_tokens, "system_prompt": spec.get("system_prompt") or ""}
    report["probes"] = _probe(spec, channel, seed) if spec.get("probes", True) else None
    _write(Path(spec["out_dir"]), report, answers, spec)
    return _facts(report)


def _facts(report: dict[str, Any]) -> dict[str, Any]:
    """What the database keeps; tables and rows stay in the folder."""
    facts = {name: report[name] for name in RESULT_FIELDS}
    if facts["probes"]:
        facts["probes"] = {k: v for k, v in facts["probes"].items() if k != "rows"}
    return facts


# --- before an engine starts --------------------------------------------------------------------


def _prepare(spec: dict[str, Any]) -> "tuple[dict[str, HeldOut], Criteria, list[Any]]":
    """Everything that can be refused is refused here, before an engine is started: the rows as
    each side gets them, the checks, and the tables given with rows.
    """
    from training.recipes.rows import read_conversations

    required(spec, "test_file", "base", "tuned", "metric", "out_dir")
    try:
        criteria = _criteria(spec)
        conversations = read_conversations(Path(spec["test_file"]))
        given = _given_fixtures(Path(spec["test_file"]))
        for name in (spec["metric"], *(check.of for check in criteria.checks if check.of)):
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
    _require_files(spec)
    return _rows_by_side(spec, conversations), criteria, given


def _criteria(spec: dict[str, Any]) -> Criteria:
    if spec.get("contract"):
        return CompiledChecks(**spec["contract"]).criteria()
    return read_criteria(spec.get("criteria") or [], spec.get("labels"))


def _sides(spec: dict[str, Any]) -> list[str]:
    return ["base", "tuned", *(["live"] if spec.get("live") else [])]


def _require_files(spec: dict[str, Any]) -> None:
    for side in _sides(spec):
        if not Path(spec[side]["gguf"]).is_file():
            raise ChildError("bad_spec", f"The GGUF file of the {side} model is missing.")


def _rows_by_side(
    spec: dict[str, Any], conversations: "list[list[Message]]"
) -> "dict[str, HeldOut]":
    """Base and tuned get the same prompts; the live version its own system prompt, as it is
    served.
    """
    from training.scoring.generate import held_out

    same = held_out(conversations, spec.get("system_prompt") or "")
    rows = {"base": same, "tuned": same}
    if live := spec.get("live"):
        own = live.get("system_prompt", spec.get("system_prompt")) or ""
        rows["live"] = held_out(conversations, own)
    return rows


def _given_fixtures(path: Path) -> list[Any]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line).get("fixture") for line in lines if line.strip()]


def _answer_budget(rows: "dict[str, HeldOut]", tokenizer_folder: Path) -> int:
    from modelstation.lm.chat import load_renderer
    from training.scoring.generate import answer_budget

    return answer_budget(rows["tuned"].references, load_renderer(tokenizer_folder))


# --- answers ------------------------------------------------------------------------------------


def _generate(
    side: str,
    spec: dict[str, Any],
    prompts: "list[list[Message]]",
    max_tokens: int,
    channel: Channel,
    criteria: Criteria,
) -> "Generated":
    timed = TIMED if any(check.metric == LATENCY for check in criteria.checks) else TIMED_ANYWAY
    return _ask(f"generate_{side}", spec, side, prompts, max_tokens, channel, timed)


def _probe(spec: dict[str, Any], channel: Channel, seed: int) -> dict[str, Any]:
    prompts = [probe.messages for probe in all_probes()]
    base, tuned = (
        _ask(f"probe_{side}", spec, side, prompts, MAX_TOKENS, channel, 0)
        for side in ("base", "tuned")
    )
    return probe_report(base.texts, tuned.texts, seed)


def _ask(
    stage: str,
    spec: dict[str, Any],
    side: str,
    prompts: "list[list[Message]]",
    max_tokens: int,
    channel: Channel,
    timed: int,
) -> "Generated":
    """One side's answers, said as progress. The base's come from the cache where they lie there."""
    from models_app.serving.engine import ServingError
    from training.scoring.generate import distinct, generate

    total = len(distinct(prompts))
    gguf, tokenizer = Path(spec[side]["gguf"]), Path(spec[side]["tokenizer_folder"])
    channel.progress(stage, step=0, total_steps=total)
    try:
        found = _cached(
            spec.get("cache_dir") if side == "base" else None,
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
    return found


def _cached(
    folder: str | None,
    asked: "tuple[Path, Path, list[list[Message]], int]",
    generate: "Callable[[], Generated]",
) -> "Generated":
    from training.scoring.cache import entry_path, read_entry, write_entry

    if not folder:
        return generate()
    path = entry_path(Path(folder), *asked)
    if found := read_entry(path, len(asked[2])):
        return replace(found, cached=True)
    found = generate()
    write_entry(path, found)
    return found


def _answers(
    spec: dict[str, Any],
    rows: "HeldOut",
    criteria: Criteria,
    given: list[Any],
    generated: "dict[str, Generated]",
) -> Answers:
    live = generated.get("live")
    return Answers(
        rows.inputs,
        rows.references,
        generated["base"].texts,
        generated["tuned"].texts,
        live=live.texts if live else None,
        live_name=str((spec.get("live") or {}).get("name") or ""),
        fixtures=_fixtures(spec, rows, criteria, given),
        measured={
            side: Measured(found.latencies, _size_mb(spec, side), found.tokens)
            for side, found in generated.items()
        },
    )


def _fixtures(
    spec: dict[str, Any], rows: "HeldOut", criteria: Criteria, given: list[Any]
) -> list[Fixture | None]:
    """Tables are looked for only where a check executes SQL on them."""
    named = {name for check in criteria.checks for name in (check.metric, check.of)}
    if not any(METRICS[n].needs_tables for n in {spec["metric"], *named} & METRICS.keys()):
        return []
    triples = zip(given, rows.inputs, rows.references, strict=True)
    return [find_fixture(tables, asked, reference) for tables, asked, reference in triples]


def _size_mb(spec: dict[str, Any], side: str) -> float:
    return Path(spec[side]["gguf"]).stat().st_size / MB


def _write(out_dir: Path, report: dict[str, Any], answers: Answers, spec: dict[str, Any]) -> None:
    metric = build_scorer(
        spec["metric"], {"labels": spec.get("labels")}, answers.references, answers.fixtures
    )

    def fill(folder: Path) -> None:
        (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False))
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as stream:
            for row in worst_first(answers, metric):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    write_artifact(out_dir, fill, kind="evaluation", facts={"verdict": report["verdict"]})


if __name__ == "__main__":
    main(sys.argv[1])
