"""Short e-mails and the subject line that sums them up."""

from collections.abc import Iterator
from random import Random

from tools.starter.grammar import Row, distinct_rows

ROWS = 260
SYSTEMS = (
    "Write the subject line for this e-mail.",
    "Sum up the message in one line of at most eight words.",
    "",
)
# (message, subject): {slots} are filled the same way in both.
MESSAGES = [
    (
        "the {thing} you ordered for {who} has reached us. You can pick it up at the {place} "
        "until {day}.",
        "{Thing} ready for pick-up until {day}",
    ),
    (
        "I'm sorry, but I can't come to the {event} on {day}. Could we find another date? "
        "{Who} is away as well.",
        "Request to move the {event} on {day}",
    ),
    (
        "please note that the {place} stays closed on {day}. The {event} will be held elsewhere; "
        "{who} will tell you where.",
        "{Place} closed on {day}",
    ),
    (
        "could you tell me what a {thing} costs and whether {who} could have it by {day}? "
        "We'd collect it from the {place}.",
        "Price and delivery of a {thing}",
    ),
    (
        "thank you for your help with the {event}. Without you {who} would still be carrying "
        "chairs to the {place}.",
        "Thanks for helping with the {event}",
    ),
    (
        "this is to remind you that the {thing} which {who} borrowed is due back at the {place} "
        "on {day}.",
        "Reminder: {thing} due back on {day}",
    ),
    (
        "the {thing} in the {place} is broken again. {Who} noticed it on {day}. Can somebody look "
        "at it before the {event}?",
        "Broken {thing} in the {place}",
    ),
    (
        "we are looking for two people to help at the {event} on {day}. If you have time, "
        "write to {who}.",
        "Helpers wanted for the {event} on {day}",
    ),
    (
        "good news: the {event} will take place after all! Meet us at the {place} on {day}; {who} "
        "brings the {thing}.",
        "{Event} takes place on {day}",
    ),
    (
        "I left my {thing} in the {place} on {day}. Has anyone handed it in? {Who} may have seen "
        "it last.",
        "Lost {thing} in the {place}",
    ),
]
SLOTS = {
    "thing": ["projector", "sewing machine", "bicycle pump", "tent", "coffee urn", "drill"],
    "who": ["Mrs Lindqvist", "the caretaker", "Omar", "our trainee", "the Bianchi family"],
    "place": ["parish hall", "workshop", "garage", "front desk", "clubhouse"],
    "event": ["summer party", "first-aid course", "choir rehearsal", "flea market", "quiz night"],
    "day": ["Monday", "14 June", "Saturday", "the last day of term", "9 November"],
}
GREETINGS = ["Dear all,", "Hello,", "Dear neighbours,", "Hi everyone,", "Good afternoon,"]
CLOSINGS = ["Best wishes", "Kind regards", "See you soon", "Many thanks", "Yours"]


def generate(rng: Random) -> Iterator[Row]:
    yield from distinct_rows(lambda: one_message(rng), ROWS)


def one_message(rng: Random) -> Row:
    facts = {slot: rng.choice(words) for slot, words in SLOTS.items()}
    facts |= {slot.capitalize(): word[0].upper() + word[1:] for slot, word in facts.items()}
    body, subject = (text.format(**facts) for text in rng.choice(MESSAGES))
    text = f"{rng.choice(GREETINGS)}\n{body}\n{rng.choice(CLOSINGS)}"
    return Row("subject_line", text, subject, rng.choice(SYSTEMS))
