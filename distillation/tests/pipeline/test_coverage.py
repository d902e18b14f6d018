import pytest

from distillation.pipeline.coverage import Coverage, coverage_of


def test_labels_of_held_out_rows_that_no_training_row_has_are_named_and_counted():
    held_out = ["lost card", "top_up", "top_up", "Refund", "lost_card"]
    coverage = coverage_of(["Lost_Card", "other"], held_out, "classify")
    assert coverage.unseen == {"top_up": 2, "Refund": 1}
    assert (coverage.rows_unseen, coverage.rows, coverage.names) == (3, 5, 3)
    assert coverage.sentence == (
        "2 of 3 labels of the held-out rows occur in no training row: top_up (2), Refund (1). "
        "3 of 5 held-out rows (60.0%) ask for what was never shown."
    )
    assert not coverage.is_enough


def test_fields_count_where_they_are_filled():
    held_out = ['{"name": "Ann", "iban": "DE1"}', '{"name": "Bo", "iban": null}', "no JSON"]
    coverage = coverage_of(['{"name": "Cy"}'], held_out, "extract_json")
    assert (coverage.noun, coverage.unseen, coverage.rows_unseen) == ("field", {"iban": 1}, 1)


def test_nothing_is_said_where_all_was_seen_or_answers_are_free_text():
    assert coverage_of(["a", "b"], ["b"], "classify").sentence == ""
    assert coverage_of(["a"], ["b"], "generate") == coverage_of([], [], "") == Coverage()


def test_a_trifle_is_told_and_decides_nothing():
    coverage = coverage_of(["a"], ["a"] * 99 + ["b"], "classify")
    assert coverage.is_enough
    assert (
        "1 of 2 labels of the held-out rows occurs in no training row: b (1)" in coverage.sentence
    )


@pytest.mark.parametrize("unseen", [13, 120])
def test_a_long_list_is_cut_and_counted(unseen):
    coverage = coverage_of([], [f"label {n}" for n in range(unseen)], "classify")
    assert f"and {unseen - 12} more." in coverage.sentence
