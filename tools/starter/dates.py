"""Dates in another form, weekdays, days between and days ahead; computed by the calendar."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 320
SYSTEMS = ("", "Answer date questions briefly.", "Dates as YYYY-MM-DD, weekdays by name.")
FIRST, LAST = date(1985, 1, 1), date(2035, 12, 31)


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: rng.choice(KINDS)(rng), ROWS)


def any_day(rng: Random) -> date:
    return FIRST + timedelta(days=rng.randrange((LAST - FIRST).days))


def written(day: date, rng: Random) -> str:
    """One of the unambiguous forms that people use."""
    return rng.choice(
        (
            f"{day.day} {day:%B} {day.year}",
            f"{day:%B} {day.day}, {day.year}",
            f"the {ordinal(day.day)} of {day:%B} {day.year}",
            f"{day.day} {day:%b} {day.year}",
        )
    )


def ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 11 <= number <= 13 else ending}"


def to_iso(rng: Random) -> Row:
    day = any_day(rng)
    ask = rng.choice(
        (
            "Write {d} as YYYY-MM-DD.",
            "ISO date for {d}?",
            "{d} in the form year-month-day, please.",
            "Normalise this date: {d}",
            "How do I write {d} for a database?",
        )
    )
    return Row("date_to_iso", ask.format(d=written(day, rng)), str(day), rng.choice(SYSTEMS))


def from_iso(rng: Random) -> Row:
    day = any_day(rng)
    ask = rng.choice(
        ("Write {d} out in words with the month's name.", "Spell out {d}.", "{d} in long form?")
    )
    answer = f"{day.day} {day:%B} {day.year}"
    return Row("date_from_iso", ask.format(d=day), answer, rng.choice(SYSTEMS))


def weekday(rng: Random) -> Row:
    day = any_day(rng)
    ask = rng.choice(
        (
            "What day of the week is {d}?",
            "Which weekday was or is {d}?",
            "{d}: Monday, Tuesday or what?",
            "Does {d} fall on a weekend? Name the weekday.",
        )
    )
    return Row("weekday", ask.format(d=written(day, rng)), f"{day:%A}", rng.choice(SYSTEMS))


def ahead(rng: Random) -> Row:
    day, days = any_day(rng), rng.randint(2, 120)
    back = rng.random() < 0.4
    ask = rng.choice(
        ("Which date is {n} days before {d}?", "Go back {n} days from {d}.")
        if back
        else ("Which date is {n} days after {d}?", "{d} plus {n} days?", "Due {n} days from {d}:")
    )
    target = day - timedelta(days=days) if back else day + timedelta(days=days)
    said = ask.format(n=days, d=written(day, rng))
    return Row("date_shift", said[0].upper() + said[1:], str(target), rng.choice(SYSTEMS))


def between(rng: Random) -> Row:
    start = any_day(rng)
    end = start + timedelta(days=rng.randint(2, 200))
    ask = rng.choice(
        (
            "How many days are there from {a} to {b}?",
            "Days between {a} and {b}?",
            "I stay from {a} until {b}. How many nights is that?",
        )
    )
    said = ask.format(a=written(start, rng), b=written(end, rng))
    return Row("days_between", said, str((end - start).days), rng.choice(SYSTEMS))


def leap(rng: Random) -> Row:
    year = rng.randint(1896, 2104)
    is_leap = (date(year, 12, 31) - date(year, 1, 1)).days == 365
    ask = rng.choice(("Is {y} a leap year?", "Does {y} have a 29 February?"))
    return Row("leap_year", ask.format(y=year), "yes" if is_leap else "no", rng.choice(SYSTEMS))


KINDS: tuple[Callable[[Random], Row], ...] = (to_iso, from_iso, weekday, ahead, between, leap)
