"""Food orders by message, answered by one JSON object with items, time and place."""

import json
from collections.abc import Iterator
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 330
SYSTEMS = (
    "Extract the order as JSON with the keys items, time and address. Leave out what is not said.",
    "Return one JSON object: items (name, quantity), time, address. Only what the message says.",
    "",
)
PLURALS = {
    "margherita": "margheritas",
    "falafel wrap": "falafel wraps",
    "green salad": "green salads",
    "cola": "colas",
    "portion of fries": "portions of fries",
    "pad thai": "pad thais",
    "tomato soup": "tomato soups",
    "mango lassi": "mango lassis",
    "cheese roll": "cheese rolls",
    "iced tea": "iced teas",
    "veggie burger": "veggie burgers",
    "apple pie": "apple pies",
}
NUMBERS = {1: ("one", "a"), 2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4"), 6: ("six", "6")}
TIMES = ["7 pm", "noon", "18:30", "half past eight", "quarter to one", "9:15"]
STREETS = ["Mill Lane", "Harbour Road", "Station Street", "Elm Avenue", "King's Row", "Canal Side"]
OPENINGS = [
    "I'd like {items}",
    "Can we get {items}",
    "Please send {items}",
    "Hello, {items}",
    "We'll have {items}",
    "My order: {items}",
    "Could you make {items}",
    "Put me down for {items}",
]
TIME_WORDS = [" at {time}", " for {time}", ", ready by {time}", ", around {time} if possible"]
PLACE_WORDS = [" to {address}", ", deliver to {address}", ". The address is {address}"]
ENDINGS = [".", ", please.", ". Thank you!", ", that's all.", ""]


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: one_order(rng), ROWS)


def one_order(rng: Random) -> Row:
    names = rng.sample(sorted(PLURALS), rng.choice((1, 1, 2, 2, 3)))
    counts = [rng.choice(sorted(NUMBERS)) for _ in names]
    answer: dict[str, object] = {
        "items": [{"name": n, "quantity": q} for n, q in zip(names, counts, strict=True)]
    }
    said = [spoken(name, count, rng) for name, count in zip(names, counts, strict=True)]
    text = rng.choice(OPENINGS).format(items=listed(said))
    if rng.random() < 0.6:
        answer["time"] = rng.choice(TIMES)
        text += rng.choice(TIME_WORDS).format(time=answer["time"])
    if rng.random() < 0.5:
        answer["address"] = f"{rng.randint(2, 98)} {rng.choice(STREETS)}"
        text += rng.choice(PLACE_WORDS).format(address=answer["address"])
    text += rng.choice(ENDINGS)
    return Row("order", text, json.dumps(answer), rng.choice(SYSTEMS))


def spoken(name: str, count: int, rng: Random) -> str:
    word = rng.choice(NUMBERS[count])
    if word == "a" and name[0] in "aeiou":
        word = "an"
    return f"{word} {name if count == 1 else PLURALS[name]}"


def listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
