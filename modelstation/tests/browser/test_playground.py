"""The playground and the snippets in a real browser: answers stream into their columns, a wrong one
is corrected in its place, and all of it works on a phone, by keyboard and without scripts.
"""

import time

import pytest
from django.urls import reverse

from distillation.models import CandidateRow
from models_app.serving import client
from models_app.serving.client import Completion, Piece
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.events import SLOTS
from modelstation.testing import make_version
from modelstation.tests.browser.chromium import MARKS, WIDTHS, take_screenshot

pytestmark = MARKS
SCHEMA = '{"type": "object", "required": ["intent"]}'
LONG = "A customer asks about a card that was ordered two weeks ago and has not arrived. " * 3


class PlayedServer:
    """Says its words one by one; while `is_held` it has only begun."""

    def __init__(self):
        self.words = {"base": LONG, "v1": '{"intent": "card_arrival"}', "v2": "card_arrival"}
        self.fails = {}
        self.is_held = False
        self.open = 0

    def stream(self, gguf, tokenizer_folder, messages, config=None, *, owner=""):
        name = gguf.parts[-3] if gguf.parts[-2] == "gguf" else "base"
        self.open += 1
        try:
            if name in self.fails:
                raise self.fails[name]
            words = self.words[name].split(" ")
            for place, word in enumerate(words):
                yield Piece(f" {word}" if place else word)
                while self.is_held:
                    time.sleep(0.01)
                    yield Piece("")
            yield Completion(self.words[name], 42, len(words), "stop")
        finally:
            self.open -= 1

    def generate(self, *args, **options):
        *_, done = self.stream(*args, **options)
        return done


@pytest.fixture(autouse=True)
def server(monkeypatch, settings):
    settings.EVENT_STREAMS_PER_PROCESS = settings.EVENT_STREAMS_PER_ORGANIZATION = 50
    played = PlayedServer()
    monkeypatch.setattr(client, "health", lambda: True)
    monkeypatch.setattr(client, "stream", played.stream)
    monkeypatch.setattr(client, "generate", played.generate)
    yield played
    played.is_held = False


@pytest.fixture
def model(org):
    example = {"input": "Where is my card?", "output": "card_arrival"}
    model = testing.make_model(org, name="Bank intents of the call centre", examples=[example])
    for number in (1, 2):
        model.live_version = make_version(
            model,
            number=number,
            state="ready",
            system_prompt="Label the message with one intent.",
            dataset_digest="0" * 64,
        )
    model.save()
    return model


def path(model, name="playground"):
    return reverse(name, args=[model.org.slug, model.id])


def column(page, name):
    return page.locator(f'[data-column="{name}"]')


