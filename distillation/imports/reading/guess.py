"""Which columns hold input and answer, by their usual names and by what stands in them.

guess_columns([{"Beschreibung": "my drain is blocked", "Kategorie": "plumbing"}, …]).mapping

A guess is made only where one reading is clearly the best; else somebody is asked. Where nobody
can be, as in a search of the hub, `likeliest` takes the best reading all the same.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from distillation.imports.reading.errors import RowError
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.shapes import ColumnMapping, guess_mapping, unwrapped
from distillation.imports.reading.text import is_blank

LOOKED_AT_ROWS = 200
LOOKED_AT_CHARACTERS = 2_000_000
FEWEST_ROWS = 4  # below it, nothing can be said by content
MOST_LABELS = 100
ROWS_PER_LABEL = 2  # on average, of a column of labels
WORDS_OF_A_LABEL, WORDS_OF_A_TEXT = 4.0, 2.5
BY_NAMES = "by the names of the columns"
MOSTLY = 0.6  # of its cells are filled, or are of one kind

# In seven languages, without accents, the usual ones first. Of two words the last counts, as in
# "ticket_text".
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
    label labels intent category categories class topic sentiment emotion answer answers response
    reply output outputs target summary completion solution translation sql rewrite rewritten
    correction corrected result department queue team tag type kategorie klasse thema antwort
    ausgabe zusammenfassung typ art abteilung etikett stimmung losung categorie classe
    etiquette reponse sortie resume theme categoria clase etiqueta respuesta salida resumen tipo
    tema etichetta risposta uscita riassunto argomento rotulo resposta saida resumo antwoord
    uitvoer samenvatting soort afdeling
"""
# They count where no usual name is: "source" is mostly where a row comes from.
_RARER_INPUTS = "dialogue dialog instruction abstract conversation context source src complex en"
_RARER_ANSWERS = """
    entities slots ner command highlights tags simple tgt definition conclusion decision value
"""
Names = Sequence[Mapping[str, int]]  # the place of each name; a later group counts less


def _names(*groups: str) -> Names:
    return [{name: place for place, name in enumerate(group.split())} for group in groups]


INPUT_NAMES, SUBJECT_NAMES = _names(_INPUTS, _RARER_INPUTS), _names(_SUBJECTS)
ANSWER_NAMES = _names(_ANSWERS, _RARER_ANSWERS)
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
    kind: str = ""  # of KINDS, or "structure"; empty: words
    distinct: int = 0
    words: float = 0.0
    tokens: tuple[str, ...] = ()

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

    def named(self, names: Mapping[str, int]) -> int:
        """2: its name is one of these; 1: it ends with one; 0: neither."""
        if len(self.tokens) == 1 and self.tokens[0] in names:
            return 2
        return int(bool(self.tokens) and self.tokens[-1] in names)


Pick = Callable[[Sequence[Column]], Column | None]


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


def guess_columns(
    rows: Sequence[Mapping[str, Any]],
    labels: Mapping[str, tuple[str, ...]] | None = None,
    *,
    likeliest: bool = False,
) -> Guess:
    """Guess the columns; `labels` names the numbers in columns of labels, where that is known."""
    labels, pick = labels or {}, _first if likeliest else _only
    guess = _guess(rows, labels, pick)
    if not isinstance(guess.mapping, ColumnMapping):
        return guess
    names = labels.get(guess.mapping.assistant, ())
    return replace(guess, mapping=replace(guess.mapping, labels=names))


def _guess(
    rows: Sequence[Mapping[str, Any]], labels: Mapping[str, tuple[str, ...]], pick: Pick
) -> Guess:
    for row in rows:
        if (mapping := guess_mapping(row)) is not None:
            return Guess(mapping, BY_NAMES)
    columns = [_column(name, rows, labels) for name in dict.fromkeys(chain.from_iterable(rows))]
    return _by_names(columns, pick) or _by_content(columns, pick) or Guess()


def _only(columns: Sequence[Column]) -> Column | None:
    return columns[0] if len(columns) == 1 else None


def _first(columns: Sequence[Column]) -> Column | None:
    return columns[0] if columns else None


