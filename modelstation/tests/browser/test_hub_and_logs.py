"""The pages of the hub and of logs, on a phone and on a desk."""

import pytest

from distillation.models import HubSearch
from distillation.tests.hub.test_pages import GOOD, NC
from distillation.tests.logs.test_logs import stored
from modelstation.core.models import Job
from modelstation.testing import make_model
from modelstation.tests.browser.chromium import MARKS, WIDTHS, take_screenshot

pytestmark = MARKS


@pytest.fixture
def model(org, settings):
    settings.HUB_SEARCH = True
    model = make_model(org)
    ended = {"state": "succeeded", "finished_at": "2026-01-01T00:00Z"}
    job = Job.objects.create(
        org=org, kind="hub_search", queue="distil", subject_id=model.id, **ended
    )
    candidates = [GOOD.to_json(), NC.to_json()]
    HubSearch.objects.create(org=org, model=model, job=job, candidates=candidates, queries=["bank"])
    for number in range(3):
        stored(model, number, f"My card is lost, case {number}", "lost_card", flow="triage")
    return model


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["hub", "logs"])
def test_the_page_fits_and_complains_of_nothing(page, model, name, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"/o/acme/models/{model.id}/{name}/")
    page.locator("main summary").first.click()
    take_screenshot(page, f"{name}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints == []


def test_stored_answers_become_rows_by_one_click(page, model):
    page.goto(f"/o/acme/models/{model.id}/logs/")
    page.get_by_role("button", name="Use 3 as rows").click()
    page.wait_for_url("**/imports/*/")
    assert "logs-of-bank-intents" in page.content()
