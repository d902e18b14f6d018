"""Own rows that come with the requirement of a new model: looked at in its second step, loaded by
its first build.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.http import HttpRequest

from accounts.models import Membership
from distillation.access import import_for
from distillation.imports import services as imports
from distillation.imports.reading.preview import Preview
from distillation.model_data import own_rows
from distillation.model_data.forms import ColumnsForm, OwnRowsForm
from distillation.model_data.overview import MOST_LABELS
from distillation.model_data.own_rows import OwnRows
from distillation.models import ImportRun
from distillation.pipeline.text import input_text
from distillation.pipeline.types import IntentSpec
from distillation.pipeline.understand.labels import label_key, learn_labels
from models_app.drafts import ModelDraft
from models_app.understanding import understood
from modelstation.core.errors import UserFacingError

AGAIN = "Choose the file again."
EXAMPLES_FROM_ROWS = 6
# Answers that repeat this much, on average, are labels and not texts that happen to be short.
ROWS_PER_LABEL = 3
LABELLED_SHARE = 0.9


@dataclass(frozen=True)
class ShownRows:
    """An upload in the second step: how it is read, what comes of it, and what is wrong with it."""

    own: OwnRows
    form: ColumnsForm
    preview: Preview
    problem: UserFacingError | None


def labels_of(preview: Preview) -> list[str]:
    """Return the answers of the rows where they are a small set of labels, else nothing."""
    learned = learn_labels(preview.answers.elements())
    known = _keys(learned)
    covered = sum(n for said, n in preview.answers.items() if label_key(said) in known)
    is_set = 2 <= len(learned) <= min(MOST_LABELS, preview.accepted // ROWS_PER_LABEL)
    return list(learned) if is_set and covered >= LABELLED_SHARE * preview.accepted else []


def pairs_of(preview: Preview) -> list[dict[str, str]]:
    """Return a few rows as examples, of as many different answers as there are."""
    rows = {label_key(row.messages[-1]["content"]): row for row in reversed(preview.rows)}
    chosen = list(rows.values())[-EXAMPLES_FROM_ROWS:]
    return [
        {"input": input_text(row.messages), "output": row.messages[-1]["content"]}
        for row in reversed(chosen)
    ]


def completed(draft: ModelDraft, preview: Preview) -> ModelDraft:
    """Let the rows give what the requirement does not: examples, and the labels."""
    if not draft.examples:
        draft = replace(draft, examples=pairs_of(preview))
    labels, intent = labels_of(preview), understood(draft)
    if not labels or intent.labels_closed or "labels" in draft.intent_edits:
        return draft
    edits: dict[str, Any] = {"labels": labels}
    if intent.task_kind != "classify":
        edits |= {"task_kind": "classify"}
    return replace(draft, intent_edits=draft.intent_edits | edits)


def _keys(labels: Iterable[str]) -> set[str]:
    return {label_key(label) for label in labels}


def rows_of(
    request: HttpRequest, member: Membership, form: OwnRowsForm, *, name: str
) -> ShownRows | None:
    """Return what was uploaded or pasted with this request, or with an earlier one of the flow."""
    if form.has_rows:
        given = form.cleaned_data
        run = own_rows.keep_form(actor=member.user, org=member.org, name=name, **given)
        return _look(run, None)
    carried = request.POST.get("own_rows", "")
    if not carried or request.POST.get("no_rows"):
        return None
    return _look(_carried(member, carried), request.POST)


def _carried(member: Membership, import_id: str) -> ImportRun:
    try:
        run = import_for(member.org, UUID(import_id))
    except ValueError as error:
        raise UserFacingError("The rows of this model are gone.", hint=AGAIN) from error
    imports.refuse_confirmed(run)
    return run


def _look(run: ImportRun, data: Mapping[str, Any] | None) -> ShownRows:
    draft = imports.draft_of(run)
    preview = imports.preview_of(run, draft)
    form = ColumnsForm(data, preview=preview, draft=draft)
    if data is not None:
        draft = form.read_as()
        preview = _look_again(run, preview, draft)
    problem = imports.problem_of(run, draft, preview)
    return ShownRows(OwnRows(run, draft), form, preview, problem)


def _look_again(run: ImportRun, before: Preview, draft: imports.ImportDraft) -> Preview:
    """Look again where other columns were chosen than those that were guessed."""
    if draft.columns is None or draft.columns == before.mapping:
        return before
    return imports.preview_of(run, draft)


def with_rows(
    draft: ModelDraft, corrected: dict[str, Any], rows: ShownRows | None
) -> tuple[ModelDraft, dict[str, Any]]:
    """Complete the draft by the rows; what they say of the labels counts as a correction."""
    if rows is None or rows.problem:
        return draft, corrected
    edits = corrected["intent_edits"]
    whole = completed(replace(draft, intent_edits=edits), rows.preview)
    draft = replace(whole, intent_edits=draft.intent_edits)
    return draft, corrected | {"intent_edits": whole.intent_edits}


def labels_outside(rows: ShownRows | None, intent: IntentSpec) -> list[tuple[str, int]]:
    """Return the answers of the rows that are none of the model's labels, most frequent first."""
    if rows is None or intent.task_kind != "classify" or not intent.labels_closed:
        return []
    known = _keys(intent.labels)
    counted = Counter(rows.preview.answers)
    return [(said, n) for said, n in counted.most_common() if label_key(said) not in known]
