"""The starter corpus is large, varied, the same everywhere, and its answers are right."""

import gzip
import json
import re
import sqlite3
from collections import Counter, defaultdict
from datetime import date
from random import Random

import pytest

from distillation.corpus.sources import STARTER_FILE
from distillation.imports.reading.rows import ReadOptions, read_examples
from tools.starter.corpus import FAMILIES, LICENSE, jsonl, starter_rows
from tools.starter.grammar import distinct, expand
from tools.starter.order_slots import NUMBERS, PLURALS
from tools.starter.text_to_sql import TABLES, one_question


@pytest.fixture(scope="module")
def rows():
    return list(starter_rows())


@pytest.fixture(scope="module")
def by_family(rows):
    families = defaultdict(list)
    for row in rows:
        families[row["source"].removeprefix("starter_")].append(row)
    return families


def question(row):
    return row["messages"][-2]["content"]


def answer(row):
    return row["messages"][-1]["content"]


def test_there_are_more_than_4000_rows_of_more_than_12_kinds(rows, by_family):
    assert len(rows) >= 4_000
    assert len(by_family) == len(FAMILIES) >= 12
    assert min(map(len, by_family.values())) >= 200
    assert {row["license"] for row in rows} == {LICENSE}


def test_no_question_is_asked_twice_and_every_row_can_be_imported(rows):
    questions = Counter(question(row).casefold().rstrip(".!? ") for row in rows)
    assert [text for text, count in questions.items() if count > 1] == []
    examples = list(read_examples(STARTER_FILE, ReadOptions()))
    assert len({example.content_hash for example in examples}) == len(rows)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(rows):
    assert json.dumps(list(starter_rows())) == json.dumps(rows)
    assert json.dumps(list(starter_rows(seed=1))) != json.dumps(rows)


def test_the_product_ships_what_the_generator_writes():
    assert gzip.decompress(STARTER_FILE.read_bytes()).decode() == jsonl(), "python -m tools.starter"


def test_nothing_of_a_pattern_is_left_in_a_sentence(by_family):
    intents = ("helpdesk", "home_assistant", "shop_messages", "office_questions", "sentiment")
    left = [question(row) for name in intents for row in by_family[name]]
    assert [text for text in left if re.search(r"[{}\[\]|]|  | [.,?!]|,[.?!]", text)] == []


def test_the_helpdesk_has_sixteen_queues_with_more_than_forty_tickets_each(by_family):
    queues = Counter(row["task"] for row in by_family["helpdesk"])
    assert len(queues) == 16
    assert min(queues.values()) >= 40
    assert all(answer(row) == row["task"] for row in by_family["helpdesk"])


def test_json_answers_parse_and_hold_only_what_the_message_says(by_family):
    for row in by_family["event_slots"]:
        said = question(row).casefold()
        for value in json.loads(answer(row)).values():
            names = value if isinstance(value, list) else [value]
            assert all(name.casefold() in said for name in names)
    for row in by_family["order_slots"]:
        order = json.loads(answer(row))
        assert all(is_ordered(item, question(row)) for item in order["items"])
        assert all(order[key] in question(row) for key in {"time", "address"} & set(order))


def is_ordered(item, text):
    name, quantity = item["name"], item["quantity"]
    words = [*NUMBERS[quantity], "an"] if quantity == 1 else NUMBERS[quantity]
    spoken = name if quantity == 1 else PLURALS[name]
    return any(f"{word} {spoken}" in text for word in words)


def test_every_query_runs_on_its_table(by_family):
    database = sqlite3.connect(":memory:")
    for table in TABLES:
        database.execute(f"CREATE TABLE {table.schema}")
    for row in by_family["text_to_sql"]:
        database.execute(answer(row))
        assert question(row).splitlines()[0].removeprefix("Table: ") in {t.schema for t in TABLES}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("How many books are there?", [(3,)]),
        ("Count the books for every genre.", [("crime", 2), ("poetry", 1)]),
        ("Which genre has the most books?", [("crime",)]),
        ("Name the title with the smallest pages.", [("Ash",)]),
        ("Find the title of books whose pages is above the average.", [("Bay",)]),
        ("Books that do not have genre crime, title only please", [("Bay",)]),
        ("What is the mean pages of books with genre crime?", [(150.0,)]),
    ],
)
def test_a_query_gives_what_its_question_asks(said, wanted):
    rng = Random(0)
    made = (one_question(rng) for _ in range(30_000))
    query = next(row.answer for row in made if row.user.endswith(f"Question: {said}"))
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE books(title, author, genre, pages, published)")
    shelf = [
        ("Ash", "P. Novak", "crime", 100, 1990),
        ("Bay", "L. Castro", "poetry", 300, 2000),
        ("Cod", "P. Novak", "crime", 200, 2010),
    ]
    database.executemany("INSERT INTO books VALUES (?, ?, ?, ?, ?)", shelf)
    assert database.execute(query).fetchall() == wanted


def test_sums_are_right(by_family):
    for row in by_family["arithmetic"]:
        for left, right in re.findall(r"([\d\s+*/()-]+) = (\d+)", answer(row)):
            assert eval(left) == int(right)  # noqa: S307, only digits and operators match
        if row["task"] == "arithmetic":
            assert eval(as_python(question(row))) == int(answer(row))  # noqa: S307
        else:
            assert answer(row).splitlines()[-1].startswith("#### ")


def as_python(said):
    words = {"plus": "+", "minus": "-", "times": "*", "x": "*", "divided by": "/", "% of": "/100*"}
    for word, sign in words.items():
        said = re.sub(rf"(?<=\d) ?{word} ?(?=\d)", f" {sign} ", said)
    return re.search(r"[\d(][\d\s+*/().-]*[\d)]", said)[0]


def test_dates_and_units_are_right(by_family):
    for row in by_family["dates"]:
        if row["task"] in ("date_to_iso", "date_shift"):
            date.fromisoformat(answer(row))
    found = {question(row): answer(row) for row in by_family["units"]}
    for said, converted in found.items():
        match = re.search(r"([\d.]+) kilograms.* grams", said)
        if match and "tonnes" not in said:
            assert float(converted.split()[0]) == float(match[1]) * 1000


def test_patterns_expand_alternatives_slots_and_slots_in_alternatives():
    rng = Random(0)
    made = {
        expand("[My|The {thing}'s] [lid |]broke [.]", {"thing": ["pan"]}, rng) for _ in range(99)
    }
    assert made == {"My lid broke.", "My broke.", "The pan's lid broke.", "The pan's broke."}


def test_patterns_that_cannot_vary_enough_are_an_error():
    with pytest.raises(ValueError, match="only 1 different"):
        distinct(lambda: "the same", 2)
