"""The page of a model's data in a real browser, and a new user's way with own rows."""

import csv
import json

import pytest
from django.urls import reverse

from distillation.corpus.gallery import cards
from distillation.model_data import services
from distillation.model_data.storing import NewRow, store_rows
from distillation.models import DistillationRun, ImportRun, SourceDataset
from distillation.pipeline.intent_facts import IntentFacts
from distillation.pipeline.provenance import Provenance
from distillation.pipeline.types import DataGap, Example, RelatedSource
from distillation.tests.imports.test_known_vectors import CountingEmbedder
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.jobs.kinds import run_task
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_user_brings_a_table_and_reaches_the_playground(page, org, settings, tmp_path):
    """The corpus serves nothing of this requirement; the real base learns it from own rows."""
    if not (settings.MODELS_DIR / "smollm2-135m-instruct" / "model-q8_0.gguf").is_file():
        pytest.skip("SmolLM2-135M-Instruct is not in place: run make setup.")
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.EVALUATION_PROBES = False
    testing.make_base("smollm2-135m-instruct")
    data = testing.shared_data()
    wanted = requirement_of(data, "cls-app-review-triage")
    page.goto(f"/o/{org.slug}/models/new/")
    page.fill("input[name=name]", "App reviews")
    page.fill("textarea[name=requirement]", wanted["requirement"])
    page.fill("input[name=rows]", "100")
    page.set_input_files("input[name=rows-file]", table_of(data, tmp_path / "Reviews 2026.csv"))
    page.click("text=Continue")
    page.locator("text=Read as Review → Team").wait_for()
    take_screenshot(page, "data-understood-1280")
    page.click("text=Create and start")
    page.wait_for_url("**/models/*-*/")
    model = CustomModel.objects.get(org=org)
    CustomModel.objects.update(training_config={"max_steps": 8, "tokens_per_batch": 512})
    work_off()
    model.refresh_from_db()
    assert model.versions.exists(), model.status_reason
    page.goto(reverse("model_data", args=[org.slug, model.id]))
    take_screenshot(page, "data-model_data-built-1280")
    assert page.locator("text=chosen for this model").count() == 1
    page.goto(reverse("playground", args=[org.slug, model.id]))
    assert page.locator("textarea[name=prompt]").count() == 1
    take_screenshot(page, "data-playground-1280")


def requirement_of(data, name):
    lines = (data / "requirements" / "dev.jsonl").read_text().splitlines()
    return next(row for row in map(json.loads, lines) if row["id"] == name)


def table_of(data, path):
    pool = (data / "teacher" / "cls-app-review-triage.pool.jsonl").read_text().splitlines()
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["Nr", "Review", "Team"])
        for number, row in enumerate(map(json.loads, pool), 1):
            table.writerow([f"R-{number:04}", row["input"], row["output"]])
    return path


def work_off():
    """Be the workers: run every queued job until none is left."""
    while job := Job.objects.filter(state=Job.State.QUEUED).order_by("created_at").first():
        run_task(job.kind, str(job.id))
