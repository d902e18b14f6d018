"""The pages in a real browser: nothing scrolls sideways on a phone, nothing is refused by the CSP,
the keyboard gets in first.
"""

import pytest
from django.urls import reverse

from distillation.tests.drafts import make_draft
from models_app.models import UsageRecord, WebhookDelivery, WebhookEndpoint
from modelstation import testing
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.site import handbook
from modelstation.tests.browser.chromium import MARKS, WIDTHS, take_screenshot

pytestmark = MARKS
PAGES = (
    "", "models/", "models/new/", "sources/", "tokens/", "members/", "usage/", "webhooks/",
)  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways_or_complains(page, org, width):
    model = testing.make_model(org, name="A model with quite a long name, as people give them")
    draft = make_draft(org, name="A model whose dataset waits for its review")
    second = make_draft(org, model=draft.model)
    paths = (
        f"webhooks/{make_webhook(org).id}/",
        f"models/{model.id}/",
        f"models/{model.id}/playground/",
        f"models/{draft.model.id}/training-plan/",
        f"datasets/{draft.id}/",
        f"datasets/{draft.id}/rows/{draft.rows.first().id}/",
        f"datasets/{draft.id}/compare/{second.id}/",
    )
    page.set_viewport_size({"width": width, "height": 800})
    for path in (*PAGES, *paths):
        page.goto(f"/o/{org.slug}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert page.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_of_the_handbook_scrolls_sideways_or_complains(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for name in handbook.pages():
        page.goto(reverse("handbook_page", args=[name]))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        take_screenshot(page, f"handbook-{name.replace('/', '-')}-{width}")
    assert page.complaints == []


def make_webhook(org):
    url = "https://hooks.example.org/" + "a-long-path/" * 12
    endpoint = WebhookEndpoint.objects.create(org=org, url=url, secret="whsec_eA==")
    WebhookDelivery.objects.create(
        org=org,
        endpoint=endpoint,
        event_id="evt_" + "0" * 32,
        type="fine_tuning.job.succeeded",
        body="{}",
        status_code=500,
        response="x" * 400,
    )
    UsageRecord.objects.create(
        org=org, model="m" * 70, prompt_tokens=10**8, completion_tokens=10**8, milliseconds=1
    )
    return endpoint


def test_a_person_logs_in_and_the_first_stop_of_the_keyboard_skips_to_the_content(page, org):
    page.context.clear_cookies()
    page.goto("/accounts/login/")
    page.fill("input[name=login]", "alice@example.org")
    page.fill("input[name=password]", testing.PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url(f"**/o/{org.slug}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_model_is_made_in_the_browser_and_its_progress_shows_within_three_seconds(page, org):
    testing.make_base()
    page.goto(f"/o/{org.slug}/models/new/")
    page.fill("input[name=name]", "Router")
    page.fill("textarea[name=requirement]", testing.REQUIREMENT)
    page.click("text=Continue")
    page.click("text=Create and start")
    page.wait_for_url("**/models/*-*/")
    assert page.locator("text=Waiting for a free worker").count() == 1

    jobs.claim(str(Job.objects.get().id))
    Job.objects.update(stage="route", progress={"step": 3, "total_steps": 6})
    page.locator("text=3 of 6").wait_for(timeout=3000)
    assert page.complaints == []


def test_a_changed_setting_shows_its_cost_at_once_and_keeps_the_keyboards_place(page, org):
    draft = make_draft(org, rows=60, state="frozen")
    page.goto(f"/o/{org.slug}/models/{draft.model.id}/training-plan/")
    page.fill("#id_max_steps", "57")
    page.keyboard.press("Tab")
    page.locator("#id_max_steps_reason", has_text="57").wait_for(timeout=5000)
    assert page.evaluate("document.activeElement.id") == "id_learning_rate"
    assert page.input_value("#id_max_steps") == "57"
    page.fill("#id_max_tokens", "1000")
    page.keyboard.press("Tab")
    page.locator("text=The budget (max_tokens) ends").wait_for(timeout=5000)
    assert page.locator("text=Start training").is_disabled()
    assert page.complaints == []
