"""Sums and word problems with small numbers; every answer is computed."""

from collections.abc import Callable, Iterator
from random import Random

from tools.starter.grammar import Row, distinct_rows

SUMS, STORIES = 180, 260
SUM_SYSTEMS = ("", "Calculate. Answer with the number only.")
STORY_SYSTEMS = (
    "",
    "Solve step by step. End with #### and the number.",
    "Show the working, then '#### ' and the result.",
)
SUM_WORDS = [
    "What is {sum}?",
    "{sum} = ?",
    "Compute {sum}.",
    "How much is {sum}?",
    "Work out {sum} for me.",
    "Please calculate {sum}",
]
NAMES = ["Ola", "Wei", "Sam", "Noor", "Petra", "Luca", "Amara", "Finn", "Rosa", "Idris"]
THINGS = ["stickers", "pears", "tickets", "candles", "postcards", "seeds", "marbles", "badges"]


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: one_sum(rng), SUMS)
    yield from distinct_rows(lambda: one_story(rng), STORIES)


def one_sum(rng: Random) -> Row:
    text, value = rng.choice((plus, minus, times, divided, percent, bracketed))(rng)
    said = rng.choice(SUM_WORDS).format(sum=text)
    return Row("arithmetic", said, str(value), rng.choice(SUM_SYSTEMS))


Sum = tuple[str, int]


def plus(rng: Random) -> Sum:
    numbers = [rng.randint(2, 999) for _ in range(rng.choice((2, 2, 3)))]
    return rng.choice((" + ", " plus ")).join(map(str, numbers)), sum(numbers)


def minus(rng: Random) -> Sum:
    small, large = sorted(rng.sample(range(1, 1000), 2))
    return f"{large} {rng.choice(('-', 'minus'))} {small}", large - small


def times(rng: Random) -> Sum:
    a, b = rng.randint(2, 99), rng.randint(2, 25)
    return f"{a} {rng.choice(('*', 'x', 'times'))} {b}", a * b


def divided(rng: Random) -> Sum:
    divisor, value = rng.randint(2, 25), rng.randint(2, 60)
    return f"{divisor * value} {rng.choice(('/', 'divided by'))} {divisor}", value


def percent(rng: Random) -> Sum:
    share, hundreds = rng.choice((5, 10, 15, 20, 25, 40, 75)), rng.randint(1, 40)
    return f"{share}% of {hundreds * 100}", share * hundreds


def bracketed(rng: Random) -> Sum:
    a, b, c = rng.randint(2, 30), rng.randint(2, 30), rng.randint(2, 12)
    return f"({a} + {b}) * {c}", (a + b) * c


Story = tuple[str, str, int]  # question, working, result


def one_story(rng: Random) -> Row:
    question, working, result = rng.choice(STORY_KINDS)(rng)
    return Row("word_problem", question, f"{working}\n#### {result}", rng.choice(STORY_SYSTEMS))


def shopping(rng: Random) -> Story:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    count, price, paid = rng.randint(2, 12), rng.randint(2, 9), rng.choice((20, 50, 100, 200))
    cost = count * price
    paid = paid if paid >= cost else 200
    question = f"{name} buys {count} {thing} for {price} euros each and pays with {paid} euros. "
    working = f"{count} * {price} = {cost} euros.\n{paid} - {cost} = {paid - cost} euros of change."
    return question + "How much change is due?", working, paid - cost


def sharing(rng: Random) -> Story:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    friends, each, kept = rng.randint(2, 9), rng.randint(2, 15), rng.randint(0, 9)
    total = friends * each + kept
    question = (
        f"{name} has {total} {thing}, keeps {kept} and shares the rest equally among "
        f"{friends} friends. How many does each friend get?"
    )
    shared = total - kept
    return question, f"{total} - {kept} = {shared}.\n{shared} / {friends} = {each}.", each


def journey(rng: Random) -> Story:
    speed, hours, more = rng.choice((40, 60, 80, 90)), rng.randint(2, 6), rng.randint(5, 60)
    question = rng.choice(
        (
            f"A train runs {hours} hours at {speed} km/h and then another {more} km. "
            "How many kilometres is that in all?",
            f"At {speed} km/h for {hours} hours, plus a detour of {more} km: what distance was it?",
        )
    )
    way = speed * hours
    return question, f"{speed} * {hours} = {way} km.\n{way} + {more} = {way + more} km.", way + more


def savings(rng: Random) -> Story:
    name, start = rng.choice(NAMES), rng.randint(10, 80)
    weekly, weeks, spent = rng.randint(3, 20), rng.randint(3, 12), rng.randint(1, 30)
    saved = weekly * weeks
    question = (
        f"{name} has {start} dollars, puts aside {weekly} dollars a week for {weeks} weeks and "
        f"then spends {spent} dollars. What is left?"
    )
    left = start + saved - spent
    working = f"{weekly} * {weeks} = {saved}.\n{start} + {saved} = {start + saved}.\n"
    return question, f"{working}{start + saved} - {spent} = {left}.", left


def compared(rng: Random) -> Story:
    (one, other), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    few, factor = rng.randint(3, 25), rng.choice((2, 3, 4))
    word = {2: "twice", 3: "three times", 4: "four times"}[factor]
    many = few * factor
    question = (
        f"{one} has {few} {thing}. {other} has {word} as many. How many {thing} do they have "
        "together?"
    )
    return question, f"{few} * {factor} = {many}.\n{few} + {many} = {few + many}.", few + many


def boxes(rng: Random) -> Story:
    thing, per_box, count = rng.choice(THINGS), rng.randint(4, 24), rng.randint(3, 15)
    lost = rng.randint(1, per_box - 1)
    question = rng.choice(
        (
            f"{count} boxes hold {per_box} {thing} each, but {lost} are broken. How many are fine?",
            f"There are {per_box} {thing} in a box. Of {count} boxes, {lost} {thing} got lost. "
            "How many remain?",
        )
    )
    total = per_box * count
    return (
        question,
        f"{count} * {per_box} = {total}.\n{total} - {lost} = {total - lost}.",
        (total - lost),
    )


def rectangle(rng: Random) -> Story:
    length, width = rng.randint(5, 40), rng.randint(2, 30)
    place = rng.choice(("garden", "field", "car park", "playground", "courtyard"))
    question = f"A {place} is {length} m long and {width} m wide. How long is a fence around it?"
    half = length + width
    return question, f"{length} + {width} = {half} m.\n2 * {half} = {2 * half} m.", 2 * half


def wages(rng: Random) -> Story:
    name, hours, pay = rng.choice(NAMES), rng.randint(4, 40), rng.randint(11, 28)
    bonus = rng.choice((15, 25, 40, 60))
    question = (
        f"{name} worked {hours} hours for {pay} pounds an hour and got a bonus of {bonus} pounds. "
        "What did the job bring in?"
    )
    base = hours * pay
    return question, f"{hours} * {pay} = {base}.\n{base} + {bonus} = {base + bonus}.", base + bonus


STORY_KINDS: tuple[Callable[[Random], Story], ...] = (
    shopping,
    sharing,
    journey,
    savings,
    compared,
    boxes,
    rectangle,
    wages,
)
