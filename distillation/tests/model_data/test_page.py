"""The page of a model's data: what is found and missing, own rows, sources in use."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from distillation.model_data import services
from distillation.model_data.storing import NewRow
from distillation.models import ImportRun, ModelSource, SourceDataset
from distillation.tests.model_data.test_storing import stored
from modelstation.core.models import QueueHealth
from modelstation.testing import make_model

pytestmark = pytest.mark.django_db
REQUIREMENT = "Sort each repair request into plumbing, electrical, heating or other."


@pytest.fixture
def model(org):
    return make_model(org, requirement=REQUIREMENT, status="needs_data", status_reason="Too few.")


def page(client, model):
    return client.get(reverse("model_data", args=[model.org.slug, model.id]))


def test_the_page_counts_rows_per_label_of_the_chosen_sources(client, alice, model):
    client.force_login(alice)
    rows = [NewRow(f"a leak in flat {n}", "Plumbing") for n in range(12)]
    _, source = stored(model.org, [*rows, NewRow("a mouse", "pests")])
    services.use_source(actor=alice, model=model, source=source)
    data = page(client, model).context["data"]
    needs = {need.name: (need.found, need.missing) for need in data.needs}
    assert needs["plumbing"] == (12, 1)
    assert needs["electrical"] == (0, 13)
    assert data.sources[0].outside == [("pests", 1)]


def test_a_pasted_table_waits_for_its_confirmation_and_belongs_to_the_model(client, alice, model):
    client.force_login(alice)
    url = reverse("model_data_rows", args=[model.org.slug, model.id])
    pasted = "text,label\nmy drain is blocked,plumbing\nno light,electrical\n"
    answer = client.post(url, {"rows-pasted": pasted})
    run = ImportRun.objects.get()
    assert answer.url == reverse("import", args=[model.org.slug, run.id])
    assert (run.model, run.state) == (model, "uploaded")
    assert run.origin == "bank-intents-rows.csv"


def test_a_source_is_used_and_removed_by_its_buttons(client, alice, model):
    client.force_login(alice)
    source = SourceDataset.objects.create(name="public", license="MIT", state="ready")
    url = reverse("model_data_source", args=[model.org.slug, model.id, source.id])
    client.post(url, {"do": "use"})
    assert ModelSource.objects.filter(model=model, source=source, added_by=alice).exists()
    client.post(url, {"do": "stop"})
    assert not ModelSource.objects.filter(model=model).exists()


def test_an_empty_form_says_what_to_do(client, alice, model):
    client.force_login(alice)
    answer = client.post(reverse("model_data_rows", args=[model.org.slug, model.id]), {})
    assert "Choose a file, or paste a table" in answer.content.decode()


def test_rows_brought_with_a_new_model_are_shown_and_give_its_labels(client, alice, org):
    client.force_login(alice)
    lines = [f"my drain is blocked {n},Plumbing\nno light in room {n},Electrical" for n in range(9)]
    file = SimpleUploadedFile("tickets.csv", ("text,label\n" + "\n".join(lines)).encode())
    draft = {"name": "Repairs", "requirement": "Sort what our tenants write to us.", "rows": "100"}
    url = reverse("model_understood", args=[org.slug])
    answer = client.post(url, draft | {"rows-file": file})
    shown = answer.context["rows"]
    assert (shown.preview.accepted, shown.problem) == (18, None)
    assert answer.context["form"].intent.labels == ("Electrical", "Plumbing")
    assert answer.context["form"].intent.labels_closed
    run = ImportRun.objects.get()
    assert (run.state, run.model) == ("uploaded", None)


def test_the_page_says_that_a_queued_build_waits_and_why(client, alice, model):
    client.force_login(alice)
    client.post(reverse("model_rebuild", args=[model.org.slug, model.id]))
    said = page(client, model).content.decode()
    assert "The build waits for a free worker." in said
    assert "No worker is running for the “distil” queue" in said
    QueueHealth.seen("distil")
    assert "No worker is running" not in page(client, model).content.decode()
    assert "Too few." not in said


def test_once_there_are_enough_rows_the_page_no_longer_says_too_few(client, alice, model):
    client.force_login(alice)
    assert "Too few." in page(client, model).content.decode()
    labels = ("plumbing", "electrical", "heating", "other")
    rows = [NewRow(f"{label} of flat {n}", label) for label in labels for n in range(14)]
    _, source = stored(model.org, rows)
    services.use_source(actor=alice, model=model, source=source)
    said = page(client, model).content.decode()
    assert "There are enough rows now" in said
    assert "Too few." not in said


def test_what_is_done_with_doubtful_rows_is_chosen_on_the_page(client, alice, model):
    client.force_login(alice)
    url = reverse("model_data_doubtful", args=[model.org.slug, model.id])
    assert b"Leave them out" in page(client, model).content
    shown = client.post(url, {"doubtful_rows": "keep"}, follow=True)
    assert b'<span class="muted small">Keep them as they are</span>' in shown.content
    refused = client.post(url, {"doubtful_rows": "ask"}, follow=True)
    assert "Unknown way with doubtful rows" in refused.content.decode()
    model.refresh_from_db()
    assert model.doubtful_rows == "keep"
