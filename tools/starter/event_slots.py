"""Messages about appointments, answered by one JSON object."""

import json
from collections.abc import Iterator
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 330
SYSTEMS = (
    "Extract title, day, time, place and people as JSON. Leave out keys that are not mentioned.",
    "Calendar parser. Answer with one JSON object only.",
    "",
)
TITLES = [
    "budget review",
    "dentist",
    "parents' evening",
    "sprint planning",
    "piano lesson",
    "flat viewing",
    "team lunch",
    "job interview",
    "car inspection",
    "book club",
]
DAYS = ["Monday", "Thursday", "12 May", "next Friday", "tomorrow", "the 3rd", "Sunday", "30 August"]
TIMES = ["9:00", "14:30", "5 pm", "noon", "8 in the morning", "19:45"]
PLACES = ["room 12", "Café Luna", "the town hall", "Maple Street 4", "the gym", "the library"]
PEOPLE = ["Ines", "Mr Okafor", "Jun", "Dr Patel", "Sofia", "Ben", "Grandma", "Ulrich"]
# Each says another set of facts in another order; a fact that is not said is not in the answer.
PATTERNS = [
    "{title} on {day} at {time}",
    "Don't forget: {title}, {day}, {time}, {place}.",
    "Could you put {title} with {people} in the calendar for {day}?",
    "We moved {title} to {day} at {time}, still in {place}.",
    "{people} can make it to {title} on {day}.",
    "Meet {people} at {place}, {time}.",
    "At {time} there's {title}. {people} will be there too.",
    "New entry: {title} / {place} / {day}",
    "I have {title} at {place} on {day}, it starts at {time}.",
    "Is {day} at {time} fine for {title} with {people}?",
    "Please book {place} for {title}, {day} from {time}.",
    "{day}: {title} with {people}, {place}, {time} sharp.",
    "Reminder that {title} takes place on {day}.",
    "See you and {people} at {place} on {day}!",
    "{title} got cancelled, but {people} suggest {day} at {time} instead.",
    "Let's do {title} over at {place}, say {time}?",
]
KEYS = ("title", "day", "time", "place", "people")


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: one_event(rng), ROWS)


def one_event(rng: Random) -> Row:
    people = rng.sample(PEOPLE, rng.choice((1, 1, 2)))
    facts = {
        "title": rng.choice(TITLES),
        "day": rng.choice(DAYS),
        "time": rng.choice(TIMES),
        "place": rng.choice(PLACES),
    }
    pattern = rng.choice(PATTERNS)
    text = pattern.format(**facts, people=" and ".join(people))
    values: dict[str, object] = facts | {"people": people}
    answer = {key: values[key] for key in KEYS if f"{{{key}}}" in pattern}
    return Row("event", text[0].upper() + text[1:], json.dumps(answer), rng.choice(SYSTEMS))
