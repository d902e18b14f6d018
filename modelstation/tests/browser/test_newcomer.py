"""A new user's three ways to a model that nothing in the corpus serves: own rows, own inputs
labelled by keys, a teacher. The real base learns a few steps, and answers in the playground.
"""

import re

import pytest

from benchmarks.teacher import recorded_teacher
from distillation.models import ModelInput, TeacherRun
from modelstation import testing
from modelstation.tests.browser import newcomer
from modelstation.tests.browser.chromium import MARKS
from modelstation.tests.browser.newcomer import TASK, look, recorded, work_off

pytestmark = [*MARKS, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
ANSWERED = 60


@pytest.fixture(autouse=True)
def installation(settings, tmp_path, uploads_dir):
    """Provide the real base, its server, and no row."""
    if not (settings.MODELS_DIR / "smollm2-135m-instruct" / "model-q8_0.gguf").is_file():
        pytest.skip("SmolLM2-135M-Instruct is not in place: run make setup.")
    testing.shared_data()
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.ARTIFACTS_DIR.mkdir()
    settings.EVALUATION_PROBES = False
    settings.EVENT_STREAMS_PER_PROCESS = settings.EVENT_STREAMS_PER_ORGANIZATION = 50
    testing.make_base("smollm2-135m-instruct")
    with newcomer.model_server(settings):
        yield


@pytest.fixture
def page(browser, live_server, request):
    """Somebody without an account. What the console says is kept in `page.complaints`."""
    page = browser.new_page(base_url=live_server.url)
    page.complaints = []
    page.walk = request.node.name.removeprefix("test_").split("_")[0]
    page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
    page.set_default_timeout(60_000)
    yield page
    page.close()


def test_upload_of_a_table_leads_to_the_playground(page, tmp_path):
    newcomer.sign_up(page)
    newcomer.describe(page)
    rows = [[f"R-{n:04}", r["input"], r["output"]] for n, r in enumerate(recorded("pool"), 1)]
    table = newcomer.table_of(tmp_path / "Reviews 2026.csv", ["Nr", "Review", "Team"], rows)
    page.set_input_files("input[name=rows-file]", table)
    model = newcomer.create(page)
    work_off()
    model.refresh_from_db()
    assert model.versions.exists(), model.status_reason
    page.goto(f"/o/household-budget/models/{model.id}/data/")
    assert page.locator("text=chosen for this model").count() == 1
    newcomer.talk(page, model)
    assert page.complaints == []


def test_labelling_by_keys_leads_to_the_playground(page, tmp_path):
    newcomer.sign_up(page)
    newcomer.describe(page)
    model = newcomer.create(page)
    newcomer.led_to_data(page)
    page.click("a:text-is('Label inputs')")
    look(page, "no-inputs")
    truth = {row["input"]: row["gold"] for row in recorded("unlabelled")}
    rows = [[number, text] for number, text in enumerate(truth, 1)]
    page.set_input_files(
        "input[name=file]", newcomer.table_of(tmp_path / "Reviews.csv", ["Nr", "Review"], rows)
    )
    page.click("main button:text-is('Add')")
    page.locator("text=inputs added from the column “Review”").wait_for()
    look(page, "inputs-added")
    work_off()
    page.reload()
    for _ in range(ANSWERED):
        label_by_key(page, truth)
    look(page, "labelled")
    page.select_option("select[name=level]", "0.2")
    page.click("text=Make rows")
    page.locator("text=The rows are being stored").wait_for()
    look(page, "storing")
    work_off()
    page.reload()
    look(page, "rows-made")
    assert page.locator(f"text=Rows of {ANSWERED} answers").count() == 1
    page.click("text=Go on to build with them")
    page.wait_for_url("**/data/")
    newcomer.build(page, model)
    newcomer.talk(page, model)
    assert page.complaints == []


def label_by_key(page, truth):
    """Press the key of the right label, as somebody who reads the input does."""
    shown = page.locator("input[name=input_id]").get_attribute("value")
    answer = truth[ModelInput.objects.get(id=shown).text]
    key = page.locator(f'button[name=answer][value="{answer}"]').get_attribute("data-key")
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.keyboard.press(key)
    page.locator(f"input[name=input_id]:not([value='{shown}'])").wait_for(state="attached")


def test_teacher_rows_lead_to_the_playground(page, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True  # the teacher is on this machine
    newcomer.sign_up(page)
    newcomer.describe(page)
    model = newcomer.create(page)
    newcomer.led_to_data(page)
    with recorded_teacher(TASK) as url:
        page.click("a:text-is('Ask a teacher')")
        look(page, "no-teacher")
        page.click("a:text-is('Add a teacher')")
        add_teacher(page, url)
        page.click("text=Ask it for App reviews")
        page.fill("input[name=rows]", "140")
        page.click("button:has-text('Estimate')")
        page.locator("text=tokens,").first.wait_for()
        look(page, "estimate")
        page.click("text=Start and pay for it")
        page.wait_for_url("**/teacher/*-*/")
        look(page, "waiting")
        work_off()
    page.locator("text=See the rows of").wait_for()
    look(page, "rows-arrived")
    assert TeacherRun.objects.get().row_count > 80
    page.click("text=Go on to build with them")
    page.locator("text=There are enough rows now").wait_for()
    newcomer.build(page, model)
    newcomer.talk(page, model)
    assert page.complaints == []


def add_teacher(page, url):
    page.fill("input[name=name]", "Recorded")
    page.fill("input[name=base_url]", url)
    page.fill("input[name=model_name]", "recorded-teacher")
    page.fill("input[name=api_key]", "sk-of-the-test")
    page.fill("input[name=prompt_price]", "0.5")
    page.fill("input[name=completion_price]", "2")
    page.fill("input[name=requests_per_minute]", "100000")
    look(page, "new-teacher")
    page.click("main button:has-text('Add teacher')")
    page.wait_for_url(re.compile(r"/settings/teachers/.+-"))
    page.click("text=Test the connection")
    page.locator(".alert, .message").first.wait_for()
    look(page, "teacher")