def _by_names(columns: Sequence[Column], pick: Pick) -> Guess | None:
    """Take the columns that are named as inputs and answers are, where there is one of each."""
    subject, body = _input_by_name(columns, pick)
    others = [column for column in columns if column not in (subject, body)]
    answer = _best([column for column in others if _may_answer(column)], ANSWER_NAMES, pick)
    words = [column for column in others if column.holds_words and column is not answer]
    if body and answer is None and pick(words):
        answer = pick([column for column in others if column.is_labels])
    if pick is _first:
        body = body or max(words, key=lambda column: column.words, default=None)
        answer = answer or _only([column for column in words if column is not body])
    if body is None or answer is None:
        return None
    return Guess(_mapping(subject, body, answer), "by the names of the columns and their values")


def _input_by_name(columns: Sequence[Column], pick: Pick) -> tuple[Column | None, Column | None]:
    """Return the column of the subject, where the text has one, and that of the text."""
    words = [column for column in columns if column.holds_words and not column.is_labels]
    body = _best(words, INPUT_NAMES, pick)
    others = [column for column in words if column is not body]
    subject = _best(others, SUBJECT_NAMES, pick)
    return (subject, body) if subject and body else (None, body or subject)


def _by_content(columns: Sequence[Column], pick: Pick) -> Guess | None:
    """Take the one column of varied text, and the one of few short values that come again."""
    texts = sorted((column for column in columns if column.is_text), key=lambda c: -c.words)
    labels = [column for column in columns if column.is_labels]
    subject = _best(texts, SUBJECT_NAMES, pick) if len(texts) == 2 else None
    body = pick([column for column in texts if column is not subject])
    answer = _best(labels, ANSWER_NAMES, pick) or pick(labels)
    if answer is None or body is None or len(answer.values) < FEWEST_ROWS:
        return None
    reason = f"“{answer.name}” has {answer.distinct} different short values that come again"
    return Guess(_mapping(subject, body, answer), reason)


def _mapping(subject: Column | None, body: Column | None, answer: Column) -> ColumnMapping:
    named = [column.name for column in (subject, body) if column]
    return ColumnMapping(named[0], answer.name, context="".join(named[1:2]))


def _may_answer(column: Column) -> bool:
    """Anything but what names a row or its time; numbers too, where the name says so."""
    is_name = column.kind in ("id", "date", "address") and column.distinct > len(column.values) / 2
    return column.filled >= MOSTLY and not is_name


def _best(columns: Sequence[Column], names: Names, pick: Pick) -> Column | None:
    """Return the one that is named so best; None where several are, or none is."""
    for group in names:
        for least in (2, 1):
            if named := [column for column in columns if column.named(group) >= least]:
                return pick(sorted(named, key=lambda column: group[column.tokens[-1]]))
    return None


def _column(
    name: str, rows: Sequence[Mapping[str, Any]], labels: Mapping[str, tuple[str, ...]]
) -> Column:
    tokens = ("label",) if name in labels else tokens_of(name)
    found = [unwrapped(row.get(name)) for row in rows]
    cells = [_text(value) for value in found]
    values = [cell for cell in cells if not is_blank(cell)]
    if not values:
        return Column(name, (), 0.0, tokens=tokens)
    structures = sum(isinstance(value, dict | list) for value in found)
    return Column(
        name,
        values,
        filled=len(values) / len(cells),
        kind="structure" if structures > MOSTLY * len(values) else _kind(values),
        distinct=len({value.casefold() for value in values}),
        words=sum(len(value.split()) for value in values) / len(values),
        tokens=tokens,
    )


def _kind(values: Sequence[str]) -> str:
    for kind, pattern in KINDS.items():
        if sum(bool(pattern.fullmatch(value)) for value in values) > MOSTLY * len(values):
            return kind
    return ""


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return "" if value is None else str(value).strip()


def tokens_of(name: str) -> tuple[str, ...]:
    """Return the words of a name, in lower case and without accents: "ticketText" has two."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    plain = unicodedata.normalize("NFKD", spaced.casefold())
    return tuple(NAME_TOKEN.findall("".join(c for c in plain if not unicodedata.combining(c))))


def is_usual_name(name: str) -> bool:
    """Say whether a cell is the name of a column rather than a value: all of it is known."""
    tokens = tokens_of(name)
    usual = (INPUT_NAMES[0], SUBJECT_NAMES[0], ANSWER_NAMES[0])
    return len(tokens) == 1 and any(tokens[0] in names for names in usual)
