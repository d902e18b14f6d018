"""Small pieces of every page; a template builtin, so no {% load %} is needed.

{% badge model.status %}            a coloured word for any status of ours
{% share_bar part whole %}          one bar of a distribution, for a table cell
{% current "models" "model" %}      aria-current="page" when the page's URL name is one of these
{{ seconds|duration }}              "1 h 4 min"      {{ 0.4831|as_percent }}  "48.3 %"
{{ count|compact }}                 "134.5M"         {{ counts|get:"train" }}  a value by its key
{{ row.created_at|moment }}         "24 Nov 2026, 22:09 UTC"   {{ -0.081|as_points }}  "-8.1 points"
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from modelstation.core.charts import share_bar

register = template.Library()

TONES = {
    "busy": "distilling training evaluating running loading",
    "good": "ready succeeded pass done live active owner verified frozen accepted used",
    "bad": "failed fail revoked differs refused",
    "warn": "inconclusive draft expired open uploaded review needs_data not_passed undecided",
}
WORDS = {"not_passed": "Built, not passed", "undecided": "Built, undecided"}
TONE_OF = {word: tone for tone, words in TONES.items() for word in words.split()}


@register.simple_tag
def badge(value: str, label: str = "") -> SafeString:
    tone = TONE_OF.get(str(value), "quiet")
    text = label or WORDS.get(str(value)) or str(value).replace("_", " ").capitalize()
    return format_html('<span class="badge badge-{}">{}</span>', tone, text)


register.simple_tag(share_bar)


@register.simple_tag(takes_context=True)
def current(context: template.Context, *names: str) -> SafeString:
    match = getattr(context.get("request"), "resolver_match", None)
    return mark_safe('aria-current="page"' if match and match.url_name in names else "")


@register.filter
def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@register.filter
def milliseconds(count: float | None) -> str:
    """432 ms, 15.4 s."""
    if count is None:
        return "–"
    return f"{count / 1000:.1f} s" if count >= 1000 else f"{count:.0f} ms"


@register.filter
def moment(at: datetime | None) -> str:
    """Show when something was, everywhere in the same way: nobody has to guess the zone."""
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC" if at else "–"


@register.filter
def as_points(difference: float | str | None) -> str:
    """Show a difference of two shares: 3 % less and 3 points less are not the same."""
    if difference is None or isinstance(difference, str):
        return "–"
    return f"{100 * difference:+.1f} points"


@register.filter
def as_percent(fraction: float | str | None) -> str:
    """Show a dash for what is not measured: None, or the "" of a look-up without a result."""
    return "–" if fraction is None or isinstance(fraction, str) else f"{100 * fraction:.1f} %"


@register.filter
def compact(count: float | None) -> str:
    """1234 → 1.2k, 134515008 → 134.5M."""
    value = float(count or 0)
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f}{letter}"
    return f"{value:g}"


@register.filter
def get(mapping: Mapping[str, object], key: str) -> Any:
    """Return a value by a key that is not a plain name."""
    return mapping.get(key)
