"""From a requirement to a measured model in one terminal, without workers: the same services, run
here.

    manage.py build_model --requirement "Route each ticket …" --examples examples.jsonl --rows 400

The last line of stdout is one JSON object. Exit code 0 only when the model is ready.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db.models import Max
from rich.console import Console

from accounts.models import Organization
from distillation.imports.reading.errors import RowError
from distillation.imports.reading.rows import ExampleRow, ReadOptions, read_examples
from distillation.pipeline.text import input_text
from distillation.pipeline.understand.explain import explain
from distillation.pipeline.understand.row_format import MANY_SYSTEM_TURNS
from models_app.bases.recommending import recommended
from models_app.drafts import ModelDraft
from models_app.models import DEFAULT_ROWS, CustomModel
from models_app.understanding import understood
from modelstation.core.commands import PlainCommand
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.kinds import run_task
from modelstation.core.models import Job
from modelstation.site import installation
from modelstation.site.journey import story_of
from modelstation.site.terminal import JobDisplay
from training.builds.services import create_model
from training.scoring.metrics import MODEL_METRICS

WAIT_SECONDS = 1.0


class Command(PlainCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--requirement",
            required=True,
            metavar="TEXT|@FILE",
            help="the requirement, or @FILE to read it from",
        )
        parser.add_argument(
            "--objective", default="", metavar="TEXT", help="what the model does, in one sentence"
        )
        parser.add_argument("--policy", default="", metavar="TEXT", help="how it must answer")
        parser.add_argument(
            "--examples",
            type=Path,
            metavar="FILE",
            help="JSONL of input/output pairs or chats, at most 50",
        )
        parser.add_argument(
            "--test",
            type=Path,
            metavar="FILE",
            help="held-out rows; without it the frozen test split is used",
        )
        parser.add_argument(
            "--metric",
            default="",
            choices=["", *MODEL_METRICS],
            metavar="METRIC",
            help=f"one of {', '.join(MODEL_METRICS)}; default: by the kind of task",
        )
        parser.add_argument(
            "--criterion",
            action="append",
            default=[],
            metavar="TEXT",
            help="a success criterion; repeatable",
        )
        parser.add_argument(
            "--system-prompt",
            default="",
            metavar="TEXT",
            help="default: compiled from the requirement",
        )
        parser.add_argument(
            "--intent-edits",
            type=Path,
            metavar="FILE",
            help="JSON file that puts right what is understood: see POST /api/v1/intents",
        )
        parser.add_argument(
            "--base",
            default="",
            metavar="NAME",
            help="default: the recommended one of those that are installed",
        )
        parser.add_argument(
            "--max-size-mb",
            type=int,
            metavar="MB",
            help="how large the served model may be, at most",
        )
        parser.add_argument(
            "--rows",
            type=int,
            default=DEFAULT_ROWS,
            metavar="N",
            help=f"rows in the dataset ({DEFAULT_ROWS})",
        )
        parser.add_argument(
            "--name", default="", metavar="TEXT", help="default: the first words of the requirement"
        )
        parser.add_argument(
            "--org",
            default="",
            metavar="SLUG",
            help="slug of the organisation; default: the demo's",
        )
        parser.add_argument(
            "--json", action="store_true", help="print nothing on stdout but the JSON object"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(stderr=options["json"])
        try:
            draft = _draft(options)
            model = create_model(actor=None, org=_organization(options["org"]), draft=draft)
        except UserFacingError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        for what, sentence in explain(understood(model)):
            console.print(f"{what:>9}  {sentence}", highlight=False, markup=False)
        console.print(f"{'base':>9}  {_about_base(model, draft)}", highlight=False, markup=False)
        for sentence in _contract(model):
            console.print(f"{'contract':>9}  {sentence}", highlight=False, markup=False)
        model = _build(model, console)
        report = _report(model)
        print(json.dumps(report, ensure_ascii=False))
        if model.status != CustomModel.Status.READY:
            sys.exit(1)


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
        intent_edits=_intent_edits(options["intent_edits"]),
    )


def _contract(model: CustomModel) -> list[str]:
    """Return what is checked, in plain words, and what no check could be read out of."""
    unread = [
        f"Not measured: “{item['sentence']}”. {item['hint']}" for item in model.contract["unread"]
    ]
    return [check["words"] for check in model.contract["checks"]] + unread


def _about_base(model: CustomModel, draft: ModelDraft) -> str:
    advice = recommended(draft)
    if advice.is_installed:
        fetch = ""
    else:
        fetch = f" It is not here: manage.py fetch_base {advice.base.name} fetches it."
    return f"{model.base_id}. Recommended is {advice.reason}{fetch}"


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
        why = error.strerror
        raise CommandError(f"The requirement cannot be read from “{value[1:]}”: {why}.") from error


def _pairs(path: Path | None) -> list[dict[str, str]]:
    """Read inputs and outputs of a file. System turns that only word the task are left out: the
    model has a prompt of its own. Those that differ from row to row join the input, as in its
    dataset.
    """
    if path is None:
        return []
    rows = [_row(row) for row in read_examples(path, ReadOptions(license="own"))]
    joins = len({_system(row) for row in rows}) > MANY_SYSTEM_TURNS
    return [{"input": _input(row, joins), "output": row.messages[-1]["content"]} for row in rows]


def _input(row: ExampleRow, joins: bool) -> str:
    text = input_text(row.messages)
    return f"{_system(row)}\n\n{text}" if joins and _system(row) else text


def _row(row: ExampleRow | RowError) -> ExampleRow:
    if isinstance(row, RowError):
        raise UserFacingError(str(row), code=row.code)
    return row


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
    with JobDisplay(story_of(model), console):
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
    return {
        "model": model.slug,
        "status": model.status,
        "reason": model.status_reason,
        "system_prompt": dataset.system_prompt if dataset else model.system_prompt,
        "dataset_rows": dataset.row_count if dataset else 0,
        "sources": dataset.source_counts if dataset else {},
        "base_score": scores.get("base", {}).get("score"),
        "tuned_score": scores.get("tuned", {}).get("score"),
        "metric": scores.get("metric"),
        "n_test": scores.get("n_test", 0),
        "verdict": evaluation.verdict if evaluation else None,
        "artifacts": _artifact_folders(version),
        "seconds": _seconds(model),
    }


def _artifact_folders(version: Any) -> dict[str, str]:
    if version is None:
        return {}
    return {kind: str(settings.ARTIFACTS_DIR / version.folder / kind) for kind in version.artifacts}


def _seconds(model: CustomModel) -> dict[str, float]:
    newest = (
        Job.objects.filter(subject_id=model.id).values("kind").annotate(newest=Max("created_at"))
    )
    jobs_of_build = Job.objects.filter(
        subject_id=model.id, created_at__in=[row["newest"] for row in newest]
    )
    stages = {job.kind: round(job.seconds, 1) for job in jobs_of_build.order_by("created_at")}
    return stages | {"total": round(sum(stages.values()), 1)}
