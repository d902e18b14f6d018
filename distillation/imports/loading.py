"""Rows into the corpus: looked at whole, then embedded and copied in chunks, each one committed.

A file that must be refused is refused by the first look, before anything is stored. Until an import
is done its rows are in no selection: a source that it makes stays `loading`, and of a source that
is ready already the catalogue leaves out the rows of unfinished imports. An import that was
interrupted goes on behind the last chunk; one that is repeated finds every row by its hash and
embeds nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.text import slugify
from pgvector import HalfVector
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg.types import TypeInfo
from psycopg.types.json import Jsonb

from accounts.models import Organization
from distillation.imports.known_vectors import text_hash, vectors_of
from distillation.imports.reading.errors import RowError
from distillation.imports.reading.rows import (
    ExampleRow,
    Inspection,
    ReadOptions,
    characters_of,
    inspect_file,
    inspect_rows,
    read_examples,
)
from distillation.limits import NAME_CHARS, ORIGIN_CHARS
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.pipeline.text import embedding_text
from modelstation.lm.embedding import Embedder, Vectors, load_embedder

CHUNK_ROWS = 2_000
CHUNK_CHARACTERS = 8_000_000  # or earlier, so that a chunk of long rows fits into memory too
MIXED_LICENSES = "mixed"

Rows = Iterable[ExampleRow | RowError]
Row = ExampleRow | RowError
OnRows = Callable[[int], None]


@dataclass(frozen=True)
class Origin:
    """Something to import. `rows` starts from the first row each time it is called."""

    name: str  # file name, hub id or "starter"
    rows: Callable[[], Rows]
    inspect: Callable[[], Inspection]
    revision: str = ""


def file_origin(path: Path, options: ReadOptions) -> Origin:
    return Origin(
        path.name, lambda: read_examples(path, options), lambda: inspect_file(path, options)
    )


def rows_origin(name: str, rows: Callable[[], Rows], revision: str = "") -> Origin:
    return Origin(name, rows, lambda: inspect_rows(rows(), name), revision)


@dataclass
class Import:
    """One import under way. `fence` ends each chunk's transaction; it may raise to stop it."""

    run: ImportRun
    origin: Origin
    embedder: Callable[[], Embedder]
    on_rows: OnRows
    fence: Callable[[], None] = lambda: None
    kind: str = ""  # of the sources that it makes; empty: an upload, or the corpus of all
    sources: dict[str, SourceDataset] = field(default_factory=dict)  # by the name in its rows


def load(
    origin: Origin,
    *,
    embedder: Callable[[], Embedder] = load_embedder,
    org: Organization | None = None,
    limit: int | None = None,
    look: Inspection | None = None,
    run: ImportRun | None = None,
    on_rows: OnRows = lambda _: None,
) -> ImportRun:
    """Load all rows of `origin`, or its first `limit` usable ones.

    `embedder` is called when there is a row to embed: a repeated import loads no model.
    `on_rows` gets how many rows were processed since its last call. Raises ImportRefused
    before anything is stored. `look` spares the reading if the caller has looked already.
    """
    look = look or origin.inspect()
    run = run or unfinished(origin, look, org)
    run.errors = [error.as_dict() for error in look.errors]
    work = Import(run, origin, embedder, on_rows)
    load_rows(work, limit)
    return finish(work)


def load_rows(work: Import, limit: int | None = None) -> None:
    """All but the last step: the rows are stored, and not shown yet."""
    rows = up_to(work.origin.rows(), limit)
    # Rows of an interrupted try: they are stored, but their sources are yet to be shown.
    for row in islice(rows, work.run.rows_read):
        if isinstance(row, ExampleRow):
            source_of(work, row)
        work.on_rows(1)
    for chunk in chunks(rows):
        load_chunk(work, chunk)


