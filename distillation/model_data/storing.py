"""New rows of an organisation, from any of the ways to rows, into the corpus. For a worker."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from distillation.imports.loading import Import, finish, load_rows, rows_origin
from distillation.imports.reading.errors import BadRow, RowError
from distillation.imports.reading.flags import flags_of
from distillation.imports.reading.rows import ExampleRow
from distillation.imports.reading.shapes import refuse_blank_turns
from distillation.imports.reading.text import Message, clean
from distillation.models import ImportRun, SourceDataset
from distillation.pipeline.licenses import OWN_DATA
from distillation.pipeline.provenance import Provenance
from distillation.pipeline.text import hash_messages
from modelstation.core.jobs.lease import Lease
from modelstation.lm.embedding import Embedder, load_embedder


@dataclass(frozen=True)
class NewRow:
    """A pair for the organisation's own sources; `line` says where it stood, for errors."""

    input: str
    output: str
    provenance: Provenance = field(default_factory=Provenance)
    system: str = ""
    task: str = ""
    external_id: str = ""
    license: str = OWN_DATA
    line: int = 0

    @property
    def messages(self) -> list[Message]:
        turns = [("system", self.system), ("user", self.input), ("assistant", self.output)]
        return [
            {"role": role, "content": clean(text)[0]}
            for role, text in turns
            if text or role != "system"
        ]


def store_rows(
    *,
    run: ImportRun,
    kind: str,
    name: str,
    rows: Callable[[], Iterable[NewRow]],
    origin: str,
    revision: str = "",
    lease: Lease | None = None,
    embedder: Callable[[], Embedder] = load_embedder,
) -> tuple[ImportRun, SourceDataset | None]:
    """Load pairs into the source `name` of the run's organisation, made where it is missing.

    Rows that were there already are counted, not repeated; `run` keeps the counts and refusals.
    """
    return store_examples(
        run=run,
        kind=kind,
        rows=lambda: _examples(rows(), name, origin),
        origin=origin,
        revision=revision,
        lease=lease,
        embedder=embedder,
    )


def store_examples(
    *,
    run: ImportRun,
    kind: str,
    rows: Callable[[], Iterable[ExampleRow | RowError]],
    origin: str,
    revision: str = "",
    lease: Lease | None = None,
    embedder: Callable[[], Embedder] = load_embedder,
) -> tuple[ImportRun, SourceDataset | None]:
    """Load rows that the import's readers have read already: whole conversations, with flags."""
    work = Import(
        run,
        rows_origin(origin, rows, revision),
        embedder,
        on_rows=(lambda _: None) if lease is None else (lambda _: lease.check()),
        fence=(lambda: None) if lease is None else lease.check,
        kind=kind,
    )
    load_rows(work)
    finish(work)
    return run, SourceDataset.objects.filter(id__in=[s.id for s in work.sources.values()]).first()


def _examples(rows: Iterable[NewRow], source: str, file: str) -> Iterator[ExampleRow | RowError]:
    for number, row in enumerate(rows, 1):
        try:
            yield example_of(row, source, row.line or number)
        except BadRow as error:
            yield error.at(file, row.line or number, {"input": row.input, "output": row.output})


def example_of(row: NewRow, source: str, line: int) -> ExampleRow:
    """Return the row as imports have it. Raise BadRow where one of its turns is blank."""
    messages = row.messages
    refuse_blank_turns(messages)
    digest = hash_messages(messages)
    return ExampleRow(
        line=line,
        messages=messages,
        source=source,
        task=row.task,
        license=row.license,
        external_id=row.external_id or digest[:16],
        content_hash=digest,
        flags=frozenset(flags_of(messages, row.license)),
        provenance=row.provenance,
    )
