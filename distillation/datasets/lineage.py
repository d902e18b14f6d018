"""Where a dataset comes from, and whether it still is what was frozen: everything is hashed again.

Rows are streamed once, whatever their number; the number of queries is fixed.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count

from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline import corrections, export
from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import Example
from distillation.pipeline.understand import row_format
from modelstation.core.artifacts import ArtifactError, read_manifest, verify

ROWS_AT_ONCE = 2000
SHOWN_PROBLEMS = 20
UPLOAD = "uploaded file "
VERIFIED, DIFFERS, UNKNOWN = "verified", "differs", "unknown"


@dataclass(frozen=True)
class Check:
    """One thing that was hashed again. `unknown`: there is nothing left to compare it with."""

    name: str
    verdict: str
    detail: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceLine:
    """The rows of one source under one licence."""

    id: Any
    name: str
    license: str
    rows: int
    origin: str = ""
    revision: str = ""
    kind: str = ""  # of SourceDataset.Kind; empty: it is gone, or never was one

    @property
    def is_own(self) -> bool:
        """True for uploaded and for corrected rows, which never were a source of the corpus."""
        return self.name.startswith(UPLOAD) or self.name == corrections.SOURCE

    @property
    def is_deleted(self) -> bool:
        return self.id is None and not self.is_own


@dataclass(frozen=True)
class DatasetLineage:
    dataset: DatasetVersion
    sources: list[SourceLine]
    checks: list[Check]

    @property
    def verdict(self) -> str:
        return overall(self.checks)


def overall(checks: Iterable[Check]) -> str:
    """One word for several: what differs counts most, then what nobody can tell."""
    verdicts = {check.verdict for check in checks}
    return next(word for word in (DIFFERS, UNKNOWN, VERIFIED) if word in verdicts | {VERIFIED})


def lineage_of(version: DatasetVersion) -> DatasetLineage:
    """Needs the version's `model` and `run`."""
    scan = _scan(version)
    detail = f"{scan.rows:,} rows were hashed again, {len(scan.altered):,} of them differ."
    checks = [_check("Rows", detail, scan.altered), _corpus_check(scan)]
    if version.state == DatasetVersion.State.FROZEN:
        checks += [_digest_check(version, scan), *_file_checks(version)]
    return DatasetLineage(version, _sources(version), checks)