def unfinished(origin: Origin, look: Inspection, org: Organization | None) -> ImportRun:
    """Return the interrupted import of the same content, to go on with it; else a new one."""
    wanted = {"org": org, "origin": origin.name[:ORIGIN_CHARS], "file_sha256": look.sha256}
    run = ImportRun.objects.filter(state=ImportRun.State.RUNNING, job=None, **wanted).first()
    return run or ImportRun.objects.create(**wanted)


def up_to(rows: Rows, limit: int | None) -> Iterator[Row]:
    """Rows until `limit` usable ones have passed."""
    left = limit if limit is not None else -1
    for row in rows:
        if left == 0:
            return
        left -= isinstance(row, ExampleRow)
        yield row


def chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(a_chunk(rows)):
        yield chunk


def a_chunk(rows: Iterator[Row]) -> Iterator[Row]:
    characters = 0
    for row in islice(rows, CHUNK_ROWS):
        yield row
        characters += characters_of(row)
        if characters >= CHUNK_CHARACTERS:
            return


def load_chunk(work: Import, chunk: list[Row]) -> None:
    examples = [row for row in chunk if isinstance(row, ExampleRow)]
    for example in examples:
        source_of(work, example)
    fresh = unseen(work, examples)
    work.on_rows(len(chunk) - len(fresh))
    vectors, tokens = embed(work, fresh)
    with transaction.atomic():
        added = copy_rows(work, fresh, vectors, tokens)
        note_position(work.run, len(chunk), added, examples)
        work.fence()


def embed(work: Import, fresh: Sequence[ExampleRow]) -> tuple[Sequence[Vectors], Sequence[int]]:
    if not fresh:
        return [], []
    embedder = work.embedder()
    texts = [embedding_text(example.messages) for example in fresh]
    tokens = embedder.count_tokens(
        ["\n".join(turn["content"] for turn in example.messages) for example in fresh]
    )
    return vectors_of(texts, embedder, org=work.run.org, on_rows=work.on_rows), tokens


def source_of(work: Import, example: ExampleRow) -> SourceDataset:
    """Return the row's source, made when it is the first; its licence is `mixed` if rows differ."""
    source = work.sources.get(example.source)
    if source is None:
        source, _ = SourceDataset.objects.get_or_create(
            org=work.run.org,
            name=slugify(example.source)[:NAME_CHARS] or "unnamed",
            defaults={
                "kind": work.kind or _kind_of(work.run, example),
                "license": example.license,
                "origin": work.origin.name[:ORIGIN_CHARS],
                "revision": (work.origin.revision or work.run.file_sha256)[:64],
            },
        )
        work.sources[example.source] = source
    if source.license not in (example.license, MIXED_LICENSES):
        source.license = MIXED_LICENSES
        source.save(update_fields=["license"])
    return source


def _kind_of(run: ImportRun, example: ExampleRow) -> str:
    if example.provenance.labelled_by == "log":
        return SourceDataset.Kind.LOGS
    return SourceDataset.Kind.UPLOAD if run.org_id else SourceDataset.Kind.CORPUS


def unseen(work: Import, examples: Sequence[ExampleRow]) -> list[ExampleRow]:
    """Rows that neither their source nor this chunk holds already: none is embedded twice."""
    keyed = {(source_of(work, row).id, row.content_hash): row for row in reversed(examples)}
    held = CorpusExample.objects.filter(
        source__in={source_id for source_id, _ in keyed},
        content_hash__in=[content_hash for _, content_hash in keyed],
    ).values_list("source_id", "content_hash")
    for key in held:
        keyed.pop(key, None)
    return sorted(keyed.values(), key=lambda row: row.line)


