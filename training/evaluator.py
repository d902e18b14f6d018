"""The evaluation child: held-out rows go to the base and to the tuned model; a report and a verdict
come out.

    python -m training.evaluator SPEC.json

SPEC.json holds `test_file` (JSON lines of messages, the last one the reference answer), `base` and
`tuned` (each with `gguf` and `tokenizer_folder`), `system_prompt`, `metric`, `out_dir`, and
optionally `criteria` (objects or plain sentences), `labels`, `max_tokens` and `seed`. Writes
report.json and rows.jsonl, the worst row first.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelstation.core.artifacts import write_artifact
from training.evaluation.criteria import Criteria, read_criteria
from training.evaluation.metrics import build_metric
from training.evaluation.report import Answers, build_report, worst_first
from training.progress import Channel, ChildError, read_spec, required, run_as_child

if TYPE_CHECKING:
    from training.evaluation.generate import Generated, HeldOut

RESULT_FIELDS = (
    "metric",
    "n_test",
    "base",
    "tuned",
    "difference",
    "verdict",
    "criteria",
    "unread_criteria",
    "baseline",
    "note",
)


def main(spec_path: str) -> None:
    run_as_child(lambda channel: run_evaluation(read_spec(spec_path), channel))


def run_evaluation(spec: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """The result facts of one evaluation. ChildError for whatever the user can put right."""
    rows, criteria = _prepare(spec)
    max_tokens = spec.get("max_tokens") or _answer_budget(
        rows, Path(spec["tuned"]["tokenizer_folder"])
    )
    base = _generate("base", spec, rows, max_tokens, channel)
    tuned = _generate("tuned", spec, rows, max_tokens, channel)
    answers = Answers(rows.inputs, rows.references, base.texts, tuned.texts)
    report = build_report(
        answers,
        metric=spec["metric"],
        criteria=criteria,
        labels=spec.get("labels"),
        seed=int(spec.get("seed") or 0),
    )
    report["base"] |= base.facts()
    report["tuned"] |= tuned.facts()
    report |= {"max_tokens": max_tokens, "system_prompt": spec.get("system_prompt") or ""}
    _write(Path(spec["out_dir"]), report, answers, spec)
    return {name: report[name] for name in RESULT_FIELDS}


def _prepare(spec: dict[str, Any]) -> "tuple[HeldOut, Criteria]":
    """Everything that can be refused is refused here, before an engine is started."""
    from training.evaluation.generate import held_out
    from training.recipes.rows import read_conversations

    required(spec, "test_file", "base", "tuned", "metric", "out_dir")
    try:
        criteria = read_criteria(spec.get("criteria") or [])
        conversations = read_conversations(Path(spec["test_file"]))
        for name in (spec["metric"], *(check.of for check in criteria.checks if check.of)):
            build_metric(name, {"labels": spec.get("labels")}, [])
    except (ValueError, OSError) as error:
        raise ChildError("bad_spec", str(error)) from error
    if not conversations:
        raise ChildError(
            "not_enough_data", "There are no held-out rows to measure on. Add test rows."
        )
    for side in ("base", "tuned"):
        if not Path(spec[side]["gguf"]).is_file():
            raise ChildError("bad_spec", f"The GGUF file of the {side} model is missing.")
    return held_out(conversations, spec.get("system_prompt") or ""), criteria


def _answer_budget(rows: "HeldOut", tokenizer_folder: Path) -> int:
    from modelstation.lm.chat import load_renderer
    from training.evaluation.generate import answer_budget

    return answer_budget(rows.references, load_renderer(tokenizer_folder))


def _generate(
    side: str, spec: dict[str, Any], rows: "HeldOut", max_tokens: int, channel: Channel
) -> "Generated":
    from models_app.serving.engine import ServingError
    from training.evaluation.generate import generate

    stage, total = f"generate_{side}", len(rows.prompts)
    channel.progress(stage, step=0, total_steps=total)
    try:
        return generate(
            Path(spec[side]["gguf"]),
            Path(spec[side]["tokenizer_folder"]),
            rows.prompts,
            max_tokens=max_tokens,
            on_done=lambda done: channel.progress(stage, step=done, total_steps=total),
        )
    except ServingError as error:
        raise ChildError(error.code, error.message) from error


def _write(out_dir: Path, report: dict[str, Any], answers: Answers, spec: dict[str, Any]) -> None:
    metric = build_metric(spec["metric"], {"labels": spec.get("labels")}, answers.references)

    def fill(folder: Path) -> None:
        (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False))
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as stream:
            for row in worst_first(answers, metric):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    write_artifact(out_dir, fill, kind="evaluation", facts={"verdict": report["verdict"]})


if __name__ == "__main__":
    main(sys.argv[1])
