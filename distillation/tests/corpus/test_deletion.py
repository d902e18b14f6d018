import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from distillation.corpus.deletion import delete_source, use_of
from distillation.models import (
    CorpusExample,
    DatasetRow,
    DatasetVersion,
    DistillationRun,
    ImportRun,
    SourceDataset,
)
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.testing import make_version

pytestmark = pytest.mark.django_db


def add_source(name, *, org=None, rows=3, state="ready"):
    source = SourceDataset.objects.create(
        org=org, name=name, license="MIT", state=state, row_count=rows
    )
    CorpusExample.objects.bulk_create(
        CorpusExample(
            source=source,
            content_hash=f"{name}{number}",
            license="MIT",
            messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ok"}],
            tokens=1,
            embedding=[0.0] * 384,
        )
        for number in range(rows)
    )
    return source


def make_dataset(org, sources, *, name="Bank intents", digest="d" * 64):
    """Make a frozen dataset of all rows of the sources, and a version trained on it."""
    model = testing.make_model(org, name=name)
    job = jobs.submit(kind="distil", org=org, subject_id=model.id)
    run = DistillationRun.objects.create(org=org, model=model, job=job)
    dataset = DatasetVersion.objects.create(
        org=org, model=model, run=run, number=1, digest=digest, system_prompt="", row_count=0
    )
    examples = CorpusExample.objects.filter(source__in=sources)
    DatasetRow.objects.bulk_create(
        DatasetRow(
            version=dataset,
            position=position,
            split="train",
            messages=example.messages,
            source=example.source,
            source_name=example.source.name,
            license="MIT",
            content_hash="h",
            corpus_hash=example.content_hash,
            score=1.0,
            reason="fits",
            example=example,
        )
        for position, example in enumerate(examples.select_related("source").order_by("id"))
    )
    make_version(model, dataset_digest=digest)
    return dataset


@pytest.fixture
def own(org):
    return add_source("own", org=org)


def page_of(client, source, org, data=None):
    url = reverse("source_delete", args=[org.slug, source.pk])
    return client.get(url) if data is None else client.post(url, data)


def test_a_stranger_finds_nothing_to_delete(as_charlie, api_for, charlie, own, org):
    assert page_of(as_charlie, own, org).status_code == 404
    assert page_of(as_charlie, own, org, {"typed": "own"}).status_code == 404
    api = api_for(charlie, charlie.organizations.get())
    assert api.delete(f"/api/v1/sources/{own.pk}?confirm=true").status_code == 404
    assert SourceDataset.objects.filter(pk=own.pk).exists()


def test_a_member_deletes_no_source(as_bob, api_for, bob, own, org):
    assert page_of(as_bob, own, org, {"typed": "own"}).status_code == 403
    assert api_for(bob).delete(f"/api/v1/sources/{own.pk}?confirm=true").status_code == 403
    assert (
        "Delete this source"
        not in as_bob.get(reverse("source", args=[org.slug, own.pk])).content.decode()
    )


def test_a_public_source_is_the_operators(as_alice, api_for, alice, org):
    public = add_source("public")
    assert page_of(as_alice, public, org, {"typed": "public"}).status_code == 403
    answer = api_for(alice).delete(f"/api/v1/sources/{public.pk}?confirm=true")
    assert answer.status_code == 403
    assert "operator" in answer.json()["error"]["message"]


def test_the_page_names_what_was_made_with_the_source(as_alice, own, org):
    dataset = make_dataset(org, [own])
    text = page_of(as_alice, own, org).content.decode()
    assert "1 dataset and 1 model version were made with it" in text
    assert reverse("dataset", args=[org.slug, dataset.pk]) in text
    assert "Bank intents v1" in text


@pytest.mark.parametrize("typed", ["", "OWN", "another"])
def test_without_its_name_nothing_is_deleted(as_alice, own, org, typed):
    answer = page_of(as_alice, own, org, {"typed": typed})
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert own.examples.count() == 3


def test_with_its_name_it_goes_and_the_dataset_stays(as_alice, alice, own, org):
    dataset = make_dataset(org, [own, add_source("other", org=org)])
    assert page_of(as_alice, own, org, {"typed": "own"}).status_code == 302
    assert list(CorpusExample.objects.values_list("source__name", flat=True).distinct()) == [
        "other"
    ]
    rows = list(dataset.rows.values_list("source_name", "source__name", "example__content_hash"))
    assert rows[:3] == [("own", None, None)] * 3
    assert rows[3] == ("other", "other", "other0")
    entry = AuditEntry.objects.get(action="source.delete")
    assert (entry.org, entry.actor, entry.target) == (org, alice, "own")
    assert entry.data == {"rows": 3, "license": "MIT", "datasets": [str(dataset.pk)]}


