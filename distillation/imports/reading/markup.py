"""Markup in text that was meant to be read: detected, and taken out on request.

Angle brackets are often the content: `a < b`, `List<int>`, `<your name>`, an answer that is to be
HTML. So only tags that HTML knows count, code in backticks is left alone, and a conversation that
speaks about markup is not touched at all.
"""

import html
import re
from collections.abc import Iterator, Sequence

from distillation.imports.reading.text import Message

ROUNDS = 3  # escaped markup shows its tags only once its entities are text

# Never anything else, with or without an end.
_SURE = (
    "blockquote|br|div|em|font|h1|h2|h3|h4|h5|h6|hr|html|iframe|img|li|meta|ol|script|span|strong|"
    "tbody|td|tfoot|th|thead|tr|ul"
)
# Also placeholders, types and variables: a tag when it has attributes or when its end is there.
_LIKELY = (
    "a|abbr|address|article|aside|audio|b|big|body|button|canvas|caption|center|cite|code|col|dd|"
    "del|details|dfn|dl|dt|embed|fieldset|figcaption|figure|footer|form|frame|head|header|i|input|"
    "ins|kbd|label|legend|link|main|mark|nav|object|option|p|picture|pre|q|s|samp|section|select|"
    "small|source|strike|style|sub|summary|sup|svg|table|textarea|title|tt|u|var|video"
)
_BLOCKS = (
    "address|article|blockquote|body|br|center|dd|div|dl|dt|figure|footer|form|h1|h2|h3|h4|h5|h6|"
    "header|hr|li|main|nav|ol|p|pre|section|table|tr|ul"
)
_ATTRIBUTE = (
    r"""\s+[a-z:_-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+)"""
    r"|\s+(?:async|defer|disabled|hidden|checked|selected|controls)"
)
SURE_TAGS, BLOCK_TAGS = frozenset(_SURE.split("|")), frozenset(_BLOCKS.split("|"))

TAG = re.compile(
    rf"</?(?P<name>{_SURE}|{_LIKELY})\b(?P<attributes>(?:{_ATTRIBUTE})*)\s*/?>", re.IGNORECASE
)
# What a reader of the page would not see, up to its end.
UNSEEN = re.compile(r"<(?:!--|!doctype\b|(?:script|style|head)\b)", re.IGNORECASE)
UNSEEN_ENDS = {"<!--": "-->", "<!doctype": ">"}
OPENED, CLOSED = re.compile(r"<([a-z0-9]+)"), re.compile(r"</([a-z0-9]+)")
ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)
SCRIPT_LINK = re.compile(
    r"!?\[(?P<shown>[^\[\]\n]*)\]\(\s*(?:javascript|vbscript|data):(?:[^()\n]|\([^()\n]*\))*\)",
    re.IGNORECASE,
)
MAIL_QUOTE = re.compile(
    r"^(?:-{2,} ?Original Message ?-{2,}|On [^\n]{5,120} wrote:(?=\n>)).*",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
SIGNS = ("<", "&", "](", "-- ", "--O", "--o", "wrote:")  # no markup without one of them
CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
ABOUT_MARKUP = re.compile(r"\b(?:x?html5?|xml|svg|css|jsx|markup|markdown)\b", re.IGNORECASE)


def contains_markup(text: str) -> bool:
    return any(sign in text for sign in SIGNS) and any(
        _has_markup(part) for part in CODE.split(text)[::2]
    )


def is_about_markup(messages: Sequence[Message]) -> bool:
    """Return True where somebody speaks of HTML and the like: there it is the content."""
    return any(
        ABOUT_MARKUP.search(TAG.sub(" ", without_unseen(message["content"])))
        for message in messages
    )


def strip_markup(text: str) -> str:
    """Return what a reader would have seen; code in backticks and brackets of no known tag stay."""
    parts = CODE.split(text)
    parts[::2] = [_stripped(part) if _has_markup(part) else part for part in parts[::2]]
    return "".join(parts).strip()


def without_unseen(text: str) -> str:
    """Without comments, scripts, styles and heads. One that has no end is kept, as text."""
    lower, kept, at = text.lower(), [], 0
    endless: set[str] = set()
    for match in UNSEEN.finditer(text):
        opening = match[0].lower()
        end = UNSEEN_ENDS.get(opening, f"</{opening[1:]}>")
        if match.start() < at or end in endless:
            continue
        result = lower.find(end, match.end())
        if result < 0:
            endless.add(end)
            continue
        kept.append(text[at : match.start()])
        at = result + len(end)
    return " ".join([*kept, text[at:]])


def _has_markup(text: str) -> bool:
    if "<" in text and (UNSEEN.search(text) or any(_tags(text))):
        return True
    if "&" in text and any(html.unescape(m) != m for m in ENTITY.findall(text)):
        return True
    return bool(SCRIPT_LINK.search(text) or MAIL_QUOTE.search(text))


def _tags(text: str) -> Iterator[re.Match[str]]:
    lower = text.lower()
    paired = set(OPENED.findall(lower)) & set(CLOSED.findall(lower))
    for match in TAG.finditer(text):
        name = match["name"].lower()
        if name in SURE_TAGS or match["attributes"] or name in paired:
            yield match


def _stripped(text: str) -> str:
    for _ in range(ROUNDS):
        before = text
        text = SCRIPT_LINK.sub(lambda match: match["shown"], MAIL_QUOTE.sub("", text))
        text = _without_tags(without_unseen(text))
        text = ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if text == before:
            break
    text = re.sub(r"[ \t\xa0]+", " ", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" ?\n ?", "\n", text))


def _without_tags(text: str) -> str:
    kept, at = [], 0
    for tag in _tags(text):
        kept += [text[at : tag.start()], "\n" if tag["name"].lower() in BLOCK_TAGS else ""]
        at = tag.end()
    return "".join([*kept, text[at:]])
