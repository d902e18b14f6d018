"""Sentences said another way: politer, shorter, in the passive, as a question, in the past."""

from collections.abc import Callable, Iterator
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 340
# The same wish, as one blurts it out and as one writes it to a customer.
WISHES = [
    ("Send me {x}.", "Could you please send me {x}?"),
    ("I need {x} now.", "I would be grateful if I could have {x} as soon as possible."),
    ("Where is {x}?", "Could you let me know where {x} is, please?"),
    ("You forgot {x}.", "It seems that {x} may have been overlooked."),
    ("Fix {x}.", "Would you mind looking into {x} when you have a moment?"),
    ("{x} again? Seriously?", "I noticed that {x} has come up once more. Could we discuss it?"),
    ("Don't touch {x}.", "Please leave {x} as it is for now."),
    ("I can't do {x}.", "Unfortunately, I am not able to take care of {x} at the moment."),
    ("Tell me about {x}.", "I would appreciate some information about {x}."),
    ("Hurry up with {x}.", "May I ask when we can expect {x}?"),
    ("{x} is wrong.", "I believe there may be a mistake in {x}."),
    ("Stop asking for {x}.", "I will come back to you as soon as {x} is available."),
]
OBJECTS = [
    "the invoice",
    "the contract",
    "the test results",
    "the floor plan",
    "the guest list",
    "the warranty",
    "the draft",
    "the delivery note",
    "the price list",
    "the schedule",
]
# subject, verb in the past, its participle, object, is the object plural
DEEDS = [
    ("The committee", "approved", "approved", "the new playground", False),
    ("A neighbour", "found", "found", "the missing keys", True),
    ("Two students", "painted", "painted", "the entrance hall", False),
    ("The storm", "damaged", "damaged", "several boats", True),
    ("Our chef", "invented", "invented", "this dessert", False),
    ("The museum", "bought", "bought", "three sculptures", True),
    ("An engineer", "repaired", "repaired", "the old clock", False),
    ("The mayor", "opened", "opened", "the bicycle bridge", False),
    ("Thieves", "stole", "stolen", "the copper pipes", True),
    ("My grandfather", "built", "built", "this cupboard", False),
    ("The editor", "rewrote", "rewritten", "both chapters", True),
    ("The coach", "chose", "chosen", "the youngest player", False),
    ("A local choir", "sang", "sung", "the anthem", False),
    ("The jury", "rejected", "rejected", "all proposals", True),
    ("The wind", "blew away", "blown away", "the tents", True),
]
TIMES = ["yesterday", "last week", "in 2019", "on Tuesday", "this morning", "two days ago"]
# A long-winded start, and what it comes to.
WORDY = [
    ("Due to the fact that {a}, {b}.", "Because {a}, {b}."),
    ("In the event that {a}, {b}.", "If {a}, {b}."),
    ("In spite of the fact that {a}, {b}.", "Although {a}, {b}."),
    ("At the point in time when {a}, {b}.", "When {a}, {b}."),
    ("For the reason that {a}, {b}.", "Because {a}, {b}."),
    ("Until such time as {a}, {b}.", "Until {a}, {b}."),
]
CAUSES = [
    "the lift is out of order",
    "it rains",
    "the bus is late",
    "nobody answers the phone",
    "the shop is closed",
    "the oven is hot",
    "the signal is weak",
]
EFFECTS = [
    "we take the stairs",
    "the match is moved indoors",
    "we wait in the café",
    "customers write e-mails",
    "Karim orders online",
    "keep the children away",
    "the call is cut off",
]
# person, base form, past form, rest
HABITS = [
    ("Nadia", "walks", "walked", "to work"),
    ("The twins", "sing", "sang", "in the shower"),
    ("My uncle", "grows", "grew", "tomatoes on the roof"),
    ("The bakery", "opens", "opened", "at six"),
    ("We", "drink", "drank", "tea after lunch"),
    ("The cat", "sleeps", "slept", "on the radiator"),
    ("Leo", "writes", "wrote", "letters by hand"),
    ("They", "go", "went", "to the market"),
    ("The river", "freezes", "froze", "near the mill"),
    ("Our teacher", "brings", "brought", "a guitar"),
    ("She", "teaches", "taught", "chess to beginners"),
    ("The band", "begins", "began", "with a slow song"),
]


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: rng.choice(KINDS)(rng), ROWS)


def framed(asks: tuple[str, ...], text: str, rng: Random) -> str:
    return rng.choice(asks).format(text=text)


def polite(rng: Random) -> Row:
    blunt, kind = rng.choice(WISHES)
    thing = rng.choice(OBJECTS)
    asks = ("Make this polite: {text}", "Rewrite for a customer: {text}", "More formal: {text}")
    return Row("polite", framed(asks, said(blunt, thing), rng), said(kind, thing))


def passive(rng: Random) -> Row:
    subject, verb, participle, thing, plural = rng.choice(DEEDS)
    when = rng.choice(TIMES)
    doer = subject[0].lower() + subject[1:]
    active = f"{subject} {verb} {thing} {when}."
    answer = f"{thing} {'were' if plural else 'was'} {participle} by {doer} {when}."
    asks = ("Put into the passive: {text}", "Passive voice, please: {text}", "{text} -> passive")
    return Row("passive", framed(asks, active, rng), answer[0].upper() + answer[1:])


def concise(rng: Random) -> Row:
    wordy, short = rng.choice(WORDY)
    cause, effect = rng.choice(CAUSES), rng.choice(EFFECTS)
    asks = ("Shorten: {text}", "Say this in fewer words: {text}", "Make it concise. {text}")
    question = framed(asks, wordy.format(a=cause, b=effect), rng)
    return Row("concise", question, short.format(a=cause, b=effect))


def past(rng: Random) -> Row:
    who, now, then, rest = rng.choice(HABITS)
    tail = rng.choice(("", " every day", " with friends", " in winter", " on Sundays"))
    asks = ("Past tense: {text}", "Write this in the simple past: {text}", "{text} (yesterday)")
    question = framed(asks, f"{who} {now} {rest}{tail}.", rng)
    return Row("past_tense", question, f"{who} {then} {rest}{tail}.")


def said(pattern: str, thing: str) -> str:
    text = pattern.format(x=thing)
    return text[0].upper() + text[1:]


KINDS: tuple[Callable[[Random], Row], ...] = (polite, passive, concise, past)
