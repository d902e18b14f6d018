"""Contract, versions and evaluation in a real browser."""

import json

import pytest

from accounts.models import User
from models_app.models import CustomModel, ModelVersion, Promotion
from modelstation import testing
from modelstation.testing import make_version
from modelstation.tests.browser.chromium import MARKS, take_screenshot
from training.models import EvaluationRun, EvaluationScore
from training.tests.evaluations.test_pages import CRITERION, FINDINGS, LIVE
from training.tests.planted_runs import make_job

pytestmark = MARKS
LABELS = [f"label_with_a_long_name_{number}" for number in range(18)]
CRITERIA = ["exact match at least 80 %", "It must feel friendly to the reader."]


@pytest.fixture
def evaluation(org, artifacts_dir):
    """Of a version that may not go live, beside one that is."""
    model = testing.make_model(org, status="failed", success_criteria=CRITERIA)
    live, version = (
        make_version(model, number=number, state=state)
        for number, state in ((2, "ready"), (3, "draft"))
    )
    actor = User.objects.get(email="alice@example.org")
    for number in (1, 2):
        old = live if number == 2 else make_version(model, state="ready")
        Promotion.objects.create(org=org, model=model, version=old, actor=actor)
    CustomModel.objects.filter(id=model.id).update(live_version=live)
    run = EvaluationRun.objects.create(
        org=org,
        job=make_job(model, "evaluate", "succeeded"),
        model=model,
        version=version,
        metric="exact_match",
        test_count=300,
        verdict="fail",
        criteria=[CRITERION, CRITERION | {"outcome": "fail"}, CRITERION | {"outcome": "pass"}],
        contract_digest="c" * 64,
        live=LIVE,
        folder="e",
    )
    for subject, score in (("base", 0.02), ("tuned", 0.72), ("baseline", 0.1)):
        EvaluationScore.objects.create(
            run=run, subject=subject, metric="exact_match", score=score, low=score, high=score + 0.1
        )
    scores = {"verdict": "fail", "evaluation": str(run.id), "tuned": {"score": 0.72}}
    ModelVersion.objects.filter(id=version.id).update(scores=scores)
    write_files(artifacts_dir / "e")
    return run


def write_files(folder):
    folder.mkdir(parents=True)
    counts = [
        [8 if row == column else (row * column) % 3 for column in range(18)] for row in range(18)
    ]
    report = FINDINGS | {"confusion": {"labels": LABELS, "counts": counts}}
    (folder / "report.json").write_text(json.dumps(report))
    row = {"input": "Where is my card? " * 9, "reference": "card_arrival", "base": "I " * 90}
    row |= {"tuned": "card_arrival", "base_score": 0.0, "tuned_score": 1.0}
    (folder / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 3)


@pytest.mark.parametrize("width", [360, 1280])
def test_contract_versions_and_report_fit_a_phone(page, org, evaluation, width):
    page.set_viewport_size({"width": width, "height": 800})
    for name, path in (
        ("model", f"models/{evaluation.model_id}/"),
        ("contract", f"models/{evaluation.model_id}/contract/"),
        ("evaluation", f"evaluations/{evaluation.id}/"),
        ("print", f"evaluations/{evaluation.id}/print/"),
    ):
        page.goto(f"/o/{org.slug}/{path}")
        take_screenshot(page, f"{name}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if name == "model":  # what can be done with a version is seen without scrolling sideways
            for button in page.locator("#versions .button:visible").all():
                box = button.bounding_box()
                assert box["x"] + box["width"] <= width, button.text_content()
    assert page.complaints == []


def test_what_is_typed_as_a_criterion_is_read_back_at_once(page, org):
    testing.make_base()
    page.goto(f"/o/{org.slug}/models/new/")
    page.fill("textarea[name=requirement]", testing.REQUIREMENT)
    page.fill("textarea[name=success_criteria]", "\n".join(CRITERIA))
    preview = page.locator("#contract-preview")
    preview.locator("text=80 %").first.wait_for(timeout=5000)
    preview.locator("text=No check could be read out of").wait_for(timeout=5000)
    take_screenshot(page, "contract-preview")
    assert page.complaints == []


def test_a_version_goes_live_against_its_evaluation_by_a_persons_word(page, org, evaluation):
    page.goto(f"/o/{org.slug}/models/{evaluation.model_id}/")
    page.click("text=Why not live?")
    page.fill("textarea[name=reason]", "A pilot with ten people.")
    page.click("text=Publish anyway")
    page.locator("text=Version 3 is live now.").wait_for(timeout=5000)
    page.click("text=Roll back to v2")
    page.locator("text=Version 2 is live again.").wait_for(timeout=5000)
    assert page.complaints == []
