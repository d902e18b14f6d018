"""Short reviews, answered positive, negative or neutral; each aspect says it in its own words."""

from collections.abc import Iterator
from random import Random

from tools.starter.grammar import Row, labelled

PER_LABEL = 120
SYSTEMS = (
    "",
    "Sentiment of the review: positive, negative or neutral.",
    "Is the customer happy? Answer positive, negative or neutral.",
)
SLOTS = {
    "dish": ["ramen", "risotto", "fish tacos", "breakfast", "burger", "tiramisu", "curry"],
    "device": ["headphones", "speakers", "hiking boots", "curtains", "sunglasses", "wheels"],
    "stay": ["room", "cabin", "apartment", "hostel", "suite"],
    "who": ["The waiter", "Our guide", "The receptionist", "Support", "The owner", "The barber"],
    "show": ["film", "second season", "concert", "exhibition", "audiobook", "play"],
    "course": ["course", "workshop", "webinar", "yoga class", "swimming lesson"],
    "span": ["a week", "two months", "half a year", "ten days", "one evening"],
}
PATTERNS = {
    "positive": [
        "The {dish} was [gorgeous|the best I've had in years|worth every cent].",
        "{who} went out of [his|her] way to help us.",
        "After {span} with these {device} I'd buy them again without thinking.",
        "[Spotless|Bright, quiet] {stay} with a view we will not forget.",
        "Cried, laughed, and the {show} ended far too soon.",
        "Finally a {course} that [respects your time|explains the why]!",
        "My {device} [just do their job|survived a fall and still shine].",
        "Ten out of ten, the {stay} felt like home.",
        "I learned more in this {course} than in {span} on my own.",
        "{who} remembered our names, what a lovely touch.",
        "Skip the queue next door, the {dish} here is [magic|superb].",
        "We left the {show} grinning.",
        "Not a single complaint about the {stay} in {span}.",
        "I doubted the price of the {device}; I was wrong, they are wonderful.",
    ],
    "negative": [
        "The {dish} arrived cold and [tasted of nothing|far too salty].",
        "{who} [rolled their eyes at us|never called back].",
        "The {device} broke after {span}.",
        "Mould in the shower of our {stay}, [never again|we moved out the same night].",
        "I walked out of the {show} [halfway|in the break].",
        "The {course} was a waste of [money|a Saturday].",
        "{span} of waiting for a reply and then a shrug.",
        "Thin walls, hard bed: the {stay} cost us our sleep.",
        "My {device} smell of plastic and the shop won't take them back.",
        "They promised fresh {dish}; it came from a tin.",
        "Nothing in the {course} matched the description.",
        "The plot of the {show} makes no sense and the acting is wooden.",
        "Avoid. {who} charged us twice and denied it.",
        "It isn't worth half of what we paid for the {stay}.",
    ],
    "neutral": [
        "The {stay} has two beds, a desk and [a small fridge|a kettle].",
        "We ordered the {dish} and [a bottle of water|the soup of the day].",
        "The {course} takes {span} and [is held online|ends with a quiz].",
        "Bought the {device} for my [brother|office] {span} ago.",
        "The {show} runs for [ninety minutes|two hours] with one break.",
        "{who} told us that they [open at nine|close on Mondays].",
        "[Good|Tasty] {dish}, slow kitchen; all in all, average.",
        "It's a {stay} like many others, neither better nor worse.",
        "Some chapters of the {course} helped, others did not.",
        "The {device} come in [black|two colours] and weigh about as much as the old ones.",
        "The {show} was okay, I wouldn't see it twice nor warn anyone off.",
        "I have no strong opinion about the {dish} yet.",
        "Delivery of the {device} took {span}, as announced.",
        "The map says the {stay} is [ten minutes|one stop] from the station.",
    ],
}


def generate(rng: Random) -> Iterator[Row]:
    yield from labelled(PATTERNS, SLOTS, SYSTEMS, rng, PER_LABEL)
