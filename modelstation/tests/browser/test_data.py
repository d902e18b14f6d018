"""The page of a model's data in a real browser."""

import pytest
from django.urls import reverse

from distillation.corpus.gallery import cards
from distillation.model_data import services
from distillation.model_data.storing import NewRow, store_rows
from distillation.models import DistillationRun, ImportRun, SourceDataset
from distillation.pipeline.gaps import DataGap, RelatedSource
from distillation.pipeline.intent_facts import IntentFacts
from distillation.pipeline.provenance import Provenance
from distillation.pipeline.types import Example
from distillation.tests.imports.test_known_vectors import CountingEmbedder
from modelstation import testing
from modelstation.core.models import Job
from modelstation.tests.browser.chromium import MARKS, WIDTHS, take_screenshot

pytestmark = MARKS
REQUIREMENT = "Sort each repair request into plumbing, electrical, heating, pests or other."


@pytest.fixture
def model(org, alice):
    model = testing.make_model(
        org,
        name="Repair requests of our tenants",
        requirement=REQUIREMENT,
        status="needs_data",
        status_reason="Not enough data: 0 rows above the threshold, at least 50 needed.",
    )
    rows = [
        *[NewRow(f"The drain in flat {n} is blocked since Monday", "Plumbing") for n in range(14)],
        *[NewRow(f"No light in hall {n}", "electrical") for n in range(7)],
        NewRow("A parcel was stolen from the hall", "security", Provenance("person", "alice")),
    ]
    source = stored(org, "own-repair-requests", rows)
    services.use_source(actor=alice, model=model, source=source)
    other = stored(org, "helpdesk-of-2024", [NewRow("My laptop is slow", "slow_computer")])
    job = Job.objects.create(org=org, kind="distil", queue="distil", subject_id=model.id)
    sample = Example("My laptop is slow", "slow_computer")
    why = "its answers are other labels than yours"
    near = RelatedSource(str(other.id), other.name, 1, why, (sample,))
    intent = IntentFacts(gap=DataGap(0, 50, "label", {}, (), (near,))).to_json()
    DistillationRun.objects.create(org=org, model=model, job=job, intent=intent)
    return model


def stored(org, name, rows):
    run = ImportRun.objects.create(org=org, origin=name)
    _, source = store_rows(
        run=run,
        kind="upload",
        name=name,
        rows=lambda: rows,
        origin=name,
        embedder=CountingEmbedder,
    )
    return source


@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_of_data_fit_the_screen(page, org, model, width):
    for name in list(cards())[:5]:
        public = SourceDataset.objects.create(
            name=name, license="CC0-1.0", state="ready", row_count=300
        )
        run = ImportRun.objects.create(origin=name)
        stored_public(run, public)
    page.set_viewport_size({"width": width, "height": 800})
    for name, args in {
        "model_data": [model.id],
        "model_edit": [model.id],
        "model": [model.id],
        "gallery": [],
        "sources": [],
        "model_new": [],
    }.items():
        page.goto(reverse(name, args=[org.slug, *args]))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        take_screenshot(page, f"data-{name}-{width}")
    source = SourceDataset.objects.get(name="own-repair-requests")
    page.goto(reverse("source", args=[org.slug, source.id]))
    take_screenshot(page, f"data-source-{width}")
    assert page.complaints == []


def stored_public(run, source):
    rows = [
        NewRow(f"the room was very nice {n}", ["positive", "negative"][n % 2]) for n in range(8)
    ]
    store_rows(
        run=run,
        kind="corpus",
        name=source.name,
        rows=lambda: rows,
        origin="starter",
        embedder=CountingEmbedder,
    )


def test_a_table_is_pasted_and_shown_as_it_is_read(page, org, model):
    page.goto(reverse("model_data", args=[org.slug, model.id]))
    lines = [f"the radiator in room {n} stays cold\tHeating" for n in range(8)]
    page.fill("textarea[name=rows-pasted]", "\n".join([*lines, "wasps in the roof\tPests"]))
    page.click("button:has-text('See how they are read')")
    page.locator("text=First rows, as they would be stored").wait_for()
    assert page.locator("text=column 1 → column 2").count() == 1
    take_screenshot(page, "data-import-preview-1280")
    page.click("text=Import these rows")
    page.wait_for_url("**/data/")
    assert page.locator("text=are being loaded").count() == 1
    assert page.complaints == []
