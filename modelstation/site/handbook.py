"""The handbook: each docs/**/*.md as a page. A name is looked up among the files that there are, so
that no path is ever built from an address; HTML in the text is shown as text."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

DOCS = settings.BASE_DIR / "docs"
INDEX = "index"
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
MARKDOWN.add_render_rule("table_open", lambda *_: '<div class="table-box"><table class="table">')
MARKDOWN.add_render_rule("table_close", lambda *_: "</table></div>")


@dataclass(frozen=True)
class Page:
    name: str
    title: str
    body: str  # HTML


@require_safe
def handbook(request: HttpRequest, name: str = INDEX) -> HttpResponse:
    path = pages().get(name)
    if path is None:
        raise Http404
    context = {"page": rendered(name, path.read_text()), "is_index": name == INDEX}
    return render(request, "handbook.html", context)


def pages() -> dict[str, Path]:
    return {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in DOCS.rglob("*.md")}


def rendered(name: str, text: str) -> Page:
    tokens = MARKDOWN.parse(text)
    headings = list(_headings(tokens))
    for opening, content in headings:
        opening.attrSet("id", slugify(content))
    for token in tokens:
        for link in token.children or ():
            if link.type == "link_open":
                link.attrSet("href", address_of(str(link.attrGet("href")), name))
    title = headings[0][1] if headings else name
    return Page(name, title, MARKDOWN.renderer.render(tokens, MARKDOWN.options, {}))


def _headings(tokens: list[Token]) -> Iterator[tuple[Token, str]]:
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            yield token, tokens[place + 1].content


def address_of(href: str, page: str) -> str:
    """Return the address of the page that a link to a file (`training.md#plan`) means."""
    target, _, anchor = href.partition("#")
    if not target.endswith(".md") or ":" in target:
        return href
    name = posixpath.normpath(posixpath.join(posixpath.dirname(page), target[: -len(".md")]))
    url = reverse("handbook") if name == INDEX else reverse("handbook_page", args=[name])
    return f"{url}#{anchor}" if anchor else url
