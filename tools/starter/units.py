"""Conversions between units, computed from exact factors."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 300
SYSTEMS = ("", "Convert the unit. Answer with number and unit only.")
# (unit, its singular, short sign, size in the base unit of its kind)
UNITS = {
    "length": [
        ("kilometres", "kilometre", "km", "1000"),
        ("metres", "metre", "m", "1"),
        ("centimetres", "centimetre", "cm", "0.01"),
        ("millimetres", "millimetre", "mm", "0.001"),
        ("inches", "inch", "in", "0.0254"),
        ("feet", "foot", "ft", "0.3048"),
    ],
    "mass": [
        ("tonnes", "tonne", "t", "1000"),
        ("kilograms", "kilogram", "kg", "1"),
        ("grams", "gram", "g", "0.001"),
        ("milligrams", "milligram", "mg", "0.000001"),
    ],
    "volume": [
        ("litres", "litre", "L", "1"),
        ("millilitres", "millilitre", "ml", "0.001"),
        ("cubic metres", "cubic metre", "m³", "1000"),
        ("centilitres", "centilitre", "cl", "0.01"),
    ],
    "time": [
        ("days", "day", "d", "86400"),
        ("hours", "hour", "h", "3600"),
        ("minutes", "minute", "min", "60"),
        ("seconds", "second", "s", "1"),
        ("weeks", "week", "wk", "604800"),
    ],
    "data": [
        ("gigabytes", "gigabyte", "GB", "1000000000"),
        ("megabytes", "megabyte", "MB", "1000000"),
        ("kilobytes", "kilobyte", "kB", "1000"),
        ("bytes", "byte", "B", "1"),
    ],
}
QUESTIONS = [
    "How many {to} are {x} {from_}?",
    "Convert {x} {from_} to {to}.",
    "{x} {from_sign} in {to_sign}?",
    "What is {x} {from_} in {to}?",
    "Express {x} {from_sign} in {to}.",
    "I have {x} {from_}. How much is that in {to}?",
    "The label says {x} {from_sign}, I need {to}.",
]
TEMPERATURES = [
    "What is {x} degrees {a} in {b}?",
    "Convert {x}° {a} to {b}.",
    "It's {x} degrees {a} outside. And in {b}?",
]
PLACES = 6
AMOUNTS = ["0.5", "0.75", "1.2", "2.5", "3.6", "4", "7", "8", "12", "15", "24", "36", "48", "60"]
AMOUNTS += ["72", "90", "100", "125", "150", "250", "300", "480", "500", "640", "750", "1500"]


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: one_conversion(rng), ROWS)


def one_conversion(rng: Random) -> Row:
    if rng.random() < 0.15:
        return temperature(rng)
    while True:
        source, target = rng.sample(UNITS[rng.choice(sorted(UNITS))], 2)
        amount = Decimal(rng.choice(AMOUNTS))
        value = amount * Decimal(source[3]) / Decimal(target[3])
        if is_readable(value):
            break
    said = rng.choice(QUESTIONS).format(
        x=amount, from_=source[0], to=target[0], from_sign=source[2], to_sign=target[2]
    )
    unit = target[1] if value == 1 else target[0]
    return Row("unit_conversion", said, f"{plain(value)} {unit}", rng.choice(SYSTEMS))


def is_readable(value: Decimal) -> bool:
    """Exact within a few places, and of a size that a person would ask for."""
    return value == round(value, PLACES) and Decimal("0.001") <= value < 10**7


def plain(value: Decimal) -> str:
    """No exponent and no trailing zeros: 1500, 0.25."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def temperature(rng: Random) -> Row:
    """Celsius in steps of five, so that Fahrenheit is whole too."""
    celsius = rng.randrange(-40, 205, 5)
    fahrenheit = celsius * 9 // 5 + 32
    scales = [("Celsius", celsius), ("Fahrenheit", fahrenheit)]
    rng.shuffle(scales)
    (a, x), (b, y) = scales
    said = rng.choice(TEMPERATURES).format(x=x, a=a, b=b)
    return Row("temperature", said, f"{y} degrees {b}", rng.choice(SYSTEMS))
