"""Small work on lists of words: sorting, counting, picking, turning round; computed."""

from collections.abc import Callable, Iterator
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 300
GROUPS = {
    "fruit": ["apple", "plum", "fig", "mango", "cherry", "quince", "lime", "grape"],
    "animal": ["otter", "crow", "badger", "seal", "lynx", "heron", "mole", "toad"],
    "colour": ["teal", "amber", "violet", "crimson", "beige", "indigo", "olive"],
    "vehicle": ["tram", "bicycle", "ferry", "lorry", "scooter", "glider", "canoe"],
    "instrument": ["cello", "flute", "banjo", "oboe", "drum", "harp", "trumpet"],
}


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: rng.choice(KINDS)(rng), ROWS)


def some_words(rng: Random, least: int = 3, most: int = 6) -> list[str]:
    everything = sorted(word for words in GROUPS.values() for word in words)
    return rng.sample(everything, rng.randint(least, most))


def asked(asks: tuple[str, ...], words: list[str], rng: Random) -> str:
    return rng.choice(asks).format(words=", ".join(words), n=len(words))


def in_order(rng: Random) -> Row:
    words = some_words(rng)
    asks = ("Sort alphabetically: {words}", "Put in ABC order: {words}", "{words}. A to Z, please.")
    return Row("sort", asked(asks, words, rng), ", ".join(sorted(words)))


def reversed_list(rng: Random) -> Row:
    words = some_words(rng)
    asks = ("Reverse this list: {words}", "{words}: the other way round", "Last to first: {words}")
    return Row("reverse", asked(asks, words, rng), ", ".join(reversed(words)))


def counted(rng: Random) -> Row:
    words = some_words(rng, 3, 9)
    asks = ("How many words are in this list? {words}", "Count the items: {words}")
    return Row("count", asked(asks, words, rng), str(len(words)))


def longest(rng: Random) -> Row:
    words = some_words(rng)
    while len([w for w in words if len(w) == max(map(len, words))]) > 1:
        words = some_words(rng)
    asks = ("Which word is the longest: {words}?", "{words}: name the longest one.")
    return Row("longest", asked(asks, words, rng), max(words, key=len))


def odd_one_out(rng: Random) -> Row:
    group, other = rng.sample(sorted(GROUPS), 2)
    stranger = rng.choice(GROUPS[other])
    words = [*rng.sample(GROUPS[group], 3), stranger]
    rng.shuffle(words)
    asks = ("Which word does not belong: {words}?", "Odd one out? {words}")
    return Row("odd_one_out", asked(asks, words, rng), stranger)


def only_group(rng: Random) -> Row:
    group, other = rng.sample(sorted(GROUPS), 2)
    wanted = rng.sample(GROUPS[group], rng.randint(2, 3))
    words = [*wanted, *rng.sample(GROUPS[other], 2)]
    rng.shuffle(words)
    ask = rng.choice((f"Keep only each {group}: ", f"From this list, give every {group}: "))
    kept = [word for word in words if word in wanted]
    return Row("filter", ask + ", ".join(words), ", ".join(kept))


def capitals(rng: Random) -> Row:
    words = some_words(rng, 2, 5)
    asks = ("In capital letters: {words}", "Write in upper case: {words}")
    return Row("upper_case", asked(asks, words, rng), ", ".join(words).upper())


def initials(rng: Random) -> Row:
    words = some_words(rng, 3, 5)
    asks = ("Give the first letter of each word: {words}", "First letters of {words}?")
    return Row("first_letters", asked(asks, words, rng), ", ".join(word[0] for word in words))


KINDS: tuple[Callable[[Random], Row], ...] = (
    in_order,
    reversed_list,
    counted,
    longest,
    odd_one_out,
    only_group,
    capitals,
    initials,
)