def test_the_api_names_them_first_and_deletes_when_told_again(api_for, alice, own, org):
    dataset = make_dataset(org, [own])
    api, url = api_for(alice), f"/api/v1/sources/{own.pk}"
    answer = api.delete(url)
    assert answer.status_code == 409
    body = answer.json()
    assert body["error"]["code"] == "confirmation_needed"
    assert body["used_by"]["datasets"] == [
        {
            "id": str(dataset.pk),
            "model": str(dataset.model_id),
            "name": "Bank intents dataset 1",
            "rows": 3,
        }
    ]
    assert [version["name"] for version in body["used_by"]["versions"]] == ["Bank intents v1"]
    assert api.delete(f"{url}?confirm=false").status_code == 409
    assert api.delete(f"{url}?confirm=true").status_code == 204
    assert api.delete(f"{url}?confirm=true").status_code == 404


def test_rows_that_know_their_example_alone_are_unlinked_too(alice, own, org):
    dataset = make_dataset(org, [own])
    dataset.rows.update(source=None)
    delete_source(actor=alice, source=own)
    assert set(dataset.rows.values_list("example", flat=True)) == {None}


def test_a_source_that_is_being_loaded_is_left_alone(alice, org):
    source = add_source("own", org=org, state="loading")
    run = ImportRun.objects.create(org=org, origin="rows.jsonl", state="running")
    run.job = jobs.submit(kind="import", org=org, subject_id=run.pk)
    run.save()
    with pytest.raises(UserFacingError, match="being loaded"):
        delete_source(actor=alice, source=source)
    Job.objects.update(state="failed")
    delete_source(actor=alice, source=source)
    assert not SourceDataset.objects.exists()


def test_the_number_of_questions_does_not_grow_with_the_rows(
    alice, org, django_assert_max_num_queries
):
    small, big = add_source("small", org=org, rows=1), add_source("big", org=org, rows=300)
    make_dataset(org, [small], name="First", digest="1" * 64)
    make_dataset(org, [big], name="Second", digest="2" * 64)
    for source in (small, big):
        with django_assert_max_num_queries(20):
            delete_source(actor=alice, source=source)


def test_operators_see_whom_a_public_source_served_before_it_goes(client, admin_user, org):
    public = add_source("public")
    other = testing.make_org("Rival")
    make_dataset(org, [public])
    make_dataset(other, [public], name="Router")
    client.force_login(admin_user)
    url = reverse("admin:distillation_sourcedataset_delete", args=[public.pk])
    text = client.get(url).content.decode()
    assert "2 datasets and 2 model versions" in text
    assert "Bank intents dataset 1 of Acme: 3 rows stay" in text
    assert "Router dataset 1 of Rival" in text
    assert client.post(url, {"post": "yes"}).status_code == 302
    assert not SourceDataset.objects.exists()
    stated = AuditEntry.objects.filter(action="source.delete").values_list("org__name", "actor")
    assert set(stated) == {("Acme", admin_user.pk), ("Rival", admin_user.pk)}


def test_operators_delete_several_at_once(client, admin_user, org):
    some = [add_source(name, org=org) for name in ("one", "two")]
    client.force_login(admin_user)
    url = reverse("admin:distillation_sourcedataset_changelist")
    data = {"action": "delete_selected", "_selected_action": [source.pk for source in some]}
    assert "two: 3 rows. No dataset holds a row of it." in client.post(url, data).content.decode()
    client.post(url, data | {"post": "yes"})
    assert not SourceDataset.objects.exists()
    assert AuditEntry.objects.filter(action="source.delete").count() == 2


def test_the_use_of_a_source_is_told_in_three_questions(org, own, django_assert_num_queries):
    for number in range(3):
        make_dataset(org, [own], name=f"Model {number}", digest=str(number) * 64)
    with django_assert_num_queries(3):
        use = use_of(own)
        assert len(use.organizations) == 1
    assert [rows for _, rows in use.datasets] == [3, 3, 3]
