"""Actions of people on a draft: leave rows out, edit them, freeze it; and a draft of a frozen one.

Each takes the version's lock and looks at its state first, so that nothing is decided beside a
freeze, and a frozen version is never changed.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Max, Min, QuerySet, TextField, Value

from accounts.audit import record
from accounts.models import User
from distillation.curation import freezing
from distillation.curation.row_filter import RowFilter, same_input
from distillation.datasets.cards import facts_of_version
from distillation.limits import TEXT_CHARS
from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline.choose.filters import fits_shape
from distillation.pipeline.text import clip, hash_messages, input_key
from distillation.pipeline.types import IntentSpec, SelectionConfig
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.row_format import model_messages
from models_app import services as model_services
from modelstation.core.errors import Conflict, UserFacingError

CHANGES_AT_ONCE = 2000
EDITED, RESTORED = "edited by hand", "restored by hand"
NAMED_LABELS = 20
# Either the ids of rows, or all rows that match.
Chosen = Sequence[int] | RowFilter


def decide_rows(*, actor: User, version: DatasetVersion, chosen: Chosen, decision: str) -> int:
    """Keep rows or leave them out. Returns how many were decided otherwise before."""
    with transaction.atomic():
        version = _locked_draft(version)
        rows = _chosen(version, chosen).exclude(decision=decision)
        ids = list(rows.order_by().values_list("id", flat=True))
        DatasetRow.objects.filter(id__in=ids).update(decision=decision, decided_by=actor)
        freezing.count(version, freezing.kept_groups(version))
        version.save(update_fields=freezing.COUNT_FIELDS)
        _record(
            actor, version, "decide", decision=decision, rows=len(ids), chosen=_described(chosen)
        )
    return len(ids)


def edit_row(*, actor: User, row: DatasetRow, input: str, answer: str) -> DatasetRow:
    """Give one row another input or answer. Its system prompt stays, as in all rows."""
    with transaction.atomic():
        version = _locked_draft(row.version)
        row = version.rows.get(id=row.id)
        new_input, said = input.strip(), fitting(answer, version)
        if not new_input:
            raise UserFacingError("The input is empty.", param="input", hint="Or refuse the row.")
        if new_input == row.input and said == row.answer:
            return row
        if input_key(new_input) != input_key(row.input):
            _refuse_known_input(version, row, new_input)
        row.original_messages = row.original_messages or row.messages
        _write(row, list(model_messages(version.system_prompt, new_input, said)), EDITED, actor)
        _record(actor, version, "edit_row", row=row.position)
    return row


def restore_row(*, actor: User, row: DatasetRow) -> DatasetRow:
    """As it was selected."""
    with transaction.atomic():
        version = _locked_draft(row.version)
        row = version.rows.get(id=row.id)
        if row.original_messages is None:
            return row
        original, row.original_messages = row.original_messages, None
        _refuse_known_input(version, row, DatasetRow(messages=original).input)
        _write(row, original, RESTORED, actor)
        _record(actor, version, "restore_row", row=row.position)
    return row


def relabel(*, actor: User, version: DatasetVersion, chosen: Chosen, answer: str) -> int:
    """One answer for many rows."""
    with transaction.atomic():
        version = _locked_draft(version)
        said = fitting(answer, version)
        changed = _change_answers(actor, version, _chosen(version, chosen), lambda _: said)
        facts = {"answer": clip(said, 100), "rows": changed, "chosen": _described(chosen)}
        _record(actor, version, "relabel", **facts)
    return changed


def replace_in_answers(
    *, actor: User, version: DatasetVersion, chosen: Chosen, find: str, replacement: str
) -> int:
    """Every `find` in the answers of these rows, exactly as written. All of them or none."""
    if not find:
        raise UserFacingError("Say what to look for in the answers.", param="find")
    with transaction.atomic():
        version = _locked_draft(version)
        rows = _chosen(version, chosen).spoken().filter(said_answer__contains=find)
        changed = _change_answers(
            actor, version, rows, lambda said: fitting(said.replace(find, replacement), version)
        )
        texts = {"find": clip(find, 100), "replacement": clip(replacement, 100)}
        _record(actor, version, "replace", **texts, rows=changed, chosen=_described(chosen))
    return changed


def freeze(
    *, actor: User, version: DatasetVersion, before_writing: Callable[[DatasetVersion], None]
) -> DatasetVersion:
    """Write the kept rows as files, never to change. `before_writing` may refuse by raising."""
    with transaction.atomic():
        version = _locked_draft(version)
        freezing.count(version, freezing.kept_groups(version))
        _refuse_too_few(version)
        before_writing(version)
        kept = version.rows.kept()
        version.folder = f"{version.model_id}/datasets/{version.id}"
        sealed = kept.values_list("split", "content_hash", named=True)
        freezing.seal(version, sealed.iterator(freezing.ROWS_AT_ONCE), by=actor)
        rows = kept.iterator(freezing.ROWS_AT_ONCE)
        freezing.write_files(version, rows, facts_of_version(version))
        version.save(update_fields=[*freezing.COUNT_FIELDS, *freezing.SEAL_FIELDS])
        freezing.mark_used(version)
        _record(actor, version, "freeze", rows=version.row_count, digest=version.digest)
    return version


def draft_of(*, actor: User, version: DatasetVersion) -> DatasetVersion:
    """Make a draft with the same rows, the refused ones too, so that they can be taken back."""
    with transaction.atomic():
        parent = _locked(version)
        _refuse_second_draft(parent)
        draft: DatasetVersion = DatasetVersion.objects.create(
            org=parent.org,
            model=parent.model,
            run=parent.run,
            parent=parent,
            state=DatasetVersion.State.DRAFT,
            number=next_number(parent.model_id),
            system_prompt=parent.system_prompt,
            **{name: getattr(parent, name) for name in freezing.COUNT_FIELDS},
        )
        _copy_rows(parent, draft)
        _record(actor, draft, "draft", parent=parent.number)
    return draft


def discard_draft(*, actor: User, version: DatasetVersion) -> None:
    """With its rows. A model that waited for it waits no more."""
    with transaction.atomic():
        version = _locked_draft(version)
        _record(actor, version, "discard", rows=version.row_count)
        version.delete()
        if not DatasetVersion.objects.drafts().filter(model=version.model_id).exists():
            model_services.end_review(model_id=version.model_id)


def next_number(model_id: uuid.UUID) -> int:
    versions = DatasetVersion.objects.filter(model_id=model_id)
    newest: int | None = versions.aggregate(newest=Max("number"))["newest"]
    return (newest or 0) + 1


def rows_needed(version: DatasetVersion) -> int:
    """As few as the selection itself would have been content with."""
    config = vars(SelectionConfig()) | version.run.config
    return int(min(config["minimum_rows"], config["rows"]))


# --- locks and choices ----------------------------------------------------------------------------


def _locked(version: DatasetVersion) -> DatasetVersion:
    result: DatasetVersion = (
        DatasetVersion.objects.select_for_update(of=("self",), no_key=True)
        .select_related("org", "model", "run")
        .get(id=version.id)
    )
    return result


def _locked_draft(version: DatasetVersion) -> DatasetVersion:
    result = _locked(version)
    if not result.is_draft:
        message = f"Dataset {result.number} is frozen and never changes again."
        raise Conflict(message, code="dataset_frozen", hint="Make a draft of it, and change that.")
    return result


def _chosen(version: DatasetVersion, chosen: Chosen) -> Any:
    if isinstance(chosen, RowFilter):
        return chosen.applied(version.rows.all())
    ids = set(chosen)
    rows = version.rows.filter(id__in=ids)
    if not ids or rows.count() < len(ids):
        what = "Some of these rows are not in this dataset." if ids else "No row is chosen."
        raise UserFacingError(what, code="rows_not_found", param="ids", hint="Choose rows of it.")
    return rows


def _described(chosen: Chosen) -> Mapping[str, str | bool | int]:
    return chosen.to_json() if isinstance(chosen, RowFilter) else {"ids": len(set(chosen))}


def _record(actor: User, version: DatasetVersion, action: str, **data: Any) -> None:
    record(org=version.org, actor=actor, action=f"dataset.{action}", target=version, **data)


# --- answers --------------------------------------------------------------------------------------


def fitting(answer: str, version: DatasetVersion) -> str:
    """Return the answer as it is written to the row; refuse what the requirement does not allow."""
    said = answer.strip()
    if not said:
        raise UserFacingError("The answer is empty.", param="answer", hint="Or refuse the row.")
    shape = answer_shape(version)
    if shape is None:
        return said
    said = {label_key(label): label for label in shape.labels}.get(label_key(said), said)
    if not fits_shape(said, shape):
        message = f"The answer “{clip(said, 80)}” does not fit the requirement."
        hint = _allowed(shape)
        raise UserFacingError(message, code="answer_does_not_fit", param="answer", hint=hint)
    return said


def answer_shape(version: DatasetVersion) -> IntentSpec | None:
    """Return what an answer must be: one of a closed set of labels, or JSON. None: any text."""
    facts = version.run.intent_facts
    is_closed = facts.task_kind == "classify" and facts.labels_closed
    if facts.task_kind != "extract_json" and not is_closed:
        return None
    return IntentSpec(
        task_kind=facts.task_kind,
        system_prompt=version.system_prompt,
        queries=(),
        task_texts=(),
        labels=facts.labels,
        labels_closed=True,
        json_keys=facts.json_keys,
        json_schema=facts.json_schema,
        answer_max_chars=TEXT_CHARS,
    )


def _allowed(shape: IntentSpec) -> str:
    if shape.task_kind == "extract_json":
        keys = f" with no other keys than {', '.join(shape.json_keys)}" if shape.json_keys else ""
        return f"It must be a JSON object{keys}."
    more = len(shape.labels) - NAMED_LABELS
    names = ", ".join(shape.labels[:NAMED_LABELS])
    return f"Allowed are {names}{f' and {more} more' if more > 0 else ''}."


def _write(row: DatasetRow, messages: list[dict[str, str]], step: str, actor: User) -> None:
    row.messages, row.content_hash = messages, hash_messages(messages)
    row.step, row.decided_by = step, actor
    row.save(update_fields=["messages", "original_messages", "content_hash", "step", "decided_by"])
    _refuse_repeats(row.version)


UPDATE_ANSWERS = f"""
    UPDATE {DatasetRow._meta.db_table} AS row
    SET original_messages = coalesce(row.original_messages, row.messages),
        messages = jsonb_set(row.messages, '{{-1,content}}', to_jsonb(new.answer)),
        content_hash = new.hash, step = %s, decided_by_id = %s
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS new (id, answer, hash)
    WHERE row.id = new.id
