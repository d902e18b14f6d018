"""From a requirement to a measured model in one terminal, by the same services, without workers.

    manage.py build_model --requirement "Route each ticket …" --examples examples.jsonl --rows 400
    manage.py build_model --requirement "Sort repair requests." --data tickets.xlsx --no-corpus

The last line of stdout is one JSON object. Exit code 0 only when the model is ready; 3
where it is in doubt what is wanted: the questions are printed, and nothing is built without --yes.
"""

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from rich.console import Console

from accounts.models import Organization
from distillation.imports.reading.errors import RowError
from distillation.imports.reading.rows import ExampleRow, ReadOptions, read_examples
from distillation.imports.services import draft_of, preview_of
from distillation.model_data import own_rows
from distillation.model_data.new_rows import completed
from distillation.model_data.overview import data_overview
from distillation.model_data.own_rows import OwnRows
from distillation.pipeline.text import input_text
from distillation.pipeline.types import Question
from distillation.pipeline.understand.explain import explain
from distillation.pipeline.understand.row_format import MANY_SYSTEM_TURNS
from models_app.bases.recommending import recommended
from models_app.drafts import ModelDraft
from models_app.models import DEFAULT_ROWS, CustomModel
from models_app.understanding import NeedsConfirmation, understood
from modelstation.core.commands import PlainCommand
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.kinds import run_task
from modelstation.core.models import Job
from modelstation.site import installation
from modelstation.site.journey import story_of
from modelstation.site.terminal import displayed
from training.builds.services import create_model
from training.scoring.metrics import MODEL_METRICS

WAIT_SECONDS = 1.0
IN_DOUBT = 3  # exit code


