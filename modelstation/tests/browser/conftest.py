"""One Chromium for each file, and alice's page in it."""

import os

import pytest

from modelstation.tests.browser.chromium import CHROMIUM, FLAGS


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread: Django would refuse to query beside it, and
    # asyncio.run() of the next file would refuse to start.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(browser, live_server, as_alice):
    """Alice, logged in. What the console says is kept in `page.complaints`."""
    page = browser.new_page(base_url=live_server.url)
    page.complaints = []
    page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
    session = as_alice.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    yield page
    page.close()
