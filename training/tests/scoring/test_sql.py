"""SQL answers are executed: on which tables, with what result, and what they cannot do."""

import sqlite3

import pytest

from training.scoring.metrics import build_scorer
from training.scoring.sql import Fixture, find_fixture, same_result

TABLES = Fixture(
    "CREATE TABLE people (name TEXT, age INTEGER);"
    "INSERT INTO people VALUES ('Ann; the 1st', 30);"
    "INSERT INTO people VALUES ('Bob', 40); INSERT INTO people VALUES ('Cid', 50);"
)
REFERENCE = "SELECT name FROM people WHERE age > 35"


@pytest.mark.parametrize(
    ("prediction", "score"),
    [
        (REFERENCE, 1),
        ("select NAME from people where age >= 40 order by age desc;", 1),
        ("SELECT upper(name) FROM people WHERE age > 35", 1),  # text is compared without case
        ("WITH old AS (SELECT * FROM people WHERE age > 35) SELECT name FROM old", 1),
        ("SELECT name FROM people", 0),
        ("SELECT name, age FROM people WHERE age > 35", 0),
        ("SELECT nom FROM people", 0),
        ("Here it is: SELECT name FROM people WHERE age > 35", 0),
        ("SELECT name FROM people WHERE age > 35; SELECT 1", 0),
        ("", 0),
    ],
)
def test_answers_are_right_when_they_give_the_rows_of_the_reference(prediction, score):
    assert same_result(prediction, REFERENCE, TABLES) == score


def test_order_counts_where_the_reference_orders():
    ordered = "SELECT name FROM people ORDER BY age"
    assert same_result("SELECT name FROM people ORDER BY age DESC", ordered, TABLES) == 0
    assert same_result("SELECT name FROM people", "SELECT name FROM people", TABLES) == 1


@pytest.mark.parametrize(
    "hostile",
    [
        "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r",
        "SELECT length(zeroblob(1000000000))",
        "SELECT load_extension('/tmp/evil')",
        "DELETE FROM people",
        "ATTACH 'FILE' AS f",
        "VACUUM INTO 'FILE'",
        "WITH x AS (SELECT 1) DELETE FROM people",
        "PRAGMA writable_schema = 1",
        "SELECT '\x00'",
    ],
)
def test_a_hostile_answer_is_wrong_and_harmless(hostile, tmp_path):
    target = tmp_path / "written.db"
    assert same_result(hostile.replace("FILE", str(target)), REFERENCE, TABLES) == 0
    assert not target.exists()


def test_a_fixture_cannot_open_files(tmp_path):
    target = tmp_path / "written.db"
    script = f"ATTACH '{target}' AS f; CREATE TABLE f.t (a TEXT); INSERT INTO t VALUES (1)"
    assert find_fixture(script, "", "SELECT a FROM t") is None
    assert not target.exists()


def test_tables_given_with_a_row_come_before_those_of_its_prompt():
    given = {"ddl": "CREATE TABLE data (a TEXT, b TEXT)", "rows": [["x", "1"], ["y", "2"]]}
    result = find_fixture(given, "Table: data(a TEXT, b TEXT)", "SELECT b FROM data WHERE a = 'x'")
    assert result is not None
    assert same_result("SELECT '1'", "SELECT b FROM data WHERE a = 'x'", result) == 1


def test_create_and_insert_in_a_prompt_are_the_tables():
    prompt = f"Given\n{TABLES.script}\nWho is older than 35?"
    result = find_fixture(None, prompt, REFERENCE)
    assert result is not None
    assert same_result(REFERENCE, REFERENCE, result) == 1
    assert same_result("SELECT name FROM people WHERE age > 45", REFERENCE, result) == 0


@pytest.mark.parametrize(
    ("reference", "wrong"),
    [
        ("SELECT b FROM data WHERE a = 'x''s' AND n > 3", "SELECT b FROM data WHERE a = 'x''s'"),
        ("SELECT b FROM data WHERE n < 3", "SELECT b FROM data WHERE n > 3"),
        ("SELECT COUNT(b) FROM data WHERE a LIKE 'x%'", "SELECT COUNT(b) FROM data"),
        ("SELECT MAX(n) FROM data WHERE a = '62%'", "SELECT MIN(n) FROM data WHERE a = '62%'"),
    ],
)
def test_rows_are_made_up_for_a_table_of_which_only_the_columns_are_named(reference, wrong):
    result = find_fixture(None, "Table: data(a TEXT, b TEXT, n REAL)\nQuestion: …", reference)
    assert result is not None
    assert same_result(reference, reference, result) == 1
    if "MAX" not in reference:
        assert same_result(wrong, reference, result) == 0


@pytest.mark.parametrize(
    ("prompt", "reference"),
    [
        ("Who is it?", "SELECT b FROM data WHERE a = 'x'"),
        ("Table: data(a TEXT)", "SELECT missing FROM data WHERE a = 'x'"),
        ("Table: data(a TEXT)", "no sql"),
        ("INSERT INTO data VALUES ('z')", "SELECT a FROM data WHERE a = 'x'"),
    ],
)
def test_a_row_whose_reference_tells_nothing_is_not_measured(prompt, reference):
    assert find_fixture(None, prompt, reference) is None


def test_a_broken_script_is_no_fixture_and_rows_without_one_do_not_count():
    assert find_fixture("CREATE TABLE (", "", REFERENCE) is None
    metric = build_scorer("execution_accuracy", {}, [], [TABLES, None, TABLES])
    answers = [REFERENCE, REFERENCE, "SELECT 1"]
    assert metric.score(answers, [REFERENCE] * 3) == 0.5
    assert metric.of_rows(answers, [REFERENCE] * 3) == [1, 0, 0]
    assert metric.rows(metric.sums(answers, [REFERENCE] * 3)) == 2


def test_the_sandbox_is_what_stops_a_write():
    """The same statement works where nothing forbids it."""
    with sqlite3.connect(":memory:") as database:
        database.executescript(TABLES.script)
        assert database.execute("DELETE FROM people").rowcount == 3
