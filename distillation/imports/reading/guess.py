"""Which columns hold input and answer, by their usual names and by what stands in them.

guess_columns([{"Beschreibung": "my drain is blocked", "Kategorie": "plumbing"}, …]).mapping

A guess is made only where one reading is clearly the best; else somebody is asked.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from distillation.imports.reading.errors import RowError
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.shapes import ColumnMapping, guess_mapping
from distillation.imports.reading.text import is_blank

LOOKED_AT_ROWS = 200
LOOKED_AT_CHARACTERS = 2_000_000
FEWEST_ROWS = 4  # below it, nothing can be said by content
MOST_LABELS = 100
ROWS_PER_LABEL = 2  # on average, of a column of labels
WORDS_OF_A_LABEL, WORDS_OF_A_TEXT = 4.0, 2.5
BY_NAMES = "by the names of the columns"
MOSTLY = 0.6  # of its cells are filled, or are of one kind

# In seven languages, without accents. Of two words the last counts, as in "ticket_text".
_INPUTS = """
    text texts message messages body content contents question query prompt input inputs
    sentence utterance comment comments review reviews description ticket request email mail
    post tweet complaint feedback transcript document article passage source_text original
    problem phrase note nachricht frage anfrage beschreibung inhalt eingabe kommentar bewertung
    satz anliegen texte commentaire avis contenu demande entree enonce mensaje pregunta
    comentario resena opinion contenido consulta frase descripcion entrada texto testo messaggio
    domanda commento recensione contenuto richiesta descrizione mensagem pergunta avaliacao
    conteudo descricao pedido tekst bericht vraag opmerking beoordeling inhoud zin omschrijving
    beschrijving invoer
"""
_SUBJECTS = """
    subject title headline betreff titel objet titre asunto titulo oggetto titolo assunto
    onderwerp
"""
_ANSWERS = """
    label labels category categories class intent topic tag type answer answers response reply
    output outputs target summary completion solution sentiment department queue team result
    translation sql rewrite rewritten correction corrected emotion kategorie klasse thema
    antwort ausgabe zusammenfassung typ art abteilung etikett stimmung losung categorie classe
    etiquette reponse sortie resume theme categoria clase etiqueta respuesta salida resumen tipo
    tema etichetta risposta uscita riassunto argomento rotulo resposta saida resumo antwoord
    uitvoer samenvatting soort afdeling
