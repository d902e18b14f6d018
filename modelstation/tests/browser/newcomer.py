"""The steps that every new user takes, whichever way the rows come: account, model, build, talk."""

import contextlib
import csv
import json
import re
import threading
import time

import uvicorn
from django.urls import reverse

from models_app.models import CustomModel
from models_app.serving.encoder.engine import EncoderEngine, is_encoder
from models_app.serving.engine import Engine
from models_app.serving.pool import EnginePool
from models_app.serving.server import build_app
from modelstation import testing
from modelstation.core.jobs.kinds import run_task
from modelstation.core.models import Job
from modelstation.tests.browser.chromium import take_screenshot

TASK = "cls-app-review-triage"  # nothing of the corpus serves it
FEW_STEPS = {"max_steps": 14, "tokens_per_batch": 256, "learning_rate": 1e-3}
SERVER_KEY = "the key of the tests"
WIDTHS = (390, 1280)


def sign_up(page, email="nora@example.org"):
    page.goto("/accounts/signup/")
    page.fill("input[name=email]", email)
    page.fill("input[name=organization]", "Household Budget")
    page.fill("input[name=password1]", testing.PASSWORD)
    page.fill("input[name=password2]", testing.PASSWORD)
    page.click("main button:has-text('Sign up')")
    page.wait_for_url(re.compile(r"/o/household-budget/$"))


def describe(page, name="App reviews"):
    """Fill the form of a new model, as far as every way needs it."""
    wanted = requirement_of(TASK)
    page.goto("/o/household-budget/models/new/")
    page.fill("input[name=name]", name)
    page.fill("textarea[name=requirement]", wanted["requirement"])
    page.fill("textarea[name=policy]", wanted["policy"])
    lines = [json.dumps({side: pair[side] for side in pair}) for pair in wanted["examples"]]
    page.fill("textarea[name=examples]", "\n".join(lines))
    page.fill("input[name=rows]", "100")


def create(page):
    """Press Continue and Create; return the model."""
    page.click("text=Continue")
    look(page, "understood")
    page.click("text=Create and start")
    page.wait_for_url("**/models/*-*/")
    look(page, "queued")
    CustomModel.objects.update(training_config=FEW_STEPS)
    return CustomModel.objects.get()


def led_to_data(page):
    """Be the worker that finds nothing, and wait until the page leads to the ways."""
    work_off()
    page.wait_for_url("**/data/", timeout=30_000)
    page.get_by_role("heading", name="More ways to rows").wait_for()
    look(page, "data")


def build(page, model):
    """Press the button on the page of data, which is open; the worker then does all of it."""
    look(page, "rows-there")
    page.click("main button:text-is('Build with these rows')")
    page.wait_for_url(re.compile(r"/models/[^/]+-[^/]+/$"))
    page.goto(reverse("model_data", args=[model.org.slug, model.id]))
    page.locator("text=The build waits for a free worker").wait_for()
    look(page, "build-waits")
    page.click("text=Follow the build")
    work_off()
    model.refresh_from_db()
    assert model.versions.exists(), model.status_reason
    page.reload()
    look(page, "built")


def talk(page, model):
    """Ask the version that was made; it answers by the model server."""
    page.goto(reverse("playground", args=[model.org.slug, model.id]))
    page.fill("textarea[name=prompt]", "Crash\nIt closes itself when I open the statistics.")
    page.click("summary:has-text('temperature')")
    page.fill("input[name=max_tokens]", "16")  # the base would go on and on
    page.click("button:has-text('Ask')")
    page.locator("#answers .answer-text:not(:empty)").first.wait_for(timeout=180_000)
    page.locator("#answers:not([aria-busy=true])").wait_for(timeout=180_000)
    look(page, "playground")
    assert page.locator("#answers .alert-error").count() == 0


def look(page, name):
    """No page is wider than the screen, on a phone either."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page.url} is {wide} wide"
        take_screenshot(page, f"{page.walk}-{name}-{width}")


def requirement_of(task):
    lines = (testing.shared_data() / "requirements" / "dev.jsonl").read_text().splitlines()
    return next(row for row in map(json.loads, lines) if row["id"] == task)


def recorded(kind, task=TASK):
    """Return the rows of the recorded teacher's `kind` of file."""
    path = testing.shared_data() / "teacher" / f"{task}.{kind}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def table_of(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(header)
        table.writerows(rows)
    return path


def work_off():
    """Be the workers: run every queued job until none is left."""
    while job := Job.objects.filter(state=Job.State.QUEUED).order_by("created_at").first():
        run_task(job.kind, str(job.id))


def _engine(model_file, folder):
    if is_encoder(model_file):
        return EncoderEngine(model_file)
    return Engine(model_file, folder, n_ctx=1024, n_threads=1)


@contextlib.contextmanager
def model_server(settings):
    """Serve the versions of the test as the real server does, in a thread."""
    pool = EnginePool(make=_engine)
    app = build_app(key=SERVER_KEY, roots=[settings.ARTIFACTS_DIR, settings.MODELS_DIR], pool=pool)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    settings.MODEL_SERVER_URL = f"http://127.0.0.1:{port}"
    settings.MODEL_SERVER_KEY = SERVER_KEY
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        pool.close()
