import pytest

from distillation.pipeline.choose.selection import SELECTORS, order_rows, within_budget
from distillation.pipeline.choose.splits import assign_splits, split_sizes
from distillation.pipeline.types import IntentSpec, SelectionConfig
from distillation.tests.pipeline.rows import scored


def intent(kind):
    return IntentSpec(task_kind=kind, system_prompt="", queries=(), task_texts=())


def inputs(rows):
    return [row.input for row in rows]


def test_labels_take_turns_best_first():
    rows = [
        scored("a1", "a", score=0.9),
        scored("a2", "a", score=0.8),
        scored("a3", "a", score=0.7),
        scored("b1", "b", score=0.1),
    ]
    assert inputs(order_rows(rows, intent("classify"), SelectionConfig())) == [
        "a1",
        "b1",
        "a2",
        "a3",
    ]


def test_queries_take_turns_where_answers_are_free_text():
    rows = [
        scored("x1", "Text.", score=0.9, query=0),
        scored("x2", "Text.", score=0.8, query=0),
        scored("y1", "Text.", score=0.2, query=1),
    ]
    assert inputs(order_rows(rows, intent("generate"), SelectionConfig())) == ["x1", "y1", "x2"]


def test_a_common_set_of_keys_is_met_more_often_than_a_rare_one():
    rows = [scored(f"empty{i}", "{}", score=-i) for i in range(9)]
    rows += [scored("name", '{"name": 1}', score=-9)]
    # Ranks over roots of the group sizes: empty at 1/3, 2/3, 1, …; name at 1.
    ordered = inputs(order_rows(rows, intent("extract_json"), SelectionConfig()))
    assert ordered.index("name") == 3


def test_ties_are_broken_by_content_so_that_any_machine_agrees():
    rows = [scored(f"t{i}", "a", score=0.5 + i * 1e-6) for i in range(20)]
    config = SelectionConfig()
    forward = inputs(order_rows(rows, intent("classify"), config))
    assert forward == inputs(order_rows(rows[::-1], intent("classify"), config))


def test_random_order_depends_on_the_seed_alone():
    rows = [scored(f"t{i}", "a") for i in range(20)]
    orders = [
        SELECTORS["random"].order(rows, intent("classify"), SelectionConfig(seed=s))
        for s in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_a_balanced_order_takes_one_of_each_source_in_turn():
    rows = [scored(f"a{i}", "x", source="a") for i in range(5)] + [scored("b", "x", source="b")]
    order = SELECTORS["balanced_random"].order(rows, intent("classify"), SelectionConfig())
    assert [rows[index].candidate.source for index in order] == ["a", "b", "a", "a", "a", "a"]


def test_the_next_row_is_the_one_that_adds_most():
    rows = [
        scored("best", "a", score=1.0, vector=(1.0, 0.0)),
        scored("twin", "a", score=0.9, vector=(1.0, 0.0)),
        scored("other", "a", score=0.7, vector=(0.0, 1.0)),
    ]
    # After "best": twin 0.7·0.9 - 0.3·1 = 0.33, other 0.7·0.7 - 0 = 0.49.
    config = SelectionConfig(diversity_lambda=0.7)
    assert inputs(order_rows(rows, intent("classify"), config)) == ["best", "other", "twin"]
    alike = SelectionConfig(diversity_lambda=1.0)
    assert inputs(order_rows(rows, intent("classify"), alike)) == ["best", "twin", "other"]


def test_a_budget_of_answer_tokens_ends_the_dataset():
    rows = [scored(f"q{i}", "four") for i in range(5)]
    assert within_budget(rows, 3) == rows[:3]
    assert within_budget(rows, None) == rows


def test_a_source_beyond_its_share_waits_until_the_others_are_used_up():
    rows = [scored(f"big{i}", "a", score=1 - i / 10, source="big") for i in range(6)]
    rows += [scored("small", "a", score=-1, source="small")]
    config = SelectionConfig(rows=4, source_share=0.5)
    ordered = inputs(order_rows(rows, intent("classify"), config))
    assert ordered == ["big0", "big1", "small", "big2", "big3", "big4", "big5"]


@pytest.mark.parametrize(
    ("rows", "held_out", "sizes"),
    [
        (1000, False, (100, 100)),
        (300, False, (50, 30)),
        (100, False, (25, 10)),
        (1000, True, (0, 100)),
        (5000, False, (500, 200)),
    ],
)
def test_test_and_valid_have_the_size_that_the_dataset_can_bear(rows, held_out, sizes):
    assert split_sizes(rows, SelectionConfig(rows=rows), held_out=held_out) == sizes


def test_twins_never_straddle_splits():
    hashes = [f"h{i}" for i in range(200)]
    groups = [i // 4 for i in range(200)]
    splits = assign_splits(hashes, groups, SelectionConfig(), held_out=False)
    for group in range(50):
        assert len({splits[i] for i in range(200) if groups[i] == group}) == 1
    assert splits.count("test") == 48  # of 50: groups of four
    assert splits.count("valid") == 20


def test_a_group_too_large_for_the_test_split_stays_in_training():
    splits = assign_splits(
        [f"h{i}" for i in range(100)],
        [0] * 80 + list(range(80, 100)),
        SelectionConfig(),
        held_out=False,
    )
    assert splits[:80] == ["train"] * 80


def test_every_label_is_trained_on_before_one_is_held_out():
    labels = [f"label {n // 2}" for n in range(240)]
    hashes = [str(n) for n in range(240)]
    names = [{label} for label in labels]
    for seed in range(5):
        config = SelectionConfig(seed=seed, test_share=0.2)
        splits = assign_splits(hashes, range(240), config, held_out=False, names=names)
        trained = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
        assert trained == set(labels)
        assert splits.count("test") == 50


def test_a_label_that_a_correction_teaches_may_be_held_out():
    names = [{"a"}, {"a"}, *[{"b"}] * 98]
    splits = assign_splits(
        [str(n) for n in range(100)],
        range(100),
        SelectionConfig(test_share=0.25, valid_share=0.74),
        held_out=False,
        for_training={0},
        names=names,
    )
    assert splits[0] == "train"
    assert splits[1] != "train"


def test_where_every_row_has_a_label_of_its_own_some_are_held_out_all_the_same():
    hashes = [str(n) for n in range(100)]
    names = [{str(n)} for n in range(100)]
    splits = assign_splits(hashes, range(100), SelectionConfig(), held_out=False, names=names)
    assert splits.count("test") == 25


def test_splits_do_not_depend_on_the_order_of_rows():
    hashes = [f"h{i}" for i in range(100)]
    config = SelectionConfig(seed=3)
    forward = dict(
        zip(hashes, assign_splits(hashes, range(100), config, held_out=False), strict=True)
    )
    back = hashes[::-1]
    backward = dict(zip(back, assign_splits(back, range(100), config, held_out=False), strict=True))
    assert forward == backward


def test_a_config_without_room_for_training_is_refused():
    with pytest.raises(ValueError, match="leave rows for training"):
        SelectionConfig(valid_share=0.5, test_share=0.5)
