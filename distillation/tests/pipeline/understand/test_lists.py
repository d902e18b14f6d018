"""Plain parsing finds the list that is meant among all lists, in each form and language."""

import pytest

from distillation.pipeline.understand.lists.candidates import candidates
from distillation.pipeline.understand.lists.fallback import with_fallback


def lists_in(text, language="en"):
    return {item.names for item in candidates(text, "text", language)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("One of: yes, no, maybe.", ("yes", "no", "maybe")),
        ("one of these labels: a; b; c", ("a", "b", "c")),
        ("The tone is negative, neutral or positive.", ("negative", "neutral", "positive")),
        ("Say 'spam' or 'ham'.", ("spam", "ham")),
        ("Label it “pro”, “anti” or “unclear”.", ("pro", "anti", "unclear")),
        ("Priority (low / medium / high)", ("low", "medium", "high")),
        ("email -> spam/ham", ("spam", "ham")),
        ("Labels:\n- Bed and breakfast\n- Hotel: any\n\nBe brief.", ("Bed and breakfast", "Hotel")),
        ("Labels:\nprice\nquality\n", ("price", "quality")),
        ("Use these:\n1. Order status\n2) Return", ("Order status", "Return")),
        ("red -> stop at once\ngreen -> go\n", ("red", "green")),
        ("Topics: food and drink, travel, health.", ("food and drink", "travel", "health")),
        ("Tell me urgent or not.", ("urgent", "not urgent")),
        ("relevant or not relevant", ("relevant", "not relevant")),
        ("a priority P1–P4", ("P1", "P2", "P3", "P4")),
        ("a mark from 1 to 5", ("1", "2", "3", "4", "5")),
        ("billing (money), shipping (parcels) or other", ("billing", "shipping", "other")),
        ("NOW if life is at risk, SOON if not, LATER otherwise", ("NOW", "SOON")),
        ("0 no pain, 1 some pain, 2 much pain", ("0", "1", "2")),
        ('JSON such as {"name": "Ada", "age": 36}', ("name", "age")),
        ("json: name age city", ("name", "age", "city")),
        ("keys city, rooms as a number and price", ("city", "rooms", "price")),
        ("levels are intern junior senior", ("intern", "junior", "senior")),
    ],
)
def test_the_list_that_is_meant_is_found(text, names):
    assert names in lists_in(text)


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("de", "Ordne es ein: dringend, normal oder egal.", ("dringend", "normal", "egal")),
        ("fr", "Répondre par oui, non ou peut-être.", ("oui", "non", "peut-être")),
        ("es", "Responde verdadera o falsa.", ("verdadera", "falsa")),
        ("it", "Scegli tra alto, medio e basso.", ("alto", "medio", "basso")),
        ("pt", "Responda sim ou não.", ("sim", "não")),
        ("nl", "Kies uit goed, matig of slecht.", ("goed", "matig", "slecht")),
    ],
)
def test_the_last_name_is_split_off_in_seven_languages(language, text, names):
    assert names in lists_in(text, language)


def test_the_explanation_of_each_label_is_kept():
    text = "Queues:\n- billing: money and invoices\n- tech: it does not work\n"
    item = next(i for i in candidates(text, "text", "en") if i.names == ("billing", "tech"))
    assert item.descriptions == ("money and invoices", "it does not work")


def test_a_label_for_the_rest_may_stand_in_a_sentence_of_its_own():
    text = "Sort mails into sales, support or legal. Anything else is misc."
    item = next(
        i for i in candidates(text, "text", "en") if i.names == ("sales", "support", "legal")
    )
    longer = {more.names for more in with_fallback(item, {"text": text}, "en")}
    assert ("sales", "support", "legal", "misc") in longer


@pytest.mark.parametrize(
    "text",
    [
        "a," * 4000,
        "is a, " * 1300,
        '"a" or ' * 1100,
        "labels: " * 1000,
        ", ; | / " * 900,
        "{" * 2000,
        "(" * 2000,
        "- a\n" * 2000,
        "1-" * 4000,
    ],
)
def test_no_text_is_so_odd_that_reading_it_does_not_end(text):
    assert len(candidates(text, "text", "en")) < 12_000
