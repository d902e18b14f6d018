"""Questions about one table, answered by a SQL query that runs on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 480
SYSTEMS = (
    "Answer with one SQL query and nothing else.",
    "You write SQLite. Return a single query, no explanation.",
    "",
)


@dataclass(frozen=True)
class Table:
    """`things` are its rows in words; a text column has values, a number column a range."""

    name: str
    things: str
    label: str  # the column that names a row
    texts: dict[str, list[str]]
    numbers: dict[str, tuple[int, int]]

    @property
    def schema(self) -> str:
        texts = [f"{column} TEXT" for column in (self.label, *self.texts)]
        return f"{self.name}({', '.join(texts + [f'{c} INTEGER' for c in self.numbers])})"


TABLES = [
    Table(
        "employees",
        "employees",
        "name",
        {"department": ["Sales", "Legal", "IT", "Finance"], "city": ["Porto", "Graz", "Turku"]},
        {"salary": (30000, 95000), "years_employed": (1, 30)},
    ),
    Table(
        "books",
        "books",
        "title",
        {"author": ["M. Adeyemi", "L. Castro", "P. Novak"], "genre": ["crime", "poetry", "travel"]},
        {"pages": (80, 900), "published": (1950, 2024)},
    ),
    Table(
        "flights",
        "flights",
        "flight_number",
        {"origin": ["Rome", "Dakar", "Osaka"], "destination": ["Lima", "Berlin", "Perth"]},
        {"duration_minutes": (45, 900), "seats": (50, 400)},
    ),
    Table(
        "plants",
        "plants",
        "species",
        {"light": ["shade", "full sun", "half shade"], "soil": ["clay", "sand", "loam"]},
        {"height_cm": (5, 400), "price": (3, 120)},
    ),
    Table(
        "patients",
        "patients",
        "patient",
        {"ward": ["A1", "B2", "C3"], "blood_type": ["O", "A", "AB"]},
        {"age": (1, 95), "nights": (1, 40)},
    ),
    Table(
        "invoices",
        "invoices",
        "customer",
        {"status": ["paid", "open", "overdue"], "currency": ["EUR", "USD", "CHF"]},
        {"amount": (20, 9000), "days_open": (0, 120)},
    ),
    Table(
        "songs",
        "songs",
        "title",
        {"artist": ["Velvet Owl", "Tin Harbour", "Ana Reis"], "style": ["folk", "soul", "techno"]},
        {"seconds": (90, 600), "plays": (10, 90000)},
    ),
    Table(
        "houses",
        "houses",
        "address",
        {"town": ["Ashford", "Kilmore", "Wexley"], "heating": ["gas", "wood", "heat pump"]},
        {"bedrooms": (1, 7), "built": (1890, 2022)},
    ),
    Table(
        "matches",
        "matches",
        "opponent",
        {"venue": ["home", "away"], "result": ["win", "draw", "loss"]},
        {"goals": (0, 7), "attendance": (300, 40000)},
    ),
    Table(
        "recipes",
        "recipes",
        "dish",
        {"cuisine": ["Thai", "Greek", "Mexican"], "diet": ["vegan", "vegetarian", "none"]},
        {"minutes": (5, 180), "calories": (90, 1200)},
    ),
]
# {t} table, {T} rows in words, {k} label column, {c} and {d} text columns with values {v} and {w},
# {n} a number column with value {x}, {m} the other one. Questions read column names as words.
PATTERNS = [
    ("How many {T} are there?", "SELECT COUNT(*) FROM {t}"),
    ("How many {T} have {c} '{v}'?", "SELECT COUNT(*) FROM {t} WHERE {c} = '{v}'"),
    ("List the {k} of all {T} whose {c} is {v}.", "SELECT {k} FROM {t} WHERE {c} = '{v}'"),
    ("Which {T} have {n} above {x}? Give the {k}.", "SELECT {k} FROM {t} WHERE {n} > {x}"),
    ("Show {k} and {n} where {n} is at most {x}.", "SELECT {k}, {n} FROM {t} WHERE {n} <= {x}"),
    ("What is the highest value of {n}?", "SELECT MAX({n}) FROM {t}"),
    ("What's the lowest {n} among {T} with {c} {v}?", "SELECT MIN({n}) FROM {t} WHERE {c} = '{v}'"),
    ("Average {n} per {c}?", "SELECT {c}, AVG({n}) FROM {t} GROUP BY {c}"),
    ("What is the mean {n} of {T} with {c} {v}?", "SELECT AVG({n}) FROM {t} WHERE {c} = '{v}'"),
    ("Sum up {n} over all {T}.", "SELECT SUM({n}) FROM {t}"),
    ("Total {n} where {c} is {v}", "SELECT SUM({n}) FROM {t} WHERE {c} = '{v}'"),
    ("Which different values of {c} occur?", "SELECT DISTINCT {c} FROM {t}"),
    ("Top {i} {T} by {n}", "SELECT {k} FROM {t} ORDER BY {n} DESC LIMIT {i}"),
    ("Name the {k} with the smallest {n}.", "SELECT {k} FROM {t} ORDER BY {n} ASC LIMIT 1"),
    ("Count the {T} for every {c}.", "SELECT {c}, COUNT(*) FROM {t} GROUP BY {c}"),
    (
        "{T} with {c} {v} and {d} {w}: what are their {k}s?",
        "SELECT {k} FROM {t} WHERE {c} = '{v}' AND {d} = '{w}'",
    ),
    (
        "Give me the {k} where {c} is {v} or {n} is under {x}.",
        "SELECT {k} FROM {t} WHERE {c} = '{v}' OR {n} < {x}",
    ),
    (
        "How many {T} with {c} {v} have a {n} of {x} or more?",
        "SELECT COUNT(*) FROM {t} WHERE {c} = '{v}' AND {n} >= {x}",
    ),
    (
        "I need {k}, {c} and {n}, sorted by {n} from small to large.",
        "SELECT {k}, {c}, {n} FROM {t} ORDER BY {n} ASC",
    ),
    (
        "Which {c} has the most {T}?",
        "SELECT {c} FROM {t} GROUP BY {c} ORDER BY COUNT(*) DESC LIMIT 1",
    ),
    (
        "For which {c} is the average {n} over {x}?",
        "SELECT {c} FROM {t} GROUP BY {c} HAVING AVG({n}) > {x}",
    ),
    (
        "{T} that do not have {c} {v}, {k} only please",
        "SELECT {k} FROM {t} WHERE {c} <> '{v}'",
    ),
    (
        "Find the {k} of {T} whose {n} is above the average.",
        "SELECT {k} FROM {t} WHERE {n} > (SELECT AVG({n}) FROM {t})",
    ),
    (
        "What is the {m} of the {T} with {n} exactly {x}?",
        "SELECT {m} FROM {t} WHERE {n} = {x}",
    ),
    (
        "Any {T} whose {k} starts with {letter}?",
        "SELECT {k} FROM {t} WHERE {k} LIKE '{letter}%'",
    ),
]


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: one_question(rng), ROWS)


def one_question(rng: Random) -> Row:
    table, (question, query) = rng.choice(TABLES), rng.choice(PATTERNS)
    column, other = rng.sample(sorted(table.texts), 2)
    number, another = rng.sample(sorted(table.numbers), 2)
    facts = {
        "t": table.name,
        "k": table.label,
        "c": column,
        "d": other,
        "n": number,
        "m": another,
        "v": rng.choice(table.texts[column]),
        "w": rng.choice(table.texts[other]),
        "x": rng.randint(*table.numbers[number]),
        "i": rng.choice((3, 5, 10)),
        "letter": rng.choice("ABCLMPST"),
    }
    words = {k: v.replace("_", " ") if isinstance(v, str) else v for k, v in facts.items()}
    said = question.format(**words, T=table.things)
    return Row(
        "text_to_sql",
        f"Table: {table.schema}\nQuestion: {said[0].upper() + said[1:]}",
        query.format(**facts),
        rng.choice(SYSTEMS),
    )
