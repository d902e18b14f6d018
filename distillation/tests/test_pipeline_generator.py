"""The whole pipeline on a small corpus of three sources, with vectors that count words."""

import pytest

from distillation.pipeline.dataset_generator import STAGES, DatasetGenerator
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.testing import MemoryCatalog
from distillation.pipeline.types import Example, NotEnoughData, Requirement, SelectionConfig
from distillation.tests.pipeline_rows import WordsEmbedder, candidate

LABELS = ("lost_card", "exchange_rate", "card_arrival", "top_up_failed", "cash_withdrawal")
PLACES = ("rome", "paris", "oslo", "kyiv", "lima", "cairo", "quito", "delhi", "seoul", "tunis")
BANK = Requirement(
    "Route each message of a bank customer to one intent.",
    objective="Name the bank intent of the message.",
    policy="Answer with the label only.",
    examples=(
        Example("lost card in rome on day 3", "lost_card"),
        Example("exchange rate in lima on day 9", "exchange_rate"),
    ),
)


def bank_rows(count):
    return [
        candidate(
            f"{LABELS[i % 5].replace('_', ' ')} in {PLACES[i // 5 % 10]} on day {i}",
            LABELS[i % 5],
            system="Name the bank intent of the message.",
        )
        for i in range(count)
    ]


def corpus(bank=200):
    jokes = [
        candidate(f"joke number {i} about ducks", f"The duck said {i} times hello.", source="jokes")
        for i in range(60)
    ]
    moods = [
        candidate(f"film {i} was something", ("good", "bad")[i % 2], source="moods", task="mood")
        for i in range(60)
    ]
    return [*bank_rows(bank), *jokes, *moods]


def generate(pool, requirement=BANK, held_out=(), tell=lambda *_: None, **config):
    generator = DatasetGenerator(MemoryCatalog(pool), WordsEmbedder())
    return generator.generate(requirement, SelectionConfig(**config), held_out, tell)


def test_rows_come_from_the_source_that_serves_the_requirement():
    assert generate(corpus(), rows=100).sources == {"bank": 100}


def test_labels_beyond_the_examples_are_learned_and_balanced():
    selection = generate(corpus(), rows=100)
    answers = [row.messages[-1]["content"] for row in selection.rows]
    assert set(selection.intent.labels) == set(LABELS)
    assert {label: answers.count(label) for label in LABELS} == dict.fromkeys(LABELS, 20)


def test_every_row_has_the_one_system_prompt_and_says_why_it_is_there():
    selection = generate(corpus(), rows=100)
    prompts = {row.messages[0]["content"] for row in selection.rows}
    assert prompts == {"Name the bank intent of the message. Answer with the label only."}
    assert all("bank serves the task" in row.reason for row in selection.rows)


def test_the_same_inputs_and_seed_give_the_same_dataset_whatever_the_order_of_rows():
    digests = [generate(rows, rows=100).digest for rows in (corpus(), corpus()[::-1])]
    assert digests[0] == digests[1]
    assert generate(corpus(), rows=100, seed=1).digest != digests[0]


def test_held_out_rows_are_kept_out_and_become_the_test_split():
    held_out = [Example("Lost card in ROME on day 0!", "lost_card")]
    selection = generate(corpus(), held_out=held_out, rows=150)
    inputs = [row.messages[1]["content"] for row in selection.rows]
    assert "lost card in rome on day 0" not in inputs
    assert "test" not in {row.split for row in selection.rows}
    assert selection.held_out[0][1]["content"] == held_out[0].input


def test_the_funnel_accounts_for_every_row_of_the_corpus():
    repeats = [
        candidate(f"LOST card in {place} on day {5 * i}!", "lost_card")
        for i, place in enumerate(PLACES)
    ]
    selection = generate([*corpus(), *repeats], rows=100)
    refused = {step.name: step.refused for step in selection.funnel}
    assert sum(refused.values()) + len(selection.rows) == 330
    assert (refused["not retrieved"], refused["exact duplicate"]) == (120, 10)


@pytest.mark.parametrize(
    "text", ["Translate Old Norse runes to Klingon.", "Compose baroque fugues."]
)
def test_a_requirement_that_the_corpus_does_not_serve_is_refused(text):
    with pytest.raises(
        NotEnoughData, match="not enough data: 0 rows above the threshold"
    ) as refusal:
        generate(corpus(), Requirement(text))
    assert "upload rows of your own" in str(refusal.value)


def test_too_few_fitting_rows_are_refused_with_their_number():
    with pytest.raises(NotEnoughData, match="not enough data: 30 rows .* at least 50 needed"):
        generate(corpus(bank=30))


def test_an_empty_corpus_is_refused():
    class Empty:
        def source_groups(self):
            return []

        def background(self, per_source):
            return []

    with pytest.raises(NotEnoughData, match="Seed a source"):
        DatasetGenerator(Empty(), WordsEmbedder()).generate(BANK, SelectionConfig())


def test_a_forbidden_licence_never_enters():
    share_alike = [
        candidate(f"lost card in {place} at home", "lost_card", license="CC-BY-SA-4.0")
        for place in PLACES
    ]
    selection = generate(
        [*corpus(), *share_alike], rows=200, license_policy=LicensePolicy("permissive")
    )
    assert {row.candidate.license for row in selection.rows} == {"CC-BY-4.0"}


def test_each_stage_is_told_in_order():
    told = []
    generate(corpus(), tell=lambda *event: told.append(event), rows=100)
    assert told == [(stage, i, len(STAGES)) for i, stage in enumerate(STAGES)]