"""


def _change_answers(
    actor: User, version: DatasetVersion, rows: QuerySet[DatasetRow], change: Callable[[str], str]
) -> int:
    """Rows whose answer stays the same are left alone. Returns how many changed."""
    changes: list[tuple[int, str, str]] = []
    result = rows.order_by("position").values_list("id", "messages")
    for row_id, messages in result.iterator(CHANGES_AT_ONCE):
        *turns, answer = messages
        said = change(answer["content"])
        if said != answer["content"]:
            new = [*turns, answer | {"content": said}]
            changes.append((row_id, said, hash_messages(new)))
    with connection.cursor() as cursor:
        for start in range(0, len(changes), CHANGES_AT_ONCE):
            columns = [
                list(column)
                for column in zip(*changes[start : start + CHANGES_AT_ONCE], strict=True)
            ]
            cursor.execute(UPDATE_ANSWERS, [EDITED, actor.pk, *columns])
    _refuse_repeats(version)
    return len(changes)


def _refuse_known_input(version: DatasetVersion, row: DatasetRow, text: str) -> None:
    """Refuse a second row with one input: it would contradict the first, or leak."""
    others = version.rows.exclude(id=row.id).spoken().annotate(key=same_input(F("said_input")))
    same = others.filter(key=same_input(Value(text, TextField()))).first()
    if same is not None:
        raise UserFacingError(
            f"Row {same.position} asks the same.", code="duplicate_row", param="input"
        )
    if input_key(text) in {input_key(held["input"]) for held in version.model.test_rows}:
        message = "One of your held-out rows asks the same, and those are for measuring only."
        raise UserFacingError(message, code="duplicate_row", param="input")


def _refuse_repeats(version: DatasetVersion) -> None:
    same = version.rows.values("content_hash").annotate(first=Min("position"), last=Max("position"))
    pair = same.filter(first__lt=F("last")).order_by("first").first()
    if pair is not None:
        message = f"Rows {pair['first']} and {pair['last']} would be the same."
        raise UserFacingError(message, code="duplicate_row", hint="Refuse one of them instead.")


# --- freezing and copying -------------------------------------------------------------------------


def _refuse_too_few(version: DatasetVersion) -> None:
    needed, kept, splits = rows_needed(version), version.row_count, version.split_counts
    if kept < needed:
        message = f"{kept:,} rows are kept, at least {needed:,} are needed."
        hint = f"Accept {needed - kept:,} more, or build the model again for other rows."
        raise UserFacingError(message, code="too_few_rows", hint=hint)
    for split, purpose in (("train", "train on"), ("test", "measure with")):
        if not splits[split]:
            message = f"No row of the {split} split is kept, so there is nothing to {purpose}."
            hint = f"Accept some rows of the {split} split."
            raise UserFacingError(message, code="too_few_rows", hint=hint)


def _refuse_second_draft(parent: DatasetVersion) -> None:
    if parent.is_draft:
        message = f"Dataset {parent.number} is a draft itself: change it as it is."
        raise Conflict(message, code="dataset_draft")
    drafts: Any = DatasetVersion.objects.drafts().filter(parent=parent)
    if draft := drafts.first():
        message = f"Dataset {draft.number} is a draft of this one already."
        raise Conflict(message, code="draft_exists", hint="Go on with that.")


def _copy_rows(parent: DatasetVersion, draft: DatasetVersion) -> None:
    """Inside the database, whatever their number."""
    copied = [f for f in DatasetRow._meta.concrete_fields if f.name not in ("id", "version")]
    columns = ", ".join(str(field.column) for field in copied)
    table = DatasetRow._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (version_id, {columns}) "
            f"SELECT %s, {columns} FROM {table} WHERE version_id = %s",
            [draft.id, parent.id],
        )