"""
INPUT_NAMES = frozenset(_INPUTS.split())
SUBJECT_NAMES = frozenset(_SUBJECTS.split())
ANSWER_NAMES = frozenset(_ANSWERS.split())
NAME_TOKEN = re.compile(r"[a-z]+")
KINDS = {
    "number": re.compile(r"[-+]?[\d.,\s]*\d\s*[%€$£]?"),
    "date": re.compile(
        r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T]\d{1,2}:\d{2}(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:?\d{2})?)?"
        r"|\d{1,2}:\d{2}(:\d{2})?"
    ),
    "address": re.compile(r"\S+@\S+\.\S+|https?://\S+|\+?[\d ()/-]{7,}"),
    "id": re.compile(r"#?[A-Za-z]{0,8}[-_#/]?\d[\w-]*|[0-9a-fA-F-]{8,}|[A-Z]{2,}[-_]\w+"),
    "flag": re.compile(r"(?i)true|false|yes|no|y|n"),
}


@dataclass(frozen=True)
class Guess:
    """`mapping` is None where it is not clear; `reason` says what was decided by, in words."""

    mapping: ColumnMapping | str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Column:
    """What stands in one column of the first rows."""

    name: str
    values: Sequence[str]
    filled: float
    kind: str = ""  # of KINDS; empty: words
    distinct: int = 0
    words: float = 0.0
    tokens: tuple[str, ...] = field(default=())

    @property
    def holds_words(self) -> bool:
        return self.filled >= MOSTLY and not self.kind

    @property
    def is_text(self) -> bool:
        return self.holds_words and self.words >= WORDS_OF_A_TEXT and not self.is_labels

    @property
    def is_labels(self) -> bool:
        """Few short values that come again and again."""
        few = 2 <= self.distinct <= min(MOST_LABELS, len(self.values) // ROWS_PER_LABEL)
        return self.filled >= MOSTLY and self.kind in ("", "flag") and few and self._is_short

    @property
    def _is_short(self) -> bool:
        return self.words <= WORDS_OF_A_LABEL and all("\n" not in value for value in self.values)

    def named(self, names: frozenset[str]) -> int:
        """2: its name is one of these; 1: it ends with one; 0: neither."""
        if len(self.tokens) == 1 and self.tokens[0] in names:
            return 2
        return int(bool(self.tokens) and self.tokens[-1] in names)


def guessed(
    rows: Iterable[RawRow | RowError], stated: ColumnMapping | None = None
) -> tuple[Guess, Iterator[RawRow | RowError]]:
    """Look at the first rows; return the guess, and all rows from the first."""
    rest = iter(rows)
    if stated is not None:
        return Guess(stated, "as chosen"), rest
    first: list[RawRow | RowError] = []
    characters = 0
    for row in rest:
        first.append(row)
        if isinstance(row, RawRow) and (mapping := guess_mapping(row.data)) is not None:
            return Guess(mapping, BY_NAMES), chain(first, rest)
        characters += len(str(row.data)) if isinstance(row, RawRow) else 0
        if len(first) >= LOOKED_AT_ROWS or characters >= LOOKED_AT_CHARACTERS:
            break
    guess = guess_columns([row.data for row in first if isinstance(row, RawRow)])
    return guess, chain(first, rest)


def guess_columns(rows: Sequence[Mapping[str, Any]]) -> Guess:
    for row in rows:
        if (mapping := guess_mapping(row)) is not None:
            return Guess(mapping, BY_NAMES)
    columns = [_column(name, rows) for name in dict.fromkeys(chain.from_iterable(rows))]
    return _by_names(columns) or _by_content(columns) or Guess()


def _by_names(columns: Sequence[Column]) -> Guess | None:
    """Take the columns that are named as inputs and answers are, where there is one of each."""
    subject, body = _input_by_name(columns)
    user = subject or body
    if user is None:
        return None
    others = [column for column in columns if column not in (subject, body)]
    answer = _best([column for column in others if _may_answer(column)], ANSWER_NAMES)
    if answer is None:
        answer = _only([column for column in others if column.is_labels])
        if answer is None or _only([c for c in others if c.holds_words]) is None:
            return None
    return Guess(_mapping(subject, body, answer), "by the names of the columns and their values")


def _input_by_name(columns: Sequence[Column]) -> tuple[Column | None, Column | None]:
    """Return the column of the subject, where the text has one, and that of the text."""
    words = [column for column in columns if column.holds_words and not column.is_labels]
    body = _best(words, INPUT_NAMES)
    others = [column for column in words if column is not body]
    subject = _best(others, SUBJECT_NAMES)
    return (subject, body) if subject and body else (None, body or subject)


def _by_content(columns: Sequence[Column]) -> Guess | None:
    """Take the one column of varied text, and the one of few short values that come again."""
    texts = [column for column in columns if column.is_text]
    labels = [column for column in columns if column.is_labels]
    if len(texts) == 2 and (subject := _best(texts, SUBJECT_NAMES)):
        texts = [subject, next(column for column in texts if column is not subject)]
    text = _only(texts)
    answer = _best(labels, ANSWER_NAMES) or _only(labels)
    if answer is None or (text is None and not _best(texts, SUBJECT_NAMES)):
        return None
    if len(answer.values) < FEWEST_ROWS:
        return None
    subject, body = (None, text) if text else (texts[0], texts[1])
    reason = f"“{answer.name}” has {answer.distinct} different short values that come again"
    return Guess(_mapping(subject, body, answer), reason)


def _mapping(subject: Column | None, body: Column | None, answer: Column) -> ColumnMapping:
    named = [column.name for column in (subject, body) if column]
    return ColumnMapping(named[0], answer.name, context="".join(named[1:2]))


def _may_answer(column: Column) -> bool:
    """Anything but what names a row or its time; numbers too, where the name says so."""
    is_name = column.kind in ("id", "date", "address") and column.distinct > len(column.values) / 2
    return column.filled >= MOSTLY and not is_name


def _best(columns: Sequence[Column], names: frozenset[str]) -> Column | None:
    """Return the one that is named so best; None where several are, or none is."""
    for least in (2, 1):
        named = [column for column in columns if column.named(names) >= least]
        if named:
            return _only(named)
    return None


def _only(columns: Sequence[Column]) -> Column | None:
    return columns[0] if len(columns) == 1 else None


def _column(name: str, rows: Sequence[Mapping[str, Any]]) -> Column:
    cells = [_text(row.get(name)) for row in rows]
    values = [cell for cell in cells if not is_blank(cell)]
    if not values:
        return Column(name, (), 0.0, tokens=tokens_of(name))
    return Column(
        name,
        values,
        filled=len(values) / len(cells),
        kind=_kind(values),
        distinct=len({value.casefold() for value in values}),
        words=sum(len(value.split()) for value in values) / len(values),
        tokens=tokens_of(name),
    )


def _kind(values: Sequence[str]) -> str:
    for kind, pattern in KINDS.items():
        if sum(bool(pattern.fullmatch(value)) for value in values) > MOSTLY * len(values):
            return kind
    return ""


def _text(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return str(value).strip() if isinstance(value, str | int | float | bool) else ""


def tokens_of(name: str) -> tuple[str, ...]:
    """Return the words of a name, in lower case and without accents: "ticketText" has two."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    plain = unicodedata.normalize("NFKD", spaced.casefold())
    return tuple(NAME_TOKEN.findall("".join(c for c in plain if not unicodedata.combining(c))))


def is_usual_name(name: str) -> bool:
    """Say whether a cell is the name of a column rather than a value: all of it is known."""
    tokens = tokens_of(name)
    return len(tokens) == 1 and tokens[0] in INPUT_NAMES | SUBJECT_NAMES | ANSWER_NAMES
