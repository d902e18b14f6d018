"""The whole pipeline on a small corpus of three sources, with vectors that count words."""

from collections import Counter

import pytest

from distillation.pipeline.dataset_generator import STAGES, DatasetGenerator
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.outcome import NotEnoughData
from distillation.pipeline.types import Example, Requirement, SelectionConfig
from distillation.tests.pipeline.catalog import MemoryCatalog
from distillation.tests.pipeline.rows import WordsEmbedder, candidate

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


def generate(pool, requirement=BANK, held_out=(), on_progress=lambda *_: None, **config):
    generator = DatasetGenerator(MemoryCatalog(pool), WordsEmbedder())
    return generator.generate(requirement, SelectionConfig(**config), held_out, on_progress)


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
    assert prompts == {
        "Name the bank intent of the message. Answer with the label only. Answer with one of: "
        f"{', '.join(sorted(LABELS))}."
    }
    assert prompts == {selection.intent.system_prompt}
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


def wrong_rows():
    """Four rows with the label of other rows, and a corpus that they stand in."""
    rows = corpus()
    wrong = {5 * i: "top_up_failed" for i in range(4)}
    pool = [
        candidate(row.messages[1]["content"], wrong[i], system=row.system) if i in wrong else row
        for i, row in enumerate(rows)
    ]
    return pool, {rows[i].messages[1]["content"] for i in wrong}


def answers_to(selection, inputs):
    said = [(row.messages[1]["content"], row.messages[2]["content"]) for row in selection.rows]
    return {question: answer for question, answer in said if question in inputs}


def test_rows_of_doubtful_labels_are_left_out_before_the_split_and_others_stand_in():
    pool, wrong = wrong_rows()
    selection = generate(pool, rows=150)
    assert (len(selection.rows), answers_to(selection, wrong)) == (150, {})
    [step] = [step for step in selection.funnel if step.name == "doubtful label"]
    assert step.refused == 4
    assert "→ top_up_failed (rows like it have lost_card)" in step.examples[0]
    assert sum(step.refused for step in selection.funnel) + 150 == len(pool)


def test_rows_of_doubtful_labels_are_repaired_and_say_so():
    pool, wrong = wrong_rows()
    selection = generate(pool, rows=200, doubtful_rows="repair")
    answers = list(answers_to(selection, wrong).values())
    why = "its label was top_up_failed; rows like it in bank have lost_card"
    repaired = [row for row in selection.rows if row.reason == why]
    assert len(repaired) == answers.count("lost_card") >= 3
    assert f"doubtful label: {len(repaired)} repaired" in [step.name for step in selection.funnel]


def test_rows_of_doubtful_labels_are_kept_and_marked():
    pool, wrong = wrong_rows()
    selection = generate(pool, rows=200, doubtful_rows="keep")
    assert set(answers_to(selection, wrong).values()) == {"top_up_failed"}
    marked = {row.messages[1]["content"] for row in selection.rows if row.scores.get("doubtful")}
    assert marked <= wrong
    assert len(marked) >= 3
    assert f"doubtful label: {len(marked)} kept" in [step.name for step in selection.funnel]


def test_doubtful_rows_stay_where_there_would_be_too_few_without_them():
    pool, wrong = wrong_rows()
    selection = generate(pool, rows=200, minimum_rows=200)
    assert answers_to(selection, wrong).keys() == wrong
    assert "doubtful label" not in [step.name for step in selection.funnel]


def test_the_users_own_held_out_rows_are_counted_and_stay():
    held_out = [Example("I lost card in bali on day 900", label) for label in ("lost_card",)]
    held_out += [Example("exchange rate in bonn on day 901", "lost_card")]
    selection = generate(corpus(), held_out=held_out, rows=150)
    assert selection.doubtful_held_out == (1,)
    assert len(selection.held_out) == 2


def test_the_funnel_accounts_for_every_row_of_the_corpus():
    repeats = [
        candidate(f"LOST card in {place} on day {5 * i}!", "lost_card")
        for i, place in enumerate(PLACES)
    ]
    selection = generate([*corpus(), *repeats], rows=100)
    refused = {step.name: step.refused for step in selection.funnel}
    assert sum(refused.values()) + len(selection.rows) == 330
    assert (refused["the source does not serve the requirement"], refused["exact duplicate"]) == (
        120,
        10,
    )


@pytest.mark.parametrize(
    "text", ["Translate Old Norse runes to Klingon.", "Compose baroque fugues."]
)
def test_a_requirement_that_the_corpus_does_not_serve_is_refused(text):
    with pytest.raises(
        NotEnoughData, match="Not enough data: 0 rows above the threshold"
    ) as refusal:
        generate(corpus(), Requirement(text))
    assert "label inputs of your own" in str(refusal.value)


def test_too_few_fitting_rows_are_refused_with_their_number():
    with pytest.raises(NotEnoughData, match="Not enough data: 30 rows .* at least 50 needed"):
        generate(corpus(bank=30))


def test_an_empty_corpus_is_refused():
    class Empty:
        def source_groups(self):
            return []

        def background(self, per_source):
            return []

    with pytest.raises(NotEnoughData, match="no sources here yet"):
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
    stated = []
    generate(corpus(), on_progress=lambda *event: stated.append(event), rows=100)
    assert stated == [(stage, i, len(STAGES)) for i, stage in enumerate(STAGES)]


