"""Which rows of a dataset are meant: the same words on the page, in the API and in bulk actions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Coalesce, Length, NullIf

from distillation.models import DatasetRow

# What rows may be sorted by. Each ends in the position, so that equal ones keep their order.
SORTS = {
    "position": "position",
    "-score": "-score",
    "score": "score",
    "-length": "-answer_length",
    "length": "answer_length",
    "source": "source_name",
    "answer": "said_answer",
}


class SpokenText(Func):
    """What user and assistant say in a row; the system prompt is the same in all of them."""

    template = (
        """jsonb_path_query_array(%(expressions)s, '$[*] ? (@.role != "system").content')::text"""
    )
    output_field = TextField()


# In normal form: letter case, spaces and ASCII punctuation away. Whatever "letter" means depends on
# the database's locale, so the characters are named.
PLAIN = (
    r"""btrim(regexp_replace(lower(normalize({}, NFKC)), '[[:space:]!-/:-@[-^`{{-~]+', ' ', 'g'))"""
)


def same_input(expression: F | Value) -> Coalesce:
    """Equal for inputs that differ only in case, spaces or punctuation: what the pipeline's
    `input_key` is, as far as the database can tell. Never equal where that one differs.
    """
    plain = Func(expression, template=PLAIN.format("%(expressions)s"), output_field=TextField())
    return Coalesce(NullIf(plain, Value("", TextField())), expression)


@dataclass(frozen=True)
class RowFilter:
    """Empty fields leave all rows in."""

    q: str = ""
    split: str = ""
    source: str = ""
    decision: str = ""
    answer: str = ""
    license: str = ""
    edited: bool | None = None
    labelled_by: str = ""

    def applied(self, rows: Any) -> QuerySet[DatasetRow]:
        requested = {
            "split": self.split,
            "source_name": self.source,
            "decision": self.decision,
            "license": self.license,
        }
        rows = rows.filter(Q(**{column: value for column, value in requested.items() if value}))
        if self.labelled_by:
            rows = rows.filter(provenance__labelled_by=self.labelled_by)
        if self.answer:
            rows = rows.spoken().filter(said_answer=self.answer)
        if self.edited is not None:
            rows = rows.filter(original_messages__isnull=not self.edited)
        return self._with_words(rows)

    def _with_words(self, rows: QuerySet[DatasetRow]) -> QuerySet[DatasetRow]:
        if not self.q:
            return rows
        # As quotes and newlines stand in JSON.
        written = json.dumps(self.q, ensure_ascii=False)[1:-1]
        return rows.alias(text=SpokenText("messages")).filter(text__icontains=written)

    def to_json(self) -> dict[str, str | bool]:
        """Return what was requested, for the audit."""
        return {name: value for name, value in vars(self).items() if value not in ("", None)}


def row_filter(requested: Mapping[str, Any]) -> RowFilter:
    """Of validated fields; those of other names are left alone."""
    known = {
        name: requested[name] for name in RowFilter.__dataclass_fields__ if requested.get(name)
    }
    return RowFilter(**known | {"edited": requested.get("edited")})


def sorted_rows(rows: Any, sort: str) -> QuerySet[DatasetRow]:
    order = SORTS[sort or "position"]
    spoken = rows.spoken()
    if "answer_length" in order:
        spoken = spoken.annotate(answer_length=Length("said_answer"))
    result: QuerySet[DatasetRow] = spoken.order_by(order, "position")
    return result
