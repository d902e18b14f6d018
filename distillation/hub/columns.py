"""Which columns of a data set hold input and answer: as imports guess, else by usual names and by
what the columns hold.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.shapes import ColumnMapping, guess_mapping

INPUTS = (
    "text", "sentence", "utterance", "question", "query", "prompt", "instruction", "message",
    "body", "input", "content", "dialogue", "dialog", "conversation", "document", "article",
    "abstract", "context", "source", "src", "description", "complex", "title", "subject", "en",
)  # fmt: skip
ANSWERS = (
    "label", "labels", "intent", "category", "class", "sentiment", "emotion", "topic", "answer",
    "output", "response", "completion", "target", "summary", "sql", "command", "entities", "slots",
    "ner", "simple", "translation", "tgt", "definition", "conclusion", "final_decision", "result",
    "reply", "value", "tag", "tags",
)  # fmt: skip
MOST_LABEL_CHARS = 60
Row = Mapping[str, Any]


def mapping_of(
    rows: Sequence[Row], labels: Mapping[str, tuple[str, ...]]
) -> ColumnMapping | str | None:
    """Return how the rows are read, with the names of labels that are numbers; None: unclear."""
    if not rows:
        return None
    mapping = guess_mapping(rows[0])
    if isinstance(mapping, str):
        return mapping
    if mapping is None:
        mapping = _guess(rows, labels)
    if mapping is None:
        return None
    names = labels.get(mapping.assistant, ())
    return ColumnMapping(mapping.user, mapping.assistant, mapping.system, mapping.context, names)


def _guess(rows: Sequence[Row], labels: Mapping[str, tuple[str, ...]]) -> ColumnMapping | None:
    columns = [name for name in rows[0] if any(row.get(name) not in (None, "") for row in rows)]
    texts = [name for name in columns if all(isinstance(row.get(name), str) for row in rows)]
    answer = next((name for name in columns if name in labels), "")
    answer = answer or _named(columns, ANSWERS) or _repeated(rows, texts)
    texts = [name for name in texts if name != answer]
    user = _named(texts, INPUTS) or max(
        texts, key=lambda name: sum(len(row[name]) for row in rows), default=""
    )
    if user and not answer and len(texts) == 2:
        answer = next(name for name in texts if name != user)
    return ColumnMapping(user, answer) if user and answer else None


def _named(columns: Sequence[str], usual: Sequence[str]) -> str:
    """Return the column of the most usual name, whole or as a word of it."""
    for name in usual:
        for column in columns:
            if column.lower() == name:
                return column
    for name in usual:
        for column in columns:
            if name in column.lower().replace("-", "_").split("_"):
                return column
    return ""


def _repeated(rows: Sequence[Row], texts: Sequence[str]) -> str:
    """Return a column of short texts that come again and again: labels."""
    different: dict[str, int] = {}
    for name in texts:
        values = [row[name] for row in rows]
        is_short = all(len(value) <= MOST_LABEL_CHARS for value in values)
        if len(rows) >= 10 and is_short and 1 < len(set(values)) <= len(rows) / 2:
            different[name] = len(set(values))
    return min(different, key=lambda name: different[name], default="")


def plain(row: RawRow, mapping: ColumnMapping | str | None) -> RawRow:
    """Return the row with a structured answer as JSON text, since only texts are learnt."""
    if not isinstance(mapping, ColumnMapping):
        return row
    answer = row.data.get(mapping.assistant)
    if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], str):
        return RawRow(row.line, row.data | {mapping.assistant: answer[0]})
    if isinstance(answer, dict | list):
        text = json.dumps(answer, ensure_ascii=False, default=str)
        return RawRow(row.line, row.data | {mapping.assistant: text})
    return row


def in_words(mapping: ColumnMapping | str) -> str:
    if isinstance(mapping, str):
        return f"chat in “{mapping}”"
    named = f" ({len(mapping.labels)} named labels)" if mapping.labels else ""
    return f"{mapping.user[:80]} → {mapping.assistant[:80]}{named}"
