import numpy as np
import pytest

from distillation.pipeline.choose.retrieval import (
    Evidence,
    density,
    describe_groups,
    form_matches,
    fuse,
    null_threshold,
    relevance,
    route,
)
from distillation.pipeline.types import IntentSpec, SourceGroup
from distillation.tests.pipeline.rows import candidate


def vectors(*rows):
    return np.array(rows, dtype=np.float32)


def intent(kind="generate", **fields):
    return IntentSpec(task_kind=kind, system_prompt="", queries=(), task_texts=(), **fields)


def chosen(routes):
    return {(routed.group.source, routed.group.task) for routed in routes if routed.chosen}


def routed(spec, rows, descriptions, *, relevances=None, null=0.0):
    groups = [SourceGroup(*key[:1], *key, rows=10) for key in descriptions]
    values = relevances or [-1.0] * len(rows)
    evidence = Evidence(groups, rows, np.array(values, dtype=np.float32), descriptions, null)
    return route(spec, evidence)


def test_density_is_the_mean_cosine_to_the_background_itself_apart():
    background = vectors([1, 0], [0.6, 0.8], [0, 1])
    assert density(vectors([1, 0]), background[:1] * 0 + vectors([0.6, 0.8])) == pytest.approx(
        [0.6]
    )
    assert density(vectors([1, 0]), background) == pytest.approx([(0.6 + 0.0 - 1.0) / 3])


def test_relevance_takes_from_the_cosine_what_both_ends_have_with_everything():
    background = vectors([0.6, 0.8])
    result = relevance(vectors([1, 0], [0, 1]), vectors([0.8, 0.6]), background)
    # 2·0.8 − 0.6 − 0.96 and 2·0.6 − 0.8 − 0.96: the hub [0, 1] loses more.
    assert result[:, 0] == pytest.approx([0.04, -0.56], abs=1e-6)


def test_rankings_are_fused_by_the_reciprocals_of_their_ranks():
    a, b, c = (candidate(text, "x") for text in "abc")
    fused = fuse([[a, b], [b, c]])
    assert fused[0] == (b, pytest.approx(1 / 62 + 1 / 61))
    assert fused[1] == (a, pytest.approx(1 / 61))
    assert fused[2] == (c, pytest.approx(1 / 62))


def test_chance_is_measured_between_sources_only():
    background = vectors([1, 0], [0.8, 0.6], [0, 1])
    assert null_threshold(background, ["a", "a", "a"], 1, 0.99) == 0.0
    # r is (0.8 + 0 - 1)/3, (0.8 + 0.6 - 1)/3 and (0 + 0.6 - 1)/3; the best pair of two sources is
    # the last two: 2·0.6 - 0.4/3 + 0.4/3.
    assert null_threshold(background, ["a", "a", "b"], 1, 1.0) == pytest.approx(1.2, abs=1e-5)


def test_instructions_met_in_several_tasks_describe_all_tasks_of_the_source():
    rows = [
        candidate("1", "x", task="loans", system="Name the bank intent."),
        candidate("2", "x", task="cards", system="Name the bank intent."),
        candidate("3", "x", task="cards", system="Cards only."),
    ]
    groups = [SourceGroup("bank", "bank", task, 5) for task in ("loans", "cards", "new_cards")]
    described = describe_groups(groups, rows)
    assert described[("bank", "new_cards")] == (
        "new cards",
        "bank new cards",
        "Name the bank intent.",
    )
    assert "Cards only." in described[("bank", "cards")]
    assert "Cards only." not in described[("bank", "loans")]


def test_a_source_that_describes_the_task_is_chosen_over_one_that_does_not():
    rows = [candidate("1", "Text.", source="notes"), candidate("2", "Text.", source="jokes")]
    routes = routed(intent(), rows, {("notes", ""): 0.7, ("jokes", ""): 0.2})
    assert chosen(routes) == {("notes", "")}


def test_nothing_is_chosen_when_no_source_is_better_than_chance():
    rows = [candidate("1", "Text.", source="notes")]
    assert chosen(routed(intent(), rows, {("notes", ""): 0.3})) == set()