@pytest.mark.parametrize("width", WIDTHS)
def test_three_answers_stream_side_by_side_and_fit_the_screen(page, model, server, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(path(model))
    take_screenshot(page, f"playground-{width}")
    page.fill("#id_prompt", "Where is my card?")
    page.select_option("#id_other", label="Bank intents of the call centre v1")
    page.click("text=System prompt, temperature")
    page.fill("#id_schema", SCHEMA)
    server.is_held = True
    page.click("button:text-is('Ask')")
    column(page, "base").locator("text=A").first.wait_for(timeout=10_000)
    assert page.locator("#ask-stop").is_visible()
    take_screenshot(page, f"playground-streaming-{width}")
    server.is_held = False
    page.locator("#ask-status", has_text="All have answered.").wait_for(timeout=10_000)
    assert column(page, "base").locator(".answer-text").text_content() == LONG
    assert column(page, "other").locator("text=fits the schema").count() == 1
    assert column(page, "tuned").locator("text=It is not JSON.").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    take_screenshot(page, f"playground-answered-{width}")
    assert page.complaints == []


def test_a_wrong_answer_is_corrected_in_its_place_by_keyboard(page, model):
    page.goto(path(model))
    page.fill("#id_prompt", "Where is\nmy card?")
    page.keyboard.press("Control+Enter")
    page.locator("#ask-status", has_text="All have answered.").wait_for(timeout=10_000)
    column(page, "tuned").locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("card_arrival_late")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    column(page, "tuned").locator("text=The correction is kept.").wait_for(timeout=10_000)
    row = CandidateRow.objects.get()
    assert (row.input, row.wrong_answer) == ("Where is\nmy card?", "card_arrival")
    assert (row.correction, row.version_number) == ("card_arrival_late", 2)
    take_screenshot(page, "playground-corrected")
    page.click("text=Look at it and accept it")
    page.click("text=Save and accept")
    page.locator(".badge", has_text="Accepted").wait_for(timeout=10_000)
    take_screenshot(page, "corrections")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    take_screenshot(page, "corrections-360")
    assert page.complaints == []


def test_a_conversation_goes_on_where_that_is_wished(page, model):
    page.goto(path(model))
    for prompt in ("Where is my card?", "And now?"):
        page.fill("#id_prompt", prompt)
        page.keyboard.press("Control+Enter")
        page.locator("#ask-status", has_text="All have answered.").wait_for(timeout=10_000)
        column(page, "tuned").locator("text=tokens read").wait_for(timeout=10_000)
        page.check("#id_go_on")
    assert column(page, "tuned").locator(".answer-earlier").all_text_contents() == [
        "Where is my card?",
        "card_arrival",
        "And now?",
    ]
    take_screenshot(page, "playground-turns")


def test_a_stopped_answer_and_a_left_page_give_their_slot_back(page, model, server, settings):
    settings.EVENT_STREAMS_PER_ORGANIZATION = 1
    server.is_held = True
    for leave in (lambda: page.click("#ask-stop"), lambda: page.goto("about:blank")):
        page.goto(path(model))
        page.fill("#id_prompt", "Where is my card?")
        page.keyboard.press("Control+Enter")
        column(page, "base").locator("text=A").first.wait_for(timeout=10_000)
        leave()
        wait_until(page, lambda: server.open == 0)
        wait_until(page, lambda: is_free(model.org_id))


def test_what_goes_wrong_is_said_in_its_place(page, model, server, settings):
    down = UserFacingError("The model server is not running.", hint="An operator can start it.")
    server.fails = {"v2": down}
    page.goto(path(model))
    page.fill("#id_prompt", "Where is my card?")
    page.keyboard.press("Control+Enter")
    column(page, "tuned").locator("text=The model server is not running.").wait_for(timeout=10_000)
    take_screenshot(page, "playground-down")
    page.locator("#ask-status", has_text="All have answered.").wait_for(timeout=10_000)
    settings.EVENT_STREAMS_PER_ORGANIZATION = 0
    page.keyboard.press("Control+Enter")
    page.locator("#answers [role=alert]", has_text="Too many answers").wait_for(timeout=10_000)
    page.click("text=System prompt, temperature")
    page.fill("#id_schema", '{"type": "objekt"}')
    page.click("button:text-is('Ask')")
    page.locator("#answers [role=alert]", has_text="This JSON schema cannot be used").wait_for(
        timeout=10_000
    )
    take_screenshot(page, "playground-refused")


def test_it_answers_without_any_script(browser, page, model, live_server):
    plain = browser.new_context(
        java_script_enabled=False,
        base_url=live_server.url,
        storage_state=page.context.storage_state(),
    ).new_page()
    plain.goto(path(model))
    plain.fill("#id_prompt", "Where is my card?")
    plain.click("button:text-is('Ask')")
    assert column(plain, "tuned").locator("text=card_arrival").count() == 1
    column(plain, "tuned").locator("summary").click()
    column(plain, "tuned").locator("textarea").fill("lost_card")
    plain.click("text=Keep the correction")
    plain.locator("text=The correction is kept.").wait_for(timeout=10_000)
    assert CandidateRow.objects.get().correction == "lost_card"
    plain.goto(path(model, "model"))
    assert plain.locator(".snippet:visible").count() == 5
    plain.context.close()


def test_the_snippets_are_tabs_for_the_keyboard(page, model):
    page.goto(path(model, "model"))
    assert page.locator(".snippet:visible").count() == 1
    page.locator("[role=tab]", has_text="curl").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Python"
    assert page.locator("#snippet-python").is_visible()
    assert page.locator("#snippet-curl").is_hidden()
    page.keyboard.press("End")
    assert page.locator("#snippet-ollama").is_visible()
    take_screenshot(page, "snippets")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.complaints == []


def test_a_snippet_is_copied(page, model):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(path(model, "model"))
    page.click("#snippet-curl [data-copy]")
    page.locator("#copied", has_text="Copied.").wait_for(state="attached", timeout=10_000)
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl ")


def is_free(owner):
    give_back = SLOTS.take(owner)
    if give_back:
        give_back()
    return give_back is not None


def wait_until(page, holds):
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(100)
    pytest.fail("it did not come to pass within ten seconds")
