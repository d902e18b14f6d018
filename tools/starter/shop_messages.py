"""Messages of an online shop's customers, answered by their topic."""

from collections.abc import Iterator
from random import Random

from tools.starter.grammar import Row, labelled

PER_LABEL = 28
SYSTEMS = ("", "What is the customer's message about? One topic.", "Give the topic label only.")
SLOTS = {
    "thing": ["jacket", "lamp", "pair of boots", "rucksack", "kettle", "desk chair", "duvet"],
    "order": ["order 48213", "my order from Tuesday", "order #90177", "the order I placed in May"],
    "days": ["three days", "a week", "ten days", "two weeks", "ages"],
    "size": ["a medium", "size 42", "the large one", "one size up", "a 10"],
    "pay": ["PayPal", "my credit card", "an invoice", "a gift card", "Klarna"],
    "colour": ["navy", "olive", "red", "grey", "cream"],
}
PATTERNS = {
    "where_is_my_order": [
        "Where is {order}? It's been {days}.",
        "Tracking for {order} hasn't moved for {days}.",
        "The courier says delivered but there is no {thing} [here|at my door|with the neighbours].",
        "When will the {thing} [arrive|be here]?",
        "Still waiting for {order}, [any news|what is going on]?",
    ],
    "return_item": [
        "I want to send the {thing} back.",
        "How do I return the {thing}, it [doesn't suit me|is not what I expected]?",
        "Can I still return {order} after {days}?",
        "No return label was in the box with the {thing}.",
        "Do I have to pay for posting the {thing} back to you?",
    ],
    "refund_status": [
        "I returned the {thing} {days} ago and the money isn't back.",
        "When do I get my refund for {order}?",
        "You refunded [only half|the wrong amount] for {order}.",
        "Has the money for the {thing} been sent to {pay} yet?",
        "The refund should have been on my account {days} ago.",
    ],
    "wrong_item": [
        "I ordered a {colour} {thing} and got a {colour} one, not the colour on the order.",
        "There is somebody else's {thing} in my parcel.",
        "Instead of {size} you sent me another size [of the {thing}|].",
        "Not what I bought: the box held a {thing}.",
        "Half of {order} belongs to another customer, it seems.",
    ],
    "damaged_item": [
        "The {thing} arrived [broken|scratched|with a hole in it].",
        "My {thing} came in a crushed box and is [bent|cracked].",
        "A [seam|handle|zip] of the {thing} broke after {days}.",
        "The {colour} {thing} has stains on it.",
        "Parts are missing and the {thing} is dented.",
    ],
    "change_order": [
        "Can I change {order} to {size}?",
        "Please add a {thing} to {order} before it ships.",
        "I picked the wrong colour, make it {colour} please [for {order}|].",
        "Take the {thing} out of {order}, keep the rest.",
        "I need a different delivery address for {order}.",
    ],
    "cancel_order": [
        "Please cancel {order}.",
        "I don't want the {thing} any more, stop the order [please|].",
        "Bought the {thing} twice by mistake, cancel one.",
        "It takes {days}, that's too long. I'd rather cancel {order}.",
        "How can I cancel [before it is sent|{order}|the {thing}]?",
    ],
    "payment_problem": [
        "Checkout won't take {pay} [for the {thing}|].",
        "I was charged twice for {order}.",
        "Payment with {pay} failed but the money is gone.",
        "Can I pay for a {thing} with {pay}?",
        "The page hangs after I confirm {pay}.",
    ],
    "discount_code": [
        "My voucher isn't accepted [for the {thing}|].",
        "The [10|15|20] percent code gives an error [at checkout|with {pay}].",
        "Is there a [student|newsletter|first order] discount on the {thing}?",
        "I forgot to enter my code with {order}, can you still take it off?",
        "Does the sale price of the {colour} {thing} combine with a coupon?",
    ],
    "product_question": [
        "Is the {thing} waterproof?",
        "What is the {thing} made of?",
        "Does the {thing} come in {colour}?",
        "How big is the {thing}, I usually take {size}?",
        "Will the {colour} {thing} be back in stock?",
        "Can the {thing} go in the washing machine?",
    ],
}


def generate(rng: Random) -> Iterator[Row]:
    yield from labelled(PATTERNS, SLOTS, SYSTEMS, rng, PER_LABEL)
