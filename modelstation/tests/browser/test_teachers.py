"""The pages of teachers in a real browser: they fit a phone; a run is confirmed by its price."""

import pytest

from distillation.models import Teacher
from modelstation.testing import make_model
from modelstation.tests.browser.chromium import MARKS, WIDTHS, take_screenshot
from modelstation.tests.world import make_teacher

pytestmark = MARKS


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_of_teachers_scrolls_sideways_or_complains(page, org, width):
    model = make_model(org, name="A model with quite a long name, as people give them")
    made = make_teacher(org, model)
    Teacher.objects.update(base_url="https://example.org/" + "a-long-path/" * 12)
    paths = (
        "settings/teachers/",
        f"settings/teachers/{made['teacher_id']}/",
        f"models/{model.id}/teacher/",
        f"models/{model.id}/teacher/{made['teacher_run_id']}/",
    )
    page.set_viewport_size({"width": width, "height": 800})
    for number, path in enumerate(paths):
        page.goto(f"/o/{org.slug}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        take_screenshot(page, f"teacher-{number}-{width}")
    assert page.complaints == []


def test_a_run_is_estimated_and_then_confirmed(page, org):
    model = make_model(org)
    make_teacher(org, model)
    page.goto(f"/o/{org.slug}/models/{model.id}/teacher/")
    page.fill("input[name=rows]", "40")
    page.click('button:has-text("Estimate")')
    page.locator("text=tokens,").first.wait_for(timeout=5000)
    take_screenshot(page, "teacher-estimate")
    page.click("text=Start and pay for it")
    page.wait_for_url("**/teacher/*-*/")
    assert page.locator("text=Waiting for a worker").count() == 1
    assert page.complaints == []