class Command(PlainCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        text: Any = {"default": "", "metavar": "TEXT"}
        file: Any = {"type": Path, "metavar": "FILE"}
        number: Any = {"type": int, "metavar": "N"}
        metrics = ", ".join(MODEL_METRICS)
        add("--requirement", required=True, metavar="TEXT|@FILE", help="or @FILE to read it from")
        add("--objective", **text, help="what the model does, in one sentence")
        add("--policy", **text, help="how it must answer")
        add("--examples", **file, help="JSONL of input/output pairs or chats, at most 50")
        add("--test", **file, help="held-out rows; without it the frozen test split is used")
        add("--metric", **text, choices=["", *MODEL_METRICS], help=f"by the task, or {metrics}")
        add(
            "--criterion",
            action="append",
            default=[],
            metavar="TEXT",
            help="of success; repeatable",
        )
        add("--system-prompt", **text, help="default: compiled from the requirement")
        add("--intent-edits", **file, help="JSON corrections: see POST /api/v1/intents")
        add("--base", default="", metavar="NAME", help="default: the recommended of the installed")
        add(
            "--student",
            choices=CustomModel.Student.values,
            default="auto",
            help="encoder tells labels apart, generator writes; default: by the task",
        )
        add("--max-size-mb", **number, help="how large the served model may be, at most")
        add("--rows", **number, default=DEFAULT_ROWS, help=f"of the dataset ({DEFAULT_ROWS})")
        add(
            "--data",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="own rows with their answers: CSV, TSV, Excel, JSONL, JSON, Parquet; repeatable",
        )
        add("--columns", default="", metavar="INPUT,ANSWER", help="of --data; default: guessed")
        add("--no-corpus", action="store_true", help="take the rows of --data alone")
        add(
            "--doubtful-rows",
            choices=CustomModel.DoubtfulRows.values,
            default=CustomModel.DoubtfulRows.LEAVE_OUT.value,
            help="what is done with rows whose label is likely wrong",
        )
        add("--name", **text, help="default: the first words of the requirement")
        add("--org", default="", metavar="SLUG", help="of the organisation; default: the demo's")
        add("--yes", action="store_true", help="build although something is in doubt")
        add("--json", action="store_true", help="print nothing on stdout but the JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(stderr=options["json"])
        try:
            draft, org = _draft(options), _organization(options["org"])
            rows = [_own_rows(org, path, options["columns"]) for path in options["data"]]
            for each in rows:
                draft = completed(draft, preview_of(each.run, each.draft))
            model = create_model(
                actor=None, org=org, draft=draft, rows=rows, confirmed=options["yes"]
            )
        except NeedsConfirmation as doubt:
            _ask(doubt.questions)
        except UserFacingError as error:
            raise CommandError(error.text) from error
        for what, sentence in explain(understood(model)):
            console.print(f"{what:>9}  {sentence}", highlight=False, markup=False)
        console.print(f"{'base':>9}  {_about_base(model, draft)}", highlight=False, markup=False)
        for sentence in _contract(model):
            console.print(f"{'contract':>9}  {sentence}", highlight=False, markup=False)
        model = _build(model, console)
        print(json.dumps(_report(model), ensure_ascii=False))
        if model.status != CustomModel.Status.READY:
            sys.exit(1)


def _ask(questions: Sequence[Question]) -> NoReturn:
    """Print what is in doubt, and the correction that each choice amounts to; exit code 3."""
    lines = []
    for question in questions:
        lines += [question.sentence]
        for choice in question.choices:
            edits = json.dumps(choice.intent_edits, ensure_ascii=False)
            lines += [f"  - {choice.text}" + (f"   {edits}" if choice.intent_edits else "")]
    lines += [
        "Nothing was built. Give the right corrections in a file with --intent-edits, or --yes to"
        " build from the first choices."
    ]
    raise CommandError("\n".join(lines), returncode=IN_DOUBT)


def _draft(options: dict[str, Any]) -> ModelDraft:
    requirement = _text_or_file(options["requirement"])
    return ModelDraft(
        name=options["name"] or " ".join(re.findall(r"\w+", requirement)[:6]),
        requirement=requirement,
        objective=options["objective"],
        policy=options["policy"],
        examples=_pairs(options["examples"]),
        test_rows=_pairs(options["test"]),
        success_criteria=options["criterion"],
        metric=options["metric"],
        system_prompt=options["system_prompt"],
        base=options["base"],
        max_size_mb=options["max_size_mb"],
        rows=options["rows"],
        student=options["student"],
        intent_edits=_intent_edits(options["intent_edits"]),
        search_corpus=not options["no_corpus"],
        doubtful_rows=options["doubtful_rows"],
    )


def _own_rows(org: Organization, path: Path, columns: str) -> OwnRows:
    """Keep the file for the build. `columns` are those of input and answer, where they are said."""
    if not path.is_file():
        raise CommandError(f"There is no file {path}.")
    run = own_rows.keep_path(actor=None, org=org, path=path)
    draft = draft_of(run)
    if columns:
        user, _, assistant = columns.rpartition(",")
        draft = replace(draft, user=user.strip(), assistant=assistant.strip())
    return OwnRows(run, draft)


def _contract(model: CustomModel) -> list[str]:
    """Return what is checked, in plain words, and what no check could be read out of."""
    words = [check["words"] for check in model.contract["checks"]]
    unread = model.contract["unread"]
    return words + [f"Not measured: “{item['sentence']}”. {item['hint']}" for item in unread]


def _about_base(model: CustomModel, draft: ModelDraft) -> str:
    advice = recommended(draft)
    fetch = f" It is not here: manage.py fetch_base {advice.base.name} fetches it."
    return f"{model.base_id}. Recommended is {advice.reason}{'' if advice.is_installed else fetch}"


def _intent_edits(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        edits: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"The corrections cannot be read from {path}: {error}") from error
    if not isinstance(edits, dict):
        raise CommandError(f"The corrections in {path} must be one JSON object.")
    return edits


def _text_or_file(value: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise CommandError(f"{value[1:]} is not UTF-8. Save it as UTF-8.") from error
    except OSError as error:
        message = f"The requirement cannot be read from “{value[1:]}”: {error.strerror}."
        raise CommandError(message) from error


def _pairs(path: Path | None) -> list[dict[str, str]]:
    """Read inputs and outputs of a file. System turns that only word the task are left out: the
    model has a prompt of its own. Those that differ from row to row join the input, as in its
    dataset."""
    if path is None:
        return []
    rows: list[ExampleRow] = []
    for row in read_examples(path, ReadOptions(license="own")):
        if isinstance(row, RowError):
            raise UserFacingError(str(row), code=row.code)
        rows.append(row)
    joins = len({_system(row) for row in rows}) > MANY_SYSTEM_TURNS
    return [{"input": _input(row, joins), "output": row.messages[-1]["content"]} for row in rows]


def _input(row: ExampleRow, joins: bool) -> str:
    text = input_text(row.messages)
    return f"{_system(row)}\n\n{text}" if joins and _system(row) else text


def _system(row: ExampleRow) -> str:
    first = row.messages[0]
    return first["content"].strip() if first["role"] == "system" else ""


def _organization(slug: str) -> Organization:
    if not slug:
        return installation.prepare_demo()
    org = Organization.objects.filter(slug=slug).first()
    if org is None:
        raise CommandError(f"There is no organisation “{slug}”.")
    return org


def _build(model: CustomModel, console: Console) -> CustomModel:
    """Run the model's jobs here, one after another. One that a worker took first is waited for."""
    with displayed(story_of(model), console):
        while model.is_live_work:
            job = Job.objects.filter(subject_id=model.id, state=Job.State.QUEUED).first()
            if job is None:
                time.sleep(WAIT_SECONDS)
            else:
                run_task(job.kind, str(job.id))
            model.refresh_from_db()
    return model


def _report(model: CustomModel) -> dict[str, Any]:
    dataset = model.dataset_versions.first()
    version = model.versions.first()
    scores = version.scores if version else {}
    evaluation = model.evaluation_runs.first()
    artifacts = version.artifacts if version else ()
    folder = settings.ARTIFACTS_DIR / (version.folder if version else "")
    return {
        "model": model.slug,
        "status": model.status,
        "reason": model.status_reason,
        "system_prompt": dataset.system_prompt if dataset else model.system_prompt,
        "missing": {need.name: need.missing for need in data_overview(model).missing},
        "dataset_rows": dataset.row_count if dataset else 0,
        "sources": dataset.source_counts if dataset else {},
        "base_score": scores.get("base", {}).get("score"),
        "tuned_score": scores.get("tuned", {}).get("score"),
        "rivals": {each["name"]: each["score"] for each in scores.get("rivals", [])},
        "metric": scores.get("metric"),
        "n_test": scores.get("n_test", 0),
        "verdict": evaluation.verdict if evaluation else None,
        "artifacts": {kind: str(folder / kind) for kind in artifacts},
        "seconds": _seconds(model),
    }


def _seconds(model: CustomModel) -> dict[str, float]:
    """Return how long the newest job of each kind took, and all of them."""
    jobs = Job.objects.filter(subject_id=model.id).order_by("created_at")
    stages = {job.kind: round(job.seconds, 1) for job in jobs}
    return stages | {"total": round(sum(stages.values()), 1)}