JOKER = Requirement("jokes about ducks please", examples=(Example("joke about ducks", "A."),))


def letters(count=60):
    return [
        candidate(f"letter {i} to an aunt", f"Dear aunt, thank you for gift {i}.", source="letters")
        for i in range(count)
    ]


def test_a_writers_dataset_holds_a_few_rows_of_other_written_text_for_training():
    rows = generate([*corpus(), *letters()], JOKER, rows=60, minimum_rows=20, replay_share=0.1).rows
    replayed = [row for row in rows if row.step == "replay"]
    assert Counter(row.candidate.source for row in replayed) == {"letters": 6}
    assert all(row.messages[0]["content"] == rows[0].messages[0]["content"] for row in replayed)
    assert all(row.split == "train" and "other work" in row.reason for row in replayed)


def test_labels_numbers_queries_and_json_never_stand_in_a_writers_dataset():
    others = [
        candidate(f"{name} {i}", answer.format(i), source=name)
        for name, answer in {
            "sums": "{}", "working": "3 + {0} is more.\n#### {0}",
            "queries": "SELECT a FROM b WHERE c = {}", "objects": '{{"a": {}}}',
        }.items()
        for i in range(40)
    ]  # fmt: skip
    rows = generate([*corpus(), *others], JOKER, rows=60, minimum_rows=20, replay_share=0.1).rows
    assert {row.candidate.source for row in rows} == {"jokes"}


def notes(count, source="notes"):
    return [
        candidate(f"note {i} about {PLACES[i % 10]}", LABELS[i % 5], source=source)
        for i in range(count)
    ]


def test_rows_of_a_source_that_a_person_chose_come_first_however_far_it_is():
    selection = generate([*corpus(), *notes(30)], rows=100, use_sources=("notes",))
    assert selection.sources == {"bank": 70, "notes": 30}
    assert all(row.reason == "a person chose notes" for row in selection.rows[:30])


def test_without_a_search_only_the_chosen_sources_are_used():
    chosen = {"use_sources": ("notes",), "search_corpus": False}
    assert generate([*corpus(), *notes(60)], rows=100, **chosen).sources == {"notes": 60}


def test_ordinary_filters_hold_for_chosen_sources_too():
    other = [candidate(f"text {i}", "No label, a sentence.", source="notes") for i in range(20)]
    selection = generate([*corpus(), *notes(30), *other], rows=100, use_sources=("notes",))
    assert selection.sources["notes"] == 30
    held_out = [Example("note 3 about kyiv", LABELS[3])]
    leaked = generate([*corpus(), *notes(30)], held_out=held_out, rows=100, use_sources=("notes",))
    assert leaked.sources["notes"] == 29


CLOSED = Requirement(
    BANK.text,
    policy="Answer with one of: lost_card, exchange_rate, card_arrival, refund, loan.",
    examples=BANK.examples,
)


def test_labels_without_rows_are_a_refusal_that_names_them_and_what_there_is():
    with pytest.raises(NotEnoughData, match="none for refund, loan") as refusal:
        generate(corpus(), CLOSED, rows=100)
    gap = refusal.value.gap
    assert (gap.by, gap.missing) == ("label", ("refund", "loan"))
    assert gap.found["lost_card"] > 0


def test_a_refusal_shows_the_sources_near_by_with_rows_of_theirs():
    with pytest.raises(NotEnoughData) as refusal:
        generate(corpus(), Requirement("Write the bank intent as a poem of four lines."))
    assert refusal.value.intent.task_kind == "generate"
    related = {source.source: source for source in refusal.value.gap.related}
    assert related["bank"].reason == "its answers are labels, yours are written text"
    assert related["bank"].samples


def test_labels_are_never_mixed_with_other_work():
    rows = generate(corpus(), rows=100, replay_share=0.1).rows
    assert {row.step for row in rows} == {"select"}


def test_another_sources_labels_are_mapped_to_the_users_closed_set():
    wanted = Requirement(
        "Label the mood of a film review: film was something.",
        objective="mood",
        policy="Answer with one of: good_mood, bad_mood.",
    )
    selection = generate(corpus(), wanted, rows=40, minimum_rows=20)
    assert {row.messages[-1]["content"] for row in selection.rows} == {"good_mood", "bad_mood"}
    assert {(m.label, m.mapped_to, m.how) for m in selection.label_map} == {
        ("good", "good_mood", "name"),
        ("bad", "bad_mood", "name"),
    }


@pytest.mark.parametrize("selector", ["random", "balanced_random", "bm25", "embedding"])
def test_peers_of_the_selector_run_on_the_same_corpus_and_leak_nothing(selector):
    held_out = [Example("Lost card in ROME on day 0!", "lost_card")]
    selection = generate(corpus(), held_out=held_out, rows=60, selector=selector)
    assert len(selection.rows) == 60
    assert "lost card in rome on day 0" not in [
        row.messages[1]["content"] for row in selection.rows
    ]
    refused = sum(step.refused for step in selection.funnel)
    assert refused + len(selection.rows) == 320


def test_a_balanced_peer_takes_the_same_number_of_each_source():
    rows = generate(corpus(), rows=60, selector="balanced_random").rows
    assert set(Counter(row.candidate.source for row in rows).values()) == {20}
