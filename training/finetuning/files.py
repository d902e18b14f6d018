"""Actions on the files of /v1/files: keep an upload and look at every row of it, write a run's
curves, delete.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.audit import record
from accounts.models import Organization, User
from distillation.imports import uploads
from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.readers import is_known
from distillation.imports.reading.rows import ExampleRow, sha256_of
from modelstation.core.errors import Conflict
from modelstation.core.models import Job
from training.finetuning.lines import Reading, kind_of, read_lines
from training.models import FineTuningRequest, TrainingRun, UploadedFile

SHOWN_PROBLEMS = 100
SAMPLE_ROWS = 1000  # that say what kind of task it is
NAMED_PROBLEMS = 3
REPAIRS = {
    "control_characters_removed": "Control characters were removed from {rows:,} row(s).",
    "broken_characters_replaced": "Broken characters were replaced in {rows:,} row(s).",
}
PROBLEMS = "problems.jsonl"


@dataclass
class Look:
    """One reading of all rows; a problem of the whole file, which ends it, stands first."""

    rows: int = 0
    problem_count: int = 0
    problems: list[RowError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repairs: Counter[str] = field(default_factory=Counter)
    different: set[str] = field(default_factory=set)
    sample: list[ExampleRow] = field(default_factory=list)

    def accept(self, row: ExampleRow) -> None:
        self.rows += 1
        self.sample += [row] if self.rows <= SAMPLE_ROWS else []
        self.repairs.update(row.flags & REPAIRS.keys())
        self.different.add(row.content_hash)

    def refuse(self, problem: RowError) -> None:
        self.problem_count += 1
        if not problem.line:
            self.problems.insert(0, problem)
        elif self.problem_count <= SHOWN_PROBLEMS:
            self.problems.append(problem)

    def note(self, reading: Reading) -> None:
        self.notes = list(reading.notes.values())
        self.notes += [REPAIRS[name].format(rows=rows) for name, rows in self.repairs.items()]
        if again := self.rows - len(self.different):
            self.notes.append(f"{again:,} row(s) are there twice, and will be trained on once.")

    @property
    def is_good(self) -> bool:
        return not self.problem_count

    @property
    def details(self) -> str:
        if self.is_good:
            return ""
        of_rows = f" of {self.rows + self.problem_count:,} rows" if self.rows else ""
        named = " ".join(map(sentence_of, self.problems[:NAMED_PROBLEMS]))
        return f"{self.problem_count:,} problem(s){of_rows}. {named}"


def sentence_of(problem: RowError) -> str:
    at = f"Line {problem.line}" if problem.line else "The file"
    where = f", field {problem.field}" if problem.field else ""
    return f"{at}{where}: {problem.message} {problem.hint}"


def _json_of(problem: RowError) -> dict[str, str | int]:
    return {name: value for name, value in problem.as_dict().items() if name != "file"}


def keep_upload(*, actor: User, org: Organization, file: uploads.ReceivedFile) -> UploadedFile:
    """Keep the file, with what is wrong in it: its author shall see all of it at once."""
    uploads.remove_abandoned()
    kept = UploadedFile(
        org=org,
        purpose=UploadedFile.Purpose.FINE_TUNE,
        filename=Path(file.name or "upload").name[:300],
        bytes=file.size or 0,
        sha256=file.sha256.hexdigest(),
        created_by=actor,
    )
    try:
        path = _take(file, kept)
        look = look_at(path, problems_path_of(kept))
        kept.status = UploadedFile.Status.PROCESSED if look.is_good else UploadedFile.Status.ERROR
        kept.status_details, kept.row_count = look.details, look.rows
        kept.problems, kept.problem_count = list(map(_json_of, look.problems)), look.problem_count
        kept.notes, kept.task_kind = look.notes, kind_of(look.sample)
        with transaction.atomic():
            kept.save()
            record(org=org, actor=actor, action="file.upload", target=kept, file=str(kept.id))
    except BaseException:
        shutil.rmtree(folder_of(kept), ignore_errors=True)
        raise
    return kept


def look_at(path: Path, problems_file: Path) -> Look:
    """Read every row; every one that is no use is written down, the first ones are kept here."""
    look, reading = Look(), Reading()
    with problems_file.open("w", encoding="utf-8") as out:
        for row in _rows_or_refusal(path, reading):
            if isinstance(row, ExampleRow):
                look.accept(row)
                continue
            out.write(json.dumps(_json_of(row), ensure_ascii=False) + "\n")
            look.refuse(row)
    look.note(reading)
    return look


def _rows_or_refusal(path: Path, reading: Reading) -> Iterator[ExampleRow | RowError]:
    """Yield its rows; what refuses the whole file is reported like a row of line 0."""
    seen = 0
    try:
        for row in read_lines(path, reading):
            seen += 1
            yield row
    except ImportRefused as error:
        message = error.message.removeprefix(f"{path.name}: ")
        yield RowError(path.name, 0, "", error.code, message, error.hint)
        return
    if not seen:
        hint = "Upload it again, with one row a line."
        yield RowError(path.name, 0, "", "no_rows", "there are no rows in it.", hint)


def write_results(*, run: TrainingRun, lines: Iterator[str]) -> UploadedFile:
    """Write the curves of a run as a file; called in the transaction that ends its job."""
    name = "step_metrics.csv"
    kept = UploadedFile(
        org=run.org,
        run=run,
        purpose=UploadedFile.Purpose.RESULTS,
        filename=name,
        status=UploadedFile.Status.PROCESSED,
    )
    kept.path = _path_within(kept, name)
    path = path_of(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    kept.bytes, kept.sha256 = path.stat().st_size, sha256_of(path)
    kept.save()
    return kept


def delete_file(*, actor: User, file: UploadedFile) -> None:
    """Delete a file that no job has still to read. What was trained on it keeps its rows."""
    if file._state.adding:
        hint = "They go with their model."
        raise Conflict("These are the frozen rows of a dataset.", code="file_in_use", hint=hint)
    with transaction.atomic():
        uses = Q(training_file=file.id) | Q(validation_file=file.id)
        waiting = FineTuningRequest.objects.filter(uses, job__state__in=Job.LIVE_STATES)
        if waiting.exists():
            message = "A fine-tuning job has still to read this file."
            hint = "Cancel the job, or wait until it trains."
            raise Conflict(message, code="file_in_use", hint=hint)
        record(org=file.org, actor=actor, action="file.delete", target=file, file=str(file.id))
        folder = folder_of(file)
        file.delete()
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def folder_of(file: UploadedFile) -> Path:
    return Path(settings.UPLOADS_DIR) / str(file.org_id) / "files" / str(file.id)


def problems_path_of(file: UploadedFile) -> Path:
    return folder_of(file) / PROBLEMS


def path_of(file: UploadedFile) -> Path:
    return Path(settings.UPLOADS_DIR) / file.path


def _take(file: uploads.ReceivedFile, kept: UploadedFile) -> Path:
    """Take the upload by a rename. A name without an ending that we know is of JSON lines."""
    name = uploads.safe_name(file.name or "")
    name = name if is_known(Path(name)) else f"{name}.jsonl"
    kept.path = _path_within(kept, name)
    path = path_of(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.flush()
    Path(file.temporary_file_path()).rename(path)
    file.close()
    return path


def _path_within(kept: UploadedFile, name: str) -> str:
    return f"{kept.org_id}/files/{kept.id}/file/{name}"