def row_lines(version: DatasetVersion) -> Iterator[str]:
    """Each row with where it comes from and what its hash is now, a JSON line each; streamed."""
    wanted = (
        "position", "split", "decision", "source", "source_name", "task", "license",
        "content_hash", "corpus_hash", "score", "scores", "query", "step", "reason", "messages",
        "provenance",
    )  # fmt: skip
    for row in version.rows.order_by("position").values(*wanted).iterator(ROWS_AT_ONCE):
        source, messages = row.pop("source"), row.pop("messages")
        row |= {
            "source_id": str(source) if source else None,
            "source_deleted": SourceLine(source, row["source_name"], "", 1).is_deleted,
            "verified": _hash(messages) == row["content_hash"],
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"


# --- rows -----------------------------------------------------------------------------------------


@dataclass
class _Scan:
    """What one pass over the rows found."""

    rows: int = 0
    lines: list[str] = field(default_factory=list)  # of the digest
    altered: list[str] = field(default_factory=list)
    corpus: Counter[str] = field(default_factory=Counter)
    corpus_altered: list[str] = field(default_factory=list)


def _scan(version: DatasetVersion) -> _Scan:
    scan = _Scan()
    wanted = "position split decision messages content_hash corpus_hash example__content_hash"
    rows = version.rows.order_by("position").values_list(*wanted.split())
    for position, split, decision, messages, stored, then, now in rows.iterator(ROWS_AT_ONCE):
        scan.rows += 1
        result = _hash(messages)
        if decision == DatasetRow.Decision.KEPT:
            scan.lines.append(f"{split} {result}")
        if result != stored:
            scan.altered.append(f"Row {position} is not what was selected.")
        state = _corpus_state(then, now)
        scan.corpus[state] += 1
        if state == DIFFERS:
            scan.corpus_altered.append(f"The corpus row of row {position} has changed since.")
    return scan


def _hash(messages: Any) -> str:
    """Empty for what is no conversation: it matches nothing."""
    try:
        return hash_messages(messages)
    except (KeyError, TypeError):
        return ""


def _corpus_state(then: str, now: str | None) -> str:
    if not then or now is None:
        return UNKNOWN
    return VERIFIED if then == now else DIFFERS


def _corpus_check(scan: _Scan) -> Check:
    """Count a corpus row that is gone as no fault: sources may be deleted, datasets stay."""
    gone = scan.corpus[UNKNOWN]
    there = scan.corpus.total() - gone
    detail = f"{there:,} corpus rows are still there and were compared"
    detail += f", {gone:,} are gone or were not recorded." if gone else "."
    return _check("Corpus", detail, scan.corpus_altered)


def _check(name: str, detail: str, problems: list[str]) -> Check:
    verdict = DIFFERS if problems else VERIFIED
    return Check(name, verdict, detail, tuple(problems[:SHOWN_PROBLEMS]))


# --- digest and files -----------------------------------------------------------------------------


def _digest_check(version: DatasetVersion, scan: _Scan) -> Check:
    held_out = list(_held_out_lines(version))
    result = export.digest_of(scan.lines + held_out)
    detail = f"{len(scan.lines):,} rows and {len(held_out):,} held-out rows give {result}."
    wrong = [] if result == version.digest else [f"The dataset was frozen as {version.digest}."]
    return _check("Digest", detail, wrong)


def _held_out_lines(version: DatasetVersion) -> Iterator[str]:
    """Read the user's own test rows from the files; without files, as the model has them."""
    path = _folder(version) / "test.jsonl"
    if path.is_file():
        held = (r for r in _records(path) if r.get("source") == export.HELD_OUT)
        yield from (_line("test", record) for record in held)
        return
    rows = [Example(row["input"], row["output"]) for row in version.model.test_rows]
    for messages in row_format.held_out_messages(version.system_prompt, rows):
        yield f"test {hash_messages(messages)}"


def _file_checks(version: DatasetVersion) -> list[Check]:
    folder = _folder(version)
    try:
        files = verify(folder)["files"]
    except ArtifactError as error:
        gone = not folder.is_dir()
        detail = "The files are no longer on the disk." if gone else "The files were looked at."
        problems = [relative(error, folder)]
        return [Check("Files", UNKNOWN, detail) if gone else _check("Files", detail, problems)]
    detail = f"{len(files):,} files were hashed again and are as they were written."
    return [_check("Files", detail, []), _contents_check(version, folder)]


def _contents_check(version: DatasetVersion, folder: Path) -> Check:
    """Whole files of another dataset would pass the look at their manifest."""
    lines = [
        _line(split, record)
        for split in export.SPLITS
        for record in _records(folder / f"{split}.jsonl")
    ]
    result, wrong = export.digest_of(lines), []
    if result != version.digest:
        wrong.append(f"The files give the digest {result}.")
    written = read_manifest(folder).get("facts", {}).get("digest", version.digest)
    if written != version.digest:
        wrong.append(f"Their manifest was written for the digest {written}.")
    return _check("Contents of the files", f"{len(lines):,} rows in the files.", wrong)


def relative(error: ArtifactError, folder: Path) -> str:
    """Without the operator's folders, which are nobody's business."""
    return str(error).replace(f"{folder}/", "").replace(str(folder), "the folder") + "."


def _folder(version: DatasetVersion) -> Path:
    return Path(settings.ARTIFACTS_DIR) / (version.folder or "of-a-draft")


def _records(path: Path) -> Iterator[Mapping[str, object]]:
    """Lines that cannot be read count as empty rows."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            yield record if isinstance(record, dict) else {}


def _line(split: str, record: Mapping[str, object]) -> str:
    return f"{split} {_hash(record.get('messages'))}"


# --- sources --------------------------------------------------------------------------------------


def _sources(version: DatasetVersion) -> list[SourceLine]:
    """Of the rows that were kept, most first."""
    kept = version.rows.filter(decision=DatasetRow.Decision.KEPT).order_by()
    counted = kept.values_list(
        "source",
        "source_name",
        "license",
        "source__origin",
        "source__revision",
        "source__kind",
    ).annotate(rows=Count("id"))
    lines = [
        SourceLine(source, name, license_name, rows, origin or "", revision or "", kind or "")
        for source, name, license_name, origin, revision, kind, rows in counted
    ]
    return sorted(lines, key=lambda line: (-line.rows, line.name, line.license))
