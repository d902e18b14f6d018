"""The jobs of the hub: a search, which stores no row, and an import of one data set's rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.models import Organization
from distillation.hub import client
from distillation.hub.bounds import Budget, HubError, bounded, within
from distillation.hub.candidates import (
    Candidate,
    Listing,
    Part,
    Plan,
    Sample,
    first_look,
    license_problem,
)
from distillation.hub.queries import queries_for
from distillation.hub.ranking import Ranked, rank
from distillation.hub.services import license_refused, must_be_open, source_name_of
from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.guess import guess_columns
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.readers import read_rows
from distillation.imports.reading.rows import ExampleRow, ReadOptions, to_examples
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.reading.streams import Limits
from distillation.logs.formats.unpack import unpacked
from distillation.model_data.services import use_source
from distillation.model_data.storing import store_examples
from distillation.models import HubImport, HubSearch, SourceDataset
from distillation.organization.licensing import license_policy_of
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.text import clip, input_text
from distillation.pipeline.types import AnswerScorer, Example, IntentSpec, Requirement, TextEmbedder
from models_app.understanding import requirement_of, understood
from modelstation.core.encrypted import Sealed
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MOST_CANDIDATES = 60
LOOKED_AT_ROWS = 240
BYTES_PER_LOOK, SECONDS_PER_LOOK = 16 << 20, 25.0
SEARCH_BYTES, SEARCH_SECONDS = 256 << 20, 420.0
IMPORT_BYTES, IMPORT_SECONDS = 3 << 30, 3600.0
SAMPLES, SAMPLE_CHARS = 3, 400
FUSION = 20  # of ranks: how little the place within one answer of the hub counts
Report = Callable[[int, int], None]


def search(job: Job, lease: Lease) -> Publish:
    found = HubSearch.objects.select_related("model__org").filter(id=job.subject_id).first()
    if found is None:
        raise Conflict("The model of this search was deleted.", code="model_deleted")
    model, org = found.model, found.model.org
    must_be_open(org)
    requirement, intent = requirement_of(model), understood(model)
    lease.stage("look", "Asking the hub, and reading the first rows of what it names")

    def report(done: int, total: int) -> None:
        lease.progress(step=done, total_steps=total)

    queries = queries_for(requirement, intent)
    policy = license_policy_of(org)
    candidates, rows = look(_api(org), queries, policy, report)
    lease.stage("rank", "Testing whose rows help to find the answers of your examples")
    candidates = ranked(requirement, intent, candidates, rows, *_models())
    found.queries = [str(query) for query in queries]
    found.candidates = [candidate.to_json() for candidate in candidates]
    lease.check()
    return lambda: found.save(update_fields=["queries", "candidates"])


def _models() -> tuple[AnswerScorer | None, TextEmbedder]:
    """Torch belongs to the worker. Without the small base the form of answers decides alone."""
    from modelstation.lm.answer_scoring import load_scorer
    from modelstation.lm.embedding import load_embedder

    try:
        scorer: AnswerScorer | None = load_scorer(settings.MODELS_DIR)
    except (OSError, UserFacingError):
        scorer = None
    return scorer, load_embedder()


def _api(org: Organization) -> HfApi:
    from huggingface_hub import HfApi

    token = org.hub_token
    return HfApi(
        endpoint=settings.HF_ENDPOINT,
        token=token.open() if isinstance(token, Sealed) and token else False,
    )


# --- a search -------------------------------------------------------------------------------------


def look(
    api: HfApi, queries: Sequence[client.Query], policy: LicensePolicy, report: Report
) -> tuple[list[Candidate], dict[str, list[Example]]]:
    """Return what the hub has, and the first rows of what may be taken."""
    candidates: list[Candidate] = []
    rows: dict[str, list[Example]] = {}
    with bounded(api.endpoint, Budget(SEARCH_BYTES, SEARCH_SECONDS)) as budget:
        names = _names(api, queries)
        for done, repo_id in enumerate(names, 1):
            report(done, len(names))
            candidate, examples = _look_at(api, repo_id, policy)
            candidates.append(candidate)
            if examples:
                rows[repo_id] = examples
            if budget.bytes <= 0:
                break
    return candidates, rows


def _names(api: HfApi, queries: Sequence[client.Query]) -> list[str]:
    """Return the likeliest: those that several questions find, near the top of their answers."""
    worth: dict[str, float] = {}
    for query in queries:
        for place, repo_id in enumerate(client.find(api, query)):
            worth[repo_id] = worth.get(repo_id, 0.0) + 1 / (FUSION + place)
    return sorted(worth, key=lambda name: (-worth[name], name))[:MOST_CANDIDATES]


def _look_at(api: HfApi, repo_id: str, policy: LicensePolicy) -> tuple[Candidate, list[Example]]:
    """Return the data set and its first rows. What is wrong with it is its problem alone."""
    candidate = Candidate(repo_id)
    try:
        with within(BYTES_PER_LOOK, SECONDS_PER_LOOK):
            listing = client.describe(api, repo_id)
            candidate = first_look(listing, policy, has_token=bool(api.token))
            if candidate.problem or (part := listing.train) is None:
                return candidate, []
            return _read(api, listing, part, candidate)
    except (HubError, ImportRefused) as error:
        return candidate.refused(error.message, error.code), []


def _read(
    api: HfApi, listing: Listing, part: Part, candidate: Candidate
) -> tuple[Candidate, list[Example]]:
    with tempfile.TemporaryDirectory() as folder:
        raw = client.some_rows(api, listing, part, Path(folder), LOOKED_AT_ROWS)
    mapping = _mapping_of(raw, listing)
    if mapping is None:
        columns = ", ".join(list(raw[0].data)[:8]) if raw else "none"
        problem = f"It is not clear which columns hold input and answer: {columns}."
        return candidate.refused(problem, "columns"), []
    examples = _pairs(raw, mapping, listing.repo_id)
    if not examples:
        return candidate.refused("None of its first rows can be used.", "no_usable_rows"), []
    samples = tuple(
        Sample(clip(each.input, SAMPLE_CHARS), clip(each.output, SAMPLE_CHARS))
        for each in examples[:SAMPLES]
    )
    seen = replace(candidate, rows_read=len(raw), columns=_in_words(mapping), samples=samples)
    return seen, examples


def _mapping_of(raw: Sequence[RawRow], listing: Listing) -> ColumnMapping | str | None:
    return guess_columns([row.data for row in raw], listing.labels, likeliest=True).mapping


def _in_words(mapping: ColumnMapping | str) -> str:
    if isinstance(mapping, str):
        return f"chat in “{mapping}”"
    user = " + ".join(name[:80] for name in (mapping.user, mapping.context) if name)
    named = f" ({len(mapping.labels)} named labels)" if mapping.labels else ""
    return f"{user} → {mapping.assistant[:80]}{named}"


def _pairs(raw: Sequence[RawRow], mapping: ColumnMapping | str, name: str) -> list[Example]:
    options = ReadOptions(
        source=name, columns=mapping if isinstance(mapping, ColumnMapping) else None
    )
    return [
        Example(input_text(row.messages), row.messages[-1]["content"])
        for row in to_examples(raw, name, options)
        if isinstance(row, ExampleRow)
    ]


def ranked(
    requirement: Requirement,
    intent: IntentSpec,
    candidates: Sequence[Candidate],
    rows: dict[str, list[Example]],
    scorer: AnswerScorer | None,
    embedder: TextEmbedder,
) -> list[Candidate]:
    """Return those that were read, best first, then those that were not."""
    order = rank(requirement, rows, intent, scorer, embedder) if rows else []
    by_name = {candidate.repo_id: candidate for candidate in candidates}
    fitting = [_with_fit(by_name[each.name], each) for each in order]
    return fitting + [candidate for candidate in candidates if candidate.repo_id not in rows]


def _with_fit(candidate: Candidate, each: Ranked) -> Candidate:
    return replace(
        candidate,
        verdict=each.fit.verdict,
        fit=each.fit.reason,
        score=round(each.nearness, 3),
    )


# --- an import ------------------------------------------------------------------------------------


def load(job: Job, lease: Lease) -> Publish:
    """Fetch the files of the pinned revision and store their rows; the model uses them then."""
    imports = HubImport.objects.select_related("model__org", "run__org", "created_by")
    hub_import = imports.filter(run_id=job.subject_id).first()
    if hub_import is None:
        raise Conflict("The model of this import was deleted.", code="model_deleted")
    org, plan = hub_import.model.org, Plan(**hub_import.plan)
    must_be_open(org)
    api = _api(org)
    settings.ARTIFACTS_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.ARTIFACTS_DIR) as work:
        with bounded(api.endpoint, Budget(IMPORT_BYTES, IMPORT_SECONDS)):
            lease.stage("fetch", f"Fetching {hub_import.repo_id}")
            listing = client.describe(api, hub_import.repo_id, hub_import.revision)
            _must_be_allowed(listing, org, has_token=bool(api.token))
            part = client.only_part(listing, plan.config, plan.split)
            paths = _fetch(api, listing, part, Path(work), plan, lease)
        lease.stage("load", "Embedding and storing the rows")
        mapping = plan.columns or _mapping(paths, listing)
        run, source = store_examples(
            run=hub_import.run,
            kind=SourceDataset.Kind.HUB,
            rows=lambda: _examples(paths, mapping, hub_import, listing, plan),
            origin=hub_import.repo_id,
            revision=listing.revision,
            lease=lease,
        )
    if source is None:
        hint = "Choose other columns, or another part."
        message = "No row of it can be used as it is read now."
        raise UserFacingError(message, code="no_usable_rows", hint=hint)
    hub_import.license = listing.license
    return lambda: _publish(hub_import, source)


def _publish(hub_import: HubImport, source: SourceDataset) -> None:
    hub_import.save(update_fields=["license"])
    use_source(actor=hub_import.created_by, model=hub_import.model, source=source)


def _must_be_allowed(listing: Listing, org: Organization, *, has_token: bool) -> None:
    if problem := license_problem(listing.license, license_policy_of(org)):
        raise license_refused(problem)
    if listing.gated and not has_token:
        message = f"{listing.repo_id} is gated: its terms must be accepted on the hub."
        hint = "Accept them, and store a token of that account on the settings page."
        raise UserFacingError(message, code="hub_gated", hint=hint)


def _fetch(
    api: HfApi, listing: Listing, part: Part, folder: Path, plan: Plan, lease: Lease
) -> list[Path]:
    """Fetch its files until they hold as many rows as are wanted."""
    paths: list[Path] = []
    rows, done = 0, 0
    for file in part.files:
        before = done

        def report(more: int, _: int, before: int = before) -> None:
            lease.progress(step=before + more, total_steps=part.size)

        paths.append(client.download(api, listing, file, folder, report))
        done += file.size
        left = plan.max_rows - rows
        rows += sum(isinstance(row, RawRow) for row in islice(_raw(paths[-1:]), left))
        if rows >= plan.max_rows:
            break
    return paths


def _raw(paths: Sequence[Path]) -> Iterator[RawRow | RowError]:
    for path in paths:
        yield from unpacked(read_rows(path, Limits()), path.name)


def _mapping(paths: Sequence[Path], listing: Listing) -> ColumnMapping | str:
    first = [row for row in islice(_raw(paths), LOOKED_AT_ROWS) if isinstance(row, RawRow)]
    mapping = _mapping_of(first, listing)
    if mapping is None:
        message = f"It is not clear which columns of {listing.repo_id} hold input and answer."
        hint = f"Name them. It has {', '.join(list(first[0].data)[:12]) if first else 'no rows'}."
        raise UserFacingError(message, code="unknown_columns", param="user", hint=hint)
    return mapping


def _examples(
    paths: Sequence[Path],
    mapping: ColumnMapping | str,
    hub_import: HubImport,
    listing: Listing,
    plan: Plan,
) -> Iterator[ExampleRow | RowError]:
    if isinstance(mapping, ColumnMapping) and not mapping.labels:
        mapping = replace(mapping, labels=tuple(listing.labels.get(mapping.assistant, ())))
    rows = islice(_raw(paths), plan.max_rows)
    options = ReadOptions(
        source=source_name_of(hub_import.repo_id, plan),
        license=listing.license,
        columns=mapping if isinstance(mapping, ColumnMapping) else None,
    )
    return to_examples(rows, hub_import.repo_id, options)
