import pytest

from distillation.pipeline.understand.label_lists import counted_labels, label_lists


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("One of: yes, no, maybe.", ("yes", "no", "maybe")),
        ("one of these labels: a; b; c", ("a", "b", "c")),
        ("The tone is negative, neutral or positive.", ("negative", "neutral", "positive")),
        ("Say 'spam' or 'ham'.", ("spam", "ham")),
        ("Label it “pro”, “anti” or “unclear”.", ("pro", "anti", "unclear")),
        ("Priority (low / medium / high)", ("low", "medium", "high")),
        (
            "Categories:\n- Bed and breakfast\n- Hotel: any\n\nBe brief.",
            ("Bed and breakfast", "Hotel"),
        ),
        ("Labels:\nprice\nquality\n", ("price", "quality")),
        ("Use these classes:\n1. Order status\n2) Return", ("Order status", "Return")),
        ("Route it to sales, support or legal affairs.", ("sales", "support", "legal")),
        ("Topics: food and drink, travel, health.", ("food and drink", "travel", "health")),
        ("Answer with yes or no.", ("yes", "no")),
        ("a first answer: yes, no or maybe, taken from the abstract", ("yes", "no", "maybe")),
        ("Is the text formal or informal?", ("formal", "informal")),
        ("as billing (money matters), shipping or other", ("billing", "shipping", "other")),
    ],
)
def test_labels_are_listed_in_many_ways(text, labels):
    assert next(label_lists(text), ()) == labels


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Label it.",
        "Classify mails written in German, French or Italian.",
        "one of our topics, such as card_arrival or exchange_rate",
        "Answer with one word such as joy or anger.",
        "Categories: sports, politics, etc.",
        "Labels include sports, politics and culture.",
        "Never answer with yes or no.",
        "Do not return 'unknown' or 'none'.",
        "If the order is late, lost or damaged, we call.",
        "Rules for the categories:\n- Answer with the label only\n- Never explain yourself",
        "Answer in one or two sentences.",
        "the answer: short, taken from the text of the user, polite",
        "The text is as long as it must be, and it should not be cut or shortened by us.",
    ],
)
def test_what_is_no_list_of_labels_or_only_a_sample_is_left_alone(text):
    assert next(label_lists(text), ()) == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("one of our 77 support topics", 77),
        ("one of five classes", 5),
        ("Three-way sentiment of a tweet.", 3),
        ("There are 60 intents.", 60),
        ("understands five intents: a, b", 5),
        ("never two labels", 0),
        ("Exactly one label", 0),
        ("We have 3 shops and one category.", 0),
    ],
)
def test_the_number_of_labels_is_read(text, count):
    assert counted_labels(text) == count
