"""What operators see: every registered row is listed, found and opened; history is only read."""

import pytest
from django.apps import apps
from django.contrib.admin.sites import site
from django.urls import reverse

from accounts.models import AuditEntry
from models_app.models import CustomModel, ModelVersion, UsageRecord
from modelstation import testing

pytestmark = pytest.mark.django_db
OURS = ("accounts", "core", "models_app", "distillation", "training")
REGISTERED = [model for label in OURS for model in apps.get_app_config(label).get_models()]
REGISTERED = [model for model in REGISTERED if site.is_registered(model)]


@pytest.fixture
def as_operator(db, client):
    client.force_login(testing.make_user("root@example.org", is_staff=True, is_superuser=True))
    return client


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_kind_of_row_is_listed_searched_and_opened(as_operator, world, org):
    UsageRecord.objects.create(
        org=org, model="bank", prompt_tokens=1, completion_tokens=1, milliseconds=1
    )
    opened = []
    for model in REGISTERED:
        assert as_operator.get(url(model, "changelist")).status_code == 200, model
        assert as_operator.get(url(model, "changelist"), {"q": "a"}).status_code == 200, model
        if row := model._default_manager.first():
            assert as_operator.get(url(model, "change", row.pk)).status_code == 200, model
            opened.append(model)
    assert {CustomModel, ModelVersion, UsageRecord} < set(opened)
    assert len(opened) > 20


@pytest.mark.parametrize("model", [ModelVersion, UsageRecord])
def test_history_is_neither_changed_nor_deleted(as_operator, world, org, model):
    UsageRecord.objects.create(
        org=org, model="bank", prompt_tokens=1, completion_tokens=1, milliseconds=1
    )
    row = model.objects.first()
    for page in ("change", "delete"):
        assert as_operator.post(url(model, page, row.pk), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


def test_a_model_deleted_by_an_operator_goes_with_its_files_and_work(
    as_operator, world, artifacts_dir, django_capture_on_commit_callbacks
):
    model = CustomModel.objects.get(id=world["model_id"])
    folder = artifacts_dir / str(model.id)
    folder.mkdir()
    with django_capture_on_commit_callbacks(execute=True):
        page = as_operator.post(url(CustomModel, "delete", model.id), {"post": "yes"})
    assert page.status_code == 302
    assert not CustomModel.objects.filter(id=model.id).exists()
    assert not folder.exists()
    assert AuditEntry.objects.get(action="model.delete").actor.email == "root@example.org"
