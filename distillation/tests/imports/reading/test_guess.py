"""Which columns hold input and answer, from their names and what stands in them."""

import pytest

from distillation.imports.reading.guess import guess_columns
from distillation.imports.reading.shapes import ColumnMapping

LABELS = ["plumbing", "electrical", "heating"]
TEXTS = [f"the {word} has been broken since Monday" for word in "abcdefghijkl"]


def table(**columns):
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def labelled(text="a", label="b", **more):
    rows = 12
    columns = {text: TEXTS, label: [LABELS[n % 3] for n in range(rows)]}
    return table(**columns, **{name: [make(n) for n in range(rows)] for name, make in more.items()})


def read(rows, **how):
    mapping = guess_columns(rows, **how).mapping
    return mapping and (mapping.user, mapping.context, mapping.assistant)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("text", "category"),
        ("Message", "Topic"),
        ("ticket_text", "Queue"),
        ("Beschreibung", "Kategorie"),
        ("commentaire", "étiquette"),
        ("Mensaje", "Categoría"),
        ("testo", "Etichetta"),
        ("mensagem", "rótulo"),
        ("Bericht", "Categorie"),
        ("x1", "x2"),
    ],
)
def test_text_and_label_are_found_in_seven_languages_and_without_any_name(text, label):
    assert read(labelled(text, label)) == (text, "", label)


def test_ids_dates_numbers_and_addresses_are_never_the_input():
    rows = labelled(
        "what they wrote",
        "team it went to",
        number=lambda n: f"T-{n:05}",
        created=lambda n: f"2026-03-{n + 1:02} 10:15",
        amount=lambda n: f"{n},50 €",
        sender=lambda n: f"user{n}@example.org",
    )
    assert read(rows) == ("what they wrote", "", "team it went to")


def test_subject_and_body_are_joined():
    rows = labelled("body", "category", subject=lambda n: f"Question number {n} about rent")
    assert read(rows) == ("subject", "body", "category")


def test_of_two_columns_of_labels_the_one_that_is_named_so_is_the_answer():
    rows = labelled("Beschreibung", "Kategorie", Status=lambda n: ["open", "closed"][n % 2])
    assert read(rows) == ("Beschreibung", "", "Kategorie")


def test_two_columns_of_labels_without_a_name_are_asked_about():
    assert read(labelled("c1", "c2", c3=lambda n: ["open", "closed"][n % 2])) is None


def test_two_texts_with_a_named_answer_are_input_and_answer():
    rows = table(informal=TEXTS, formal=[text.upper() for text in TEXTS])
    assert read(rows) is None
    rows = table(message=TEXTS, reply=[text.upper() for text in TEXTS])
    assert read(rows) == ("message", "", "reply")


def test_a_number_is_an_answer_where_it_is_named_so():
    rows = table(problem=TEXTS, answer=[str(n) for n in range(12)])
    assert read(rows) == ("problem", "", "answer")


def test_a_question_keeps_its_context():
    row = {"question": "who?", "context": "Ann came.", "answer": "Ann", "id": "1"}
    assert guess_columns([row]).mapping == ColumnMapping("question", "answer", "system", "context")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "1", "tweet": "hi", "sentiment": "pos"}, ("tweet", "", "sentiment")),
        ({"dialogue": "A: hi", "summary": "Greets."}, ("dialogue", "", "summary")),
        ({"question": "How many?", "sql": "SELECT 1"}, ("question", "", "sql")),
        ({"tokens_text": "Ann lives", "entities": [{"PER": "A"}]}, ("tokens_text", "", "entities")),
        ({"utterance": "wake me", "slots": {"time": "7"}}, ("utterance", "", "slots")),
        ({"description": "List files", "command": "ls"}, ("description", "", "command")),
        ({"text": "ten days", "source": "a web page", "label": "time"}, ("text", "", "label")),
        ({"a": "one"}, None),
    ],
)
def test_columns_are_found_by_usual_names_whatever_the_answer_holds(row, expected):
    assert read([row] * 3) == read([row] * 3, likeliest=True) == expected


@pytest.mark.parametrize(
    ("columns", "likeliest"),
    [
        (("message", "text", "reply"), ("text", "", "reply")),
        (("informal", "formal reading", "rewritten"), ("informal", "", "rewritten")),
        (("message", "category", "label"), ("message", "", "label")),
        (("message", "formal"), ("message", "", "formal")),
        (("informal", "formal"), ("informal", "", "formal")),
        (("one", "two", "three"), None),
    ],
)
def test_of_several_readings_the_likeliest_is_taken_only_where_nobody_can_be_asked(
    columns, likeliest
):
    rows = table(**dict.fromkeys(columns, TEXTS))
    assert read(rows) is None
    assert read(rows, likeliest=True) == likeliest


def test_a_list_of_words_is_no_input():
    rows = [{"tokens": ["Ann", "lives"], "ner_tags": [1, 0], "entities": "Ann"}] * 12
    assert read(rows, likeliest=True) is None


def test_a_column_whose_numbers_have_names_is_the_answer_whatever_its_own_name():
    rows = labelled("utterance", "source", coarse=lambda n: n % 2, fine=lambda n: n)
    names = {"coarse": ("off", "on")}
    mapping = guess_columns(rows, names).mapping
    assert mapping == ColumnMapping("utterance", "coarse", labels=("off", "on"))


def test_tokens_with_their_tags_are_not_taken_for_texts_with_labels():
    words = ["We", "met", "in", "Oslo", "."] * 2 + ["We", "met"]
    assert read(table(We=words, O=["O", "B-LOC"] * 6)) is None


def test_without_rows_nothing_is_guessed():
    assert guess_columns([]).mapping is None