def test_a_source_without_a_description_is_found_by_its_topic():
    rows = [candidate(str(i), "Text.", source="notes") for i in range(10)]
    routes = routed(intent(), rows, {("notes", ""): 0.0}, relevances=[0.5] * 10, null=0.1)
    assert chosen(routes) == {("notes", "")}
    assert routes[0].topic_match == pytest.approx(0.4)


def test_one_lucky_row_does_not_make_a_topic():
    rows = [candidate(str(i), "Text.", source="notes") for i in range(10)]
    routes = routed(intent(), rows, {("notes", ""): 0.0}, relevances=[0.9] + [-0.5] * 9, null=0.1)
    assert chosen(routes) == set()


def test_a_source_that_does_not_speak_the_users_labels_is_never_chosen():
    rows = [candidate("1", "yes", source="pubmed"), candidate("2", "card_lost", source="bank")]
    spec = intent("classify", labels=("yes", "no"))
    routes = routed(spec, rows, {("pubmed", ""): 0.5, ("bank", ""): 0.9})
    assert chosen(routes) == {("pubmed", "")}


def test_labels_of_two_sources_are_not_mixed_when_the_user_named_none():
    rows = [candidate("1", "yes", source="pubmed"), candidate("2", "card_lost", source="bank")]
    routes = routed(intent("classify"), rows, {("pubmed", ""): 0.6, ("bank", ""): 0.65})
    assert chosen(routes) == {("bank", "")}


def test_having_some_labels_is_no_evidence_for_a_source():
    rows = [candidate("1", "yes", source="pubmed"), candidate("2", "A sentence.", source="notes")]
    routes = routed(intent("classify"), rows, {("pubmed", ""): 0.3, ("notes", ""): 0.3})
    assert routes[0].form_match == pytest.approx(0.5)
    assert chosen(routes) == set()


def test_answers_of_another_form_are_never_chosen():
    rows = [candidate("1", '{"a": 1}', source="notes")]
    assert chosen(routed(intent(), rows, {("notes", ""): 0.9})) == set()


def siblings(kind, answer):
    rows = [candidate("1", answer, source="mix", task=task) for task in ("one", "two", "three")]
    descriptions = {("mix", "one"): 0.8, ("mix", "two"): 0.72, ("mix", "three"): 0.6}
    return {task for _, task in chosen(routed(intent(kind), rows, descriptions))}


def test_labels_are_gathered_from_the_sibling_tasks_of_a_source():
    assert siblings("classify", "label") == {"one", "two", "three"}


def test_free_text_of_a_less_alike_task_is_other_work():
    assert siblings("generate", "Text.") == {"one", "two"}


def test_a_source_that_has_the_labels_named_in_passing_is_likelier():
    spec = intent("classify", label_hints=("lost_card", "top_up"))
    rows = [candidate("1", "lost card"), candidate("2", "rate"), candidate("3", "a", source="b")]
    assert form_matches(spec, rows) == {"bank": 0.5, "b": 0.0}


def test_other_tasks_of_the_source_help_out_where_the_closest_hold_too_few_rows():
    rows = [candidate(f"q{i}", "Text.", task=f"t{i}") for i in range(3)]
    scores = {("bank", "t0"): 0.9, ("bank", "t1"): 0.6, ("bank", "t2"): 0.5}
    groups = [SourceGroup("bank", "bank", task, rows=10) for _, task in scores]
    evidence = Evidence(groups, rows, np.full(3, -1.0, dtype=np.float32), scores, 0.0)
    result = [{t for _, t in chosen(route(intent(), evidence, rows=n))} for n in (10, 11, 30)]
    assert result == [{"t0"}, {"t0", "t1"}, {"t0", "t1", "t2"}]


def test_form_is_the_share_of_labels_or_the_overlap_of_keys():
    labels = form_matches(intent("classify", labels=("a", "b")), [candidate("1", "A")])
    keys = form_matches(
        intent("extract_json", json_keys=("a", "b")), [candidate("1", '{"b": 1, "c": 2}')]
    )
    assert labels == {"bank": 0.5}
    assert keys == {"bank": pytest.approx((1 / 2 + 1 / 3) / 2)}
