"""What was live before there was a history is its first line."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from models_app.models import CustomModel, ModelVersion, Promotion
from modelstation import testing

BEFORE = [("models_app", "0005_bases")]


@pytest.mark.django_db(transaction=True)
def test_what_is_live_already_begins_the_history(org):
    base = testing.make_base()
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    try:
        old = executor.loader.project_state(BEFORE).apps
        made = old.get_model("models_app", "CustomModel").objects
        models = [
            made.create(org_id=org.pk, name=name, slug=name, requirement="r", base_id=base.pk)
            for name in ("live", "not")
        ]
        version = old.get_model("models_app", "ModelVersion").objects.create(
            org_id=org.pk,
            model=models[0],
            number=4,
            base_id=base.pk,
            folder="v",
            scores={"verdict": "pass"},
        )
        made.filter(pk=models[0].pk).update(live_version=version)
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    promotion = Promotion.objects.get()
    assert promotion.version == ModelVersion.objects.get()
    assert (promotion.kind, promotion.actor, promotion.verdict) == ("promote", None, "pass")
    assert not CustomModel.objects.filter(contract_frozen_at__isnull=False).exists()
