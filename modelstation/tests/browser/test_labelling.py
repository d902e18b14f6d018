"""Labelling by keys in a real browser; on a phone, and without scripts."""

import pytest
from django.urls import reverse

from distillation.labelling import services
from distillation.tests.labelling.played import a_model, add, messages, work
from modelstation.tests.browser.chromium import MARKS, WIDTHS, take_screenshot

pytestmark = MARKS


@pytest.fixture
def model(org, alice, uploads_dir):
    model = a_model(org)
    add(alice, model, [text for text, _ in messages(45)])
    work(model)
    return model


@pytest.fixture
def address(model):
    return reverse("labelling", args=[model.org.slug, model.id])


def shown_input(page):
    return page.locator("input[name=input_id]").get_attribute("value")


def press(page, key):
    """Press it, and wait until the next input stands in the place of this one."""
    page.evaluate("key => (document.getElementById('labelling').dataset.pressed = key)", key)
    page.keyboard.press(key)
    page.locator("#labelling:not([data-pressed])").wait_for(state="attached")
    page.wait_for_load_state("networkidle")


def test_inputs_are_labelled_by_one_key_each(page, model, address):
    page.goto(address)
    first = shown_input(page)
    press(page, "2")
    assert model.inputs.get(id=first).answer == "electrical"
    second = shown_input(page)
    assert second != first
    proposal = page.locator("[data-key-enter]").get_attribute("value")
    press(page, "Enter")
    assert model.inputs.get(id=second).answer == proposal
    third = shown_input(page)
    press(page, "s")
    assert model.inputs.get(id=third).state == "skipped"
    press(page, "u")
    assert shown_input(page) == third
    press(page, "x")
    assert model.inputs.get(id=third).state == "unusable"
    assert page.complaints == []


def test_a_label_that_is_being_written_is_no_key(page, org, alice, uploads_dir):
    model = a_model(org, name="Notes", requirement="Write a note.", intent_edits={
        "task_kind": "generate",
    })  # fmt: skip
    add(alice, model, ["the tap leaks", "no light"])
    work(model)
    page.goto(reverse("labelling", args=[org.slug, model.id]))
    first = shown_input(page)
    page.locator("#answer").press_sequentially("sux 12")
    assert not model.inputs.answered().exists()
    press(page, "Control+Enter")
    assert model.inputs.get(id=first).answer == "sux 12"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_a_phone_and_every_button_is_there_to_press(
    page, alice, model, address, width
):
    truth = dict(messages(45))
    for _ in range(25):
        row = services.next_input(model)
        services.answer_input(actor=alice, row=row, answer=truth[row.text])
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    first = shown_input(page)
    page.get_by_role("button", name="pests").click()
    page.wait_for_function(
        "before => document.querySelector('input[name=input_id]').value !== before", arg=first
    )
    assert model.inputs.get(id=first).answer == "pests"
    take_screenshot(page, f"labelling-{width}")
    assert page.complaints == []


def test_without_scripts_the_buttons_do_the_same(browser, live_server, as_alice, model, address):
    context = browser.new_context(java_script_enabled=False, base_url=live_server.url)
    session = as_alice.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()
    page.goto(address)
    first = shown_input(page)
    page.get_by_role("button", name="plumbing").click()
    assert model.inputs.get(id=first).answer == "plumbing"
    assert shown_input(page) != first
    page.get_by_role("button", name="Undo").click()
    assert model.inputs.get(id=first).state == "open"
    context.close()
