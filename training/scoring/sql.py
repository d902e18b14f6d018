"""Do two SQL queries give the same rows? Both are executed on small tables in memory.

The tables come from a script of CREATE and INSERT, given beside the row or standing in its prompt.
Where the prompt only names the columns, rows are made up from the values that the reference asks
for, so that leaving out its WHERE changes the result; a row for which that fails is not measured.
Queries are model output: they can neither write, nor open files, nor run for long.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

STEPS_BETWEEN_CHECKS = 1000
MOST_CHECKS = 2000  # two million steps of SQLite's machine: well under a second
MOST_ROWS = 1000
MOST_BYTES = 1 << 16  # of one value: 64 MB in all at worst
QUERY = re.compile(r"\s*(select|with|values)\b", re.IGNORECASE)
STATEMENT = re.compile(r"\b(?:create\s+table|insert\s+into)\b(?:'[^']*'|[^';])*;?", re.IGNORECASE)
TABLE = re.compile(r"\btable:?\s+[\"`]?(\w+)[\"`]?\s*\(([^()]+)\)", re.IGNORECASE)
CONDITION = re.compile(
    r"[\"`\[]?(\w+)[\"`\]]?\s*(=|<=|>=|<|>|<>|!=|like)\s*('(?:[^']|'')*'|-?\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
READS = (
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
)


@dataclass(frozen=True)
class Fixture:
    script: str  # of CREATE TABLE and INSERT INTO statements


def same_result(prediction: str, reference: str, fixture: Fixture) -> float:
    """1 when both give the same multiset of rows (the same list where the reference orders them);
    text is compared without case.
    """
    with _database(fixture) as database:
        expected, actual = run_query(database, reference), run_query(database, prediction)
    if expected is None or actual is None:
        return 0.0
    if re.search(r"\border\s+by\b", reference, re.IGNORECASE):
        return float(expected == actual)
    return float(Counter(expected) == Counter(actual))


def run_query(database: sqlite3.Connection, query: str) -> list[tuple[Any, ...]] | None:
    """Its rows, or None when it is no single query, fails, or takes too long."""
    if not QUERY.match(query):
        return None
    checks = iter(range(MOST_CHECKS))
    database.set_progress_handler(lambda: next(checks, None) is None, STEPS_BETWEEN_CHECKS)
    try:
        rows = database.execute(query).fetchmany(MOST_ROWS)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError):
        return None
    return [tuple(_comparable(value) for value in row) for row in rows]


def _comparable(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip().lower()
    return float(value) if isinstance(value, int) else value


@contextmanager
def _database(fixture: Fixture) -> Iterator[sqlite3.Connection]:
    """Yield the fixture's tables, closed to writing. sqlite3.Error for a script that fails."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        for statement in _statements(fixture.script):
            database.execute(statement)
        database.commit()
        database.execute("PRAGMA query_only = ON")
        database.set_authorizer(_only_reads)
        yield database


def _only_reads(action: int, name: str | None, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in READS else sqlite3.SQLITE_DENY


def _statements(script: str) -> list[str]:
    return [match.group().rstrip(";") for match in STATEMENT.finditer(script)]


# --- where the tables come from -----------------------------------------------------------------


def find_fixture(given: Any, prompt: str, reference: str) -> Fixture | None:
    """Return the tables of one row: those given with it, those in its prompt, or made ones. None
    when no result of the reference on them distinguishes a right answer from a wrong one.
    """
    found = (_given(given), _in_prompt(prompt), _made(prompt, reference))
    return next((tables for tables in found if tables and _tells_apart(tables, reference)), None)


def names_tables(prompt: str) -> bool:
    """Say whether a row could have tables; nothing is executed."""
    return _in_prompt(prompt) is not None or len(TABLE.findall(prompt)) == 1


def _given(given: Any) -> Fixture | None:
    """Read a script, or an object with `ddl` and `rows`."""
    if isinstance(given, dict) and given.get("ddl"):
        ddl = str(given["ddl"])
        name = re.search(r"create\s+table\s+[\"`]?(\w+)", ddl, re.IGNORECASE)
        return Fixture(_script(ddl, name.group(1) if name else "data", given.get("rows") or []))
    return Fixture(given) if isinstance(given, str) and given.strip() else None


def _in_prompt(prompt: str) -> Fixture | None:
    statements = _statements(prompt)
    rows = any(statement.lower().startswith("insert") for statement in statements)
    return Fixture(";\n".join(statements)) if rows else None


def _made(prompt: str, reference: str) -> Fixture | None:
    """Rows for the one table that the prompt names: three that meet every condition of the
    reference, one for each condition that misses only that one, and two of other values.
    """
    table = TABLE.search(prompt)
    if table is None or len(TABLE.findall(prompt)) > 1:
        return None
    name, columns = table.group(1), [column.split() for column in table.group(2).split(",")]
    if not all(columns):
        return None
    conditions = {column.lower(): (op, value) for column, op, value in CONDITION.findall(reference)}
    missed: list[str | None] = [None, None, None, *conditions]
    rows = [_row(columns, conditions, miss, number) for number, miss in enumerate(missed)]
    rows += [_row(columns, {}, None, 20 + number) for number in range(2)]
    ddl = f'CREATE TABLE "{name}" ({", ".join(_column(column) for column in columns)})'
    return Fixture(_script(ddl, name, rows))


def _column(words: Sequence[str]) -> str:
    return f'"{words[0].strip(chr(34))}" {"NUMERIC" if _is_number(words) else "TEXT"}'


def _is_number(words: Sequence[str]) -> bool:
    return any(re.match(r"int|real|num|float|double|dec", w, re.IGNORECASE) for w in words[1:])


def _row(
    columns: Sequence[Sequence[str]],
    conditions: dict[str, tuple[str, str]],
    missed: str | None,
    number: int,
) -> list[Any]:
    row: list[Any] = []
    for place, words in enumerate(columns):
        name = words[0].strip('"`').lower()
        filler: Any = 1000 * (number + 1) + place if _is_number(words) else f"v{number}_{place}"
        choose = _value_missing if name == missed else _value_meeting
        row.append(choose(*conditions[name], filler) if name in conditions else filler)
    return row


def _value_missing(op: str, literal: str, filler: Any) -> Any:
    if literal.startswith("'"):
        return filler
    number = float(literal)
    return {"<": number + 1, "<=": number + 1, ">": number - 1, ">=": number - 1}.get(op, filler)


def _value_meeting(op: str, literal: str, filler: Any) -> Any:
    if literal.startswith("'"):
        value = literal[1:-1].replace("''", "'")
        if op.lower() == "like":
            return value.replace("%", "")
        return value if op in ("=", "<=", ">=") else filler
    number = float(literal)
    return {"<": number - 1, ">": number + 1, "<>": filler, "!=": filler}.get(op, number)


def _script(ddl: str, name: str, rows: Sequence[Sequence[Any]]) -> str:
    lines = [f'INSERT INTO "{name}" VALUES ({", ".join(map(_literal, row))})' for row in rows]
    return ";\n".join([ddl.rstrip(";"), *lines]) + ";"


def _literal(value: Any) -> str:
    if value is None or isinstance(value, int | float):
        return "NULL" if value is None else repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _tells_apart(fixture: Fixture, reference: str) -> bool:
    """Check that the reference has rows, and other rows without its conditions."""
    try:
        with _database(fixture) as database:
            expected = run_query(database, reference)
            bare = re.split(r"\bwhere\b", reference, maxsplit=1, flags=re.IGNORECASE)[0]
            return bool(expected) and (bare == reference or run_query(database, bare) != expected)
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return False
