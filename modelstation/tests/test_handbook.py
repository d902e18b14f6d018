"""The handbook's pages: public, linked with one another, and nothing but what docs/ holds."""

import re

import pytest
from django.urls import reverse

from modelstation.site import handbook
from modelstation.testing import REPOSITORY

pytestmark = pytest.mark.django_db
NAMES = sorted(handbook.pages())
LINK = re.compile(r'href="([^"#]+)(?:#([^"]*))?"')


def body_of(name):
    return handbook.rendered(name, handbook.pages()[name].read_text()).body


def test_the_index_is_open_to_all_and_leads_to_each_page(client):
    response = client.get("/docs/")
    assert response.status_code == 200
    for name in NAMES:
        if name.count("/") == 0 and name != "index":
            assert reverse("handbook_page", args=[name]) in response.content.decode()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_a_title_and_keeps_to_the_content_policy(client, name):
    page = client.get(reverse("handbook_page", args=[name])).content.decode()
    assert page.count("<h1") == 1
    assert "style=" not in page
    assert "<script>" not in page


@pytest.mark.parametrize("name", NAMES)
def test_every_link_of_a_page_leads_somewhere(client, name):
    for url, anchor in LINK.findall(body_of(name)):
        if url.startswith(("http:", "https:")):
            continue
        assert url.startswith("/"), url
        if url.startswith("/docs/"):
            page = client.get(url)
            assert page.status_code == 200, url
            assert not anchor or f'id="{anchor}"' in page.content.decode(), f"{url}#{anchor}"


@pytest.mark.parametrize(
    "name", ["none", "../README", "..%2FREADME", "/etc/passwd", "install.md", "Install", "%00"]
)
def test_what_is_no_page_of_the_handbook_is_not_found(client, name):
    assert client.get(f"/docs/{name}/").status_code == 404


def test_html_in_the_text_is_shown_as_text():
    page = handbook.rendered("x", "# A <script>\n\n<script>alert(1)</script>\n\n[a](javascript:b)")
    assert "<script>" not in page.body
    assert "javascript:" not in LINK.findall(page.body)
    assert page.title == "A <script>"


def test_links_to_files_become_links_to_pages():
    page = handbook.rendered("decisions/a", "[b](b.md) [t](../training.md#plan) [i](../index.md)")
    assert 'href="/docs/decisions/b/"' in page.body
    assert 'href="/docs/training/#plan"' in page.body
    assert 'href="/docs/"' in page.body


def test_the_readme_links_to_each_page_of_the_handbook():
    text = (REPOSITORY / "README.md").read_text()
    for name in NAMES:
        if "/" not in name:
            assert f"docs/{name}.md" in text


def test_pages_link_to_the_handbook(client, as_alice, org):
    assert 'href="/docs/"' in client.get("/").content.decode()
    assert 'href="/docs/"' in as_alice.get(f"/o/{org.slug}/").content.decode()
