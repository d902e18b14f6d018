import pytest
from django.conf import settings
from django.urls import reverse

from distillation.datasets.cards import card_text
from distillation.models import DatasetRow, SourceDataset
from distillation.tests.distilled import distil_for
from distillation.tests.test_runner import _corpus  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_corpus", "artifacts_dir")]


@pytest.fixture
def version(org):
    SourceDataset.objects.update(origin="bank.example/rows", revision="r7")
    return distil_for(org)


def test_a_dataset_is_frozen_with_its_card(version):
    text = (settings.ARTIFACTS_DIR / version.folder / "README.md").read_text()
    assert version.digest in text
    assert "| bank | MIT | 100 | bank.example/rows | r7 |" in text
    assert "1 test rows were brought by the customer" in text
    assert "not near enough" in text


def test_the_rows_tell_the_same_card_as_the_selection_did(version):
    frozen = card_text(version)
    (settings.ARTIFACTS_DIR / version.folder / "README.md").unlink()
    assert card_text(version) == frozen


def test_refused_rows_and_deleted_sources_are_told_of_as_they_are(version):
    (settings.ARTIFACTS_DIR / version.folder / "README.md").unlink()
    DatasetRow.objects.filter(version=version, position__lt=10).update(decision="refused")
    DatasetRow.objects.filter(version=version).update(source=None)
    assert "| bank | MIT | 90 | – | – |" in card_text(version)


def test_a_stranger_gets_no_card(version, as_charlie, api_for, charlie):
    page = reverse("dataset_card", args=[version.org.slug, version.id])
    assert as_charlie.get(page).status_code == 404
    api = api_for(charlie, charlie.organizations.get())
    assert api.get(f"/api/v1/datasets/{version.id}/export?format=card").status_code == 404


def test_page_and_api_give_the_card(version, as_alice, api_for, alice):
    page = as_alice.get(reverse("dataset_card", args=[version.org.slug, version.id]))
    assert page["Content-Type"].startswith("text/markdown")
    assert 'filename="bank-intents-dataset-1-card.md"' in page["Content-Disposition"]
    api = api_for(alice, version.org)
    answer = api.get(f"/api/v1/datasets/{version.id}/export?format=card")
    assert answer.content.decode() == page.content.decode() == card_text(version)
