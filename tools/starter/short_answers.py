"""Questions of general knowledge with an answer of one or two words."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from random import Random

from tools.starter.grammar import Row

ROWS = 420
SYSTEMS = ("", "Answer in as few words as possible.", "Short answers only.")
CAPITALS = {
    "Norway": "Oslo",
    "Portugal": "Lisbon",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Japan": "Tokyo",
    "Canada": "Ottawa",
    "Australia": "Canberra",
    "Egypt": "Cairo",
    "Hungary": "Budapest",
    "Vietnam": "Hanoi",
    "Ghana": "Accra",
    "Chile": "Santiago",
    "Finland": "Helsinki",
    "Greece": "Athens",
    "Iceland": "Reykjavik",
    "Mongolia": "Ulaanbaatar",
    "Cuba": "Havana",
    "Nepal": "Kathmandu",
    "Morocco": "Rabat",
    "Ireland": "Dublin",
    "Uruguay": "Montevideo",
    "Thailand": "Bangkok",
    "Senegal": "Dakar",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Turkey": "Ankara",
    "Ethiopia": "Addis Ababa",
    "New Zealand": "Wellington",
    "Colombia": "Bogotá",
    "South Korea": "Seoul",
}
SYMBOLS = {
    "gold": "Au",
    "iron": "Fe",
    "oxygen": "O",
    "sodium": "Na",
    "helium": "He",
    "silver": "Ag",
    "carbon": "C",
    "lead": "Pb",
    "tin": "Sn",
    "potassium": "K",
    "mercury": "Hg",
    "zinc": "Zn",
    "copper": "Cu",
    "neon": "Ne",
    "calcium": "Ca",
    "tungsten": "W",
    "chlorine": "Cl",
    "nickel": "Ni",
}
LANGUAGES = {
    "Brazil": "Portuguese",
    "Austria": "German",
    "Mexico": "Spanish",
    "Iran": "Persian",
    "Egypt": "Arabic",
    "Japan": "Japanese",
    "Hungary": "Hungarian",
    "Greece": "Greek",
    "Argentina": "Spanish",
    "Denmark": "Danish",
    "Angola": "Portuguese",
    "Poland": "Polish",
}
YOUNG = {
    "cat": "kitten",
    "dog": "puppy",
    "cow": "calf",
    "horse": "foal",
    "sheep": "lamb",
    "goat": "kid",
    "kangaroo": "joey",
    "swan": "cygnet",
    "frog": "tadpole",
    "duck": "duckling",
    "lion": "cub",
    "deer": "fawn",
    "goose": "gosling",
    "pig": "piglet",
}
OPPOSITES = {
    "hot": "cold",
    "early": "late",
    "narrow": "wide",
    "generous": "mean",
    "shallow": "deep",
    "ancient": "modern",
    "noisy": "quiet",
    "rough": "smooth",
    "cheap": "expensive",
    "guilty": "innocent",
    "temporary": "permanent",
    "brave": "cowardly",
    "dry": "wet",
    "full": "empty",
}
TOOLS = {
    "measure temperature": "thermometer",
    "look at the stars": "telescope",
    "hammer in a nail": "hammer",
    "see tiny things": "microscope",
    "tell the time": "clock",
    "cut paper": "scissors",
    "find north": "compass",
    "tighten a screw": "screwdriver",
    "sew a button": "needle",
    "weigh flour": "scales",
}
SHAPES = {
    "three": "triangle",
    "four equal": "square",
    "five": "pentagon",
    "six": "hexagon",
    "eight": "octagon",
}
FACTS: tuple[tuple[str, Mapping[str, str], Sequence[str]], ...] = (
    (
        "capital",
        CAPITALS,
        (
            "What is the capital of {x}?",
            "Name {x}'s capital city.",
            "Which city is the seat of government of {x}?",
            "Capital of {x}",
            "I'm learning capitals. {x}?",
        ),
    ),
    (
        "chemical_symbol",
        SYMBOLS,
        (
            "What is the chemical symbol for {x}?",
            "How is {x} written in the periodic table?",
            "Symbol of the element {x}",
        ),
    ),
    (
        "language",
        LANGUAGES,
        (
            "Which language do most people in {x} speak?",
            "Main language of {x}?",
            "I'm moving to {x}. What language should I learn?",
        ),
    ),
    (
        "young_animal",
        YOUNG,
        (
            "What do you call a young {x}?",
            "A baby {x} is called a …?",
            "Name for the offspring of a {x}",
        ),
    ),
    (
        "opposite",
        OPPOSITES,
        (
            "What is the opposite of {x}?",
            "Give an antonym of '{x}'.",
            "Not {x} but …?",
        ),
    ),
    (
        "tool",
        TOOLS,
        (
            "What do I use to {x}?",
            "Name the thing made to {x}.",
            "Which tool helps me {x}?",
        ),
    ),
    (
        "shape",
        SHAPES,
        (
            "Which shape has {x} sides?",
            "A polygon with {x} sides is a …?",
        ),
    ),
)


def generate(rng: Random) -> Iterator[Row]:
    rows = [
        Row(task, way.format(x=key), answer, rng.choice(SYSTEMS))
        for task, facts, ways in FACTS
        for way, (key, answer) in product(ways, facts.items())
    ]
    yield from rng.sample(rows, min(ROWS, len(rows)))
