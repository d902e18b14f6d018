"""Questions of employees to the people department, answered by their topic."""

from collections.abc import Iterator
from random import Random

from tools.starter.grammar import Row, labelled

PER_LABEL = 26
SYSTEMS = ("", "Name the HR topic of the question.", "Topic label only.")
SLOTS = {
    "month": ["March", "July", "October", "December", "May"],
    "kin": ["my daughter", "my father", "our baby", "my wife", "my twins"],
    "span": ["two weeks", "a month", "three days", "half a year"],
    "trip": ["Milan", "the trade fair", "our Polish site", "a customer in Lyon"],
    "skill": ["Spanish", "public speaking", "Python", "first aid", "project management"],
    "doc": ["employment letter", "reference", "salary certificate", "copy of my contract"],
}
PATTERNS = {
    "holiday": [
        "How many days of leave do I have left [this year|in {month}]?",
        "Can I carry holidays over to next year?",
        "I'd like to take {span} off in {month}.",
        "My leave for {month} is still not approved.",
        "Does a bank holiday count when I'm off for {span}?",
        "May I take [unpaid leave|half days] in {month}?",
    ],
    "sick_leave": [
        "I have the flu and won't come in [today|for {span}].",
        "From which day do I need a doctor's note?",
        "{kin} is ill, may I stay at home [today|for {span}]?",
        "Where do I upload the sick note [for {month}|]?",
        "Am I paid if I'm ill for {span}?",
    ],
    "payslip": [
        "My payslip for {month} shows less than usual.",
        "Where can I find the payslip [of|for] {month}?",
        "Why did I pay more tax in {month}?",
        "The overtime of {month} [wasn't paid|is missing from my pay].",
        "My bank details have changed, does {month} still go to the old account?",
    ],
    "travel_costs": [
        "How do I claim the train ticket to {trip}?",
        "What's the daily allowance for {trip}?",
        "Receipts from {trip} [got lost|are in another currency], what now?",
        "When will the costs of {trip} be paid back [to me|]?",
        "May I book a hotel near {trip} for {span}?",
    ],
    "parental_leave": [
        "{kin} will be born in {month}, what do I have to file?",
        "I want to stay home with {kin} for {span}.",
        "Can I work part time while on parental leave [from {month}|]?",
        "How early must I announce parental leave for {month}?",
        "Does my bonus stop during {span} of parental leave?",
    ],
    "training": [
        "Does the company pay for a {skill} course?",
        "I'd like to learn {skill} [in {month}|at work].",
        "How many training days do I get, {skill} takes {span}?",
        "Who approves a seminar about {skill}?",
        "Is there an online class in {skill}?",
    ],
    "working_hours": [
        "May I work from home for {span}?",
        "Can I reduce to [80|60] percent from {month}?",
        "I forgot to clock [in|out] [last week|yesterday|on Friday|twice this month].",
        "What are the core hours [in {month}|]?",
        "I'd like to shift my day, starting at [seven|ten], for {span}.",
        "How do I take back my extra hours from {month}?",
    ],
    "documents": [
        "I need [a|an updated] {doc} [for the bank|for my landlord|].",
        "Who signs my {doc}?",
        "My {doc} has the wrong [address|date of birth].",
        "Please send me the {doc} by {month}.",
        "How long does a {doc} take?",
    ],
}


def generate(rng: Random) -> Iterator[Row]:
    yield from labelled(PATTERNS, SLOTS, SYSTEMS, rng, PER_LABEL)