COLUMNS = {
    "source_id": "uuid",
    "content_hash": "varchar",
    "external_id": "varchar",
    "task": "varchar",
    "license": "varchar",
    "messages": "jsonb",
    "tokens": "int4",
    "language": "varchar",
    "flags": "varchar[]",
    "import_run_id": "uuid",
    "embedding": "halfvec",
    "text_hash": "bytea",
    "provenance": "jsonb",
}
SEARCHED_CHARACTERS = 4_000  # of a row's input; more would bloat the index and find nothing new
TABLE = CorpusExample._meta.db_table
NAMES = ", ".join(COLUMNS)
STAGE = f"""
    CREATE TEMPORARY TABLE incoming AS SELECT {NAMES}, '' AS input FROM {TABLE} WITH NO DATA
"""
COPY = f"COPY incoming ({NAMES}, input) FROM STDIN (FORMAT BINARY)"
# Another import may have brought the same row since `unseen` looked.
MERGE = f"""
    WITH added AS (
        INSERT INTO {TABLE} ({NAMES}, search)
        SELECT {NAMES}, to_tsvector('english', input) FROM incoming
        ON CONFLICT (source_id, content_hash) DO NOTHING RETURNING source_id
    ) SELECT source_id, count(*) FROM added GROUP BY source_id
"""


def copy_rows(
    work: Import, examples: Sequence[ExampleRow], vectors: Sequence[Vectors], tokens: Sequence[int]
) -> int:
    """Rows added; each source's count grows in the same transaction."""
    if not examples:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(STAGE)
        know_halfvec(cursor)
        with cursor.copy(COPY) as copy:
            copy.set_types([*COLUMNS.values(), "text"])
            for example, vector, count in zip(examples, vectors, tokens, strict=True):
                copy.write_row(values_of(work, example, vector, count))
        cursor.execute(MERGE)
        added = dict(cursor.fetchall())
        cursor.execute("DROP TABLE incoming")
    for source_id, count in added.items():
        SourceDataset.objects.filter(id=source_id).update(row_count=F("row_count") + count)
    return sum(added.values())


def know_halfvec(cursor: Any) -> None:
    """For this cursor alone: Django reads vectors through other cursors, as text."""
    info = TypeInfo.fetch(cursor.connection, "halfvec")
    if info is None:
        raise RuntimeError("The database has no halfvec type: run `manage.py migrate`.")
    register_halfvec_info(cursor.cursor, info)


def values_of(work: Import, example: ExampleRow, vector: Vectors, tokens: int) -> tuple[Any, ...]:
    """In the order of COLUMNS, then the text that is searched."""
    text = embedding_text(example.messages)
    return (
        source_of(work, example).id,
        example.content_hash,
        example.external_id,
        example.task,
        example.license,
        Jsonb(example.messages),
        tokens,
        example.language,
        sorted(example.flags),
        work.run.id,
        HalfVector(vector),
        text_hash(text),
        Jsonb(example.provenance.to_json()),
        text[:SEARCHED_CHARACTERS],
    )


def note_position(run: ImportRun, read: int, added: int, usable: Sequence[ExampleRow]) -> None:
    """Commit it with the chunk's rows: what stands here is in the corpus, and nothing else is."""
    run.rows_read += read
    run.rows_added += added
    run.rows_duplicate += len(usable) - added
    run.rows_rejected += read - len(usable)
    run.rows_flagged += sum(bool(row.flags) for row in usable)
    run.flags = dict(Counter(run.flags) + Counter(flag for row in usable for flag in row.flags))
    run.save()


def finish(work: Import) -> ImportRun:
    """Make the sources visible. A repeat that added nothing leaves no second entry in the log."""
    run = work.run
    run.state, run.finished_at = ImportRun.State.DONE, timezone.now()
    with transaction.atomic():
        sources = SourceDataset.objects.filter(id__in=[s.id for s in work.sources.values()])
        sources.update(state=SourceDataset.State.READY)
        run.save()
        same = {"org": run.org, "origin": run.origin, "file_sha256": run.file_sha256}
        before = ImportRun.objects.filter(state=ImportRun.State.DONE, **same).exclude(id=run.id)
        if not run.rows_added and run.job is None and before.exists():
            ImportRun.objects.filter(id=run.id).delete()
    return run
