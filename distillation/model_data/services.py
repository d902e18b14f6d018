"""Which sources a model uses, decided by people."""

from django.db import transaction

from accounts.audit import record
from accounts.models import User
from distillation.models import ModelSource, SourceDataset
from models_app.drafts import check_doubtful_rows
from models_app.models import CustomModel


def use_source(*, actor: User | None, model: CustomModel, source: SourceDataset) -> ModelSource:
    """Use the rows of this source for the model from its next build on, however near they are."""
    with transaction.atomic():
        use, is_new = ModelSource.objects.get_or_create(
            org=model.org, model=model, source=source, defaults={"added_by": actor}
        )
        if is_new:
            record(
                org=model.org, actor=actor, action="model.use_source", target=model,
                source=source.name,
            )  # fmt: skip
    return use


def stop_using(*, actor: User, model: CustomModel, source: SourceDataset) -> bool:
    """Leave the source to the search again. Return False where it was not chosen."""
    with transaction.atomic():
        deleted, _ = ModelSource.objects.filter(model=model, source=source).delete()
        if deleted:
            record(
                org=model.org, actor=actor, action="model.stop_using_source", target=model,
                source=source.name,
            )  # fmt: skip
    return bool(deleted)


def set_search_corpus(*, actor: User, model: CustomModel, search_corpus: bool) -> None:
    """Say whether the next build looks for rows in all sources, or takes the chosen ones alone."""
    with transaction.atomic():
        CustomModel.objects.filter(id=model.id).update(search_corpus=search_corpus)
        details = {"target": model, "search_corpus": search_corpus}
        record(org=model.org, actor=actor, action="model.set_search_corpus", **details)


def set_doubtful_rows(*, actor: User, model: CustomModel, doubtful_rows: str) -> None:
    """Say what the next build does with rows whose label is likely wrong."""
    check_doubtful_rows(doubtful_rows)
    with transaction.atomic():
        CustomModel.objects.filter(id=model.id).update(doubtful_rows=doubtful_rows)
        details = {"target": model, "doubtful_rows": doubtful_rows}
        record(org=model.org, actor=actor, action="model.set_doubtful_rows", **details)
