import pytest
from django.urls import reverse

from distillation.curation import services as curation
from distillation.curation.row_filter import RowFilter
from distillation.datasets.comparing import KINDS, counts_of, pairs_of
from distillation.models import DatasetRow
from distillation.tests.drafts import LABELS, make_draft, make_row
from distillation.tests.test_pages import CountQueries, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def first(org, artifacts_dir):
    return make_draft(org, state="frozen")


@pytest.fixture
def second(alice, first):
    """Of twelve rows, row 0 is left out, row 1 relabelled, row 2 in another split, row 12 new."""
    draft = curation.draft_of(actor=alice, version=first)
    row = draft.rows.get(position=0)
    curation.decide_rows(actor=alice, version=draft, chosen=[row.id], decision="refused")
    row = draft.rows.get(position=1)
    curation.edit_row(actor=alice, row=row, input=row.input, answer="top_up")
    draft.rows.filter(position=2).update(split="valid")
    make_row(draft, 12).save()
    return draft


def positions(pairs):
    return [(p.first and p.first.position, p.second and p.second.position) for p in pairs]


def stated(first, second):
    counts = counts_of(first, second)
    return {kind: positions(pairs_of(first, second, kind, range(counts[kind]))) for kind in KINDS}


def test_a_stranger_gets_404_for_a_comparison(as_charlie, org, first, second):
    address = reverse("dataset_compare", args=[org.slug, first.id, second.id])
    assert as_charlie.get(address).status_code == 404


def test_a_version_is_compared_with_those_of_its_own_model_only(as_bob, org, first):
    other = make_draft(org, name="Other")
    address = reverse("dataset_compare", args=[org.slug, first.id, other.id])
    assert as_bob.get(address).status_code == 404


def test_rows_are_in_the_one_in_the_other_or_changed(first, second):
    assert stated(first, second) == {
        "only_first": [(0, None)],
        "only_second": [(None, 12)],
        "changed": [(1, 1), (2, 2)],
        "same": [(n, n) for n in range(3, 12)],
    }


def test_what_changed_is_named(first, second):
    one, two = pairs_of(first, second, "changed", range(2))
    assert (one.changes, two.changes) == (["answer"], ["split"])


def test_without_a_corpus_row_the_input_in_normal_form_tells(first, second):
    DatasetRow.objects.filter(version=second).update(corpus_hash="")
    row = second.rows.get(position=3)
    row.messages[1]["content"] = "  MESSAGE, 3!"
    row.save()
    result = stated(first, second)
    assert result["only_first"] == [(0, None)]
    assert result["changed"] == [(1, 1), (2, 2), (3, 3)]


def test_rows_of_one_key_are_matched_one_to_one(first, second):
    first.rows.filter(position__in=(4, 5)).update(corpus_hash="shared")
    second.rows.filter(position__in=(4, 5, 6)).update(corpus_hash="shared")
    result = stated(first, second)
    assert (4, 4) in result["same"]
    assert (5, 5) in result["same"]
    assert (6, 6) in result["same"]  # by its input, since its corpus row has no partner left


def test_pages_are_parts_of_the_whole(first, second):
    whole = pairs_of(first, second, "same", range(9))
    assert pairs_of(first, second, "same", range(4, 7)) == whole[4:7]
    assert pairs_of(first, second, "same", range(0)) == []


def test_the_page_lays_both_side_by_side(as_bob, org, first, second):
    address = reverse("dataset_compare", args=[org.slug, first.id, second.id])
    page = text_of(as_bob.get(address))
    for words in ("Changed (2)", "Only in 1 (1)", "Only in 2 (1)", "Same (9)", "card_arrival"):
        assert words in page
    assert "message 12" in text_of(as_bob.get(address, {"kind": "only_second"}))
    assert "Changed (2)" in text_of(as_bob.get(address, {"kind": "nonsense", "page": "x"}))


def test_a_comparison_asks_as_much_for_many_rows_as_for_few(
    as_bob, org, first, second, django_assert_num_queries
):
    address = reverse("dataset_compare", args=[org.slug, first.id, second.id])
    with CountQueries() as few:
        as_bob.get(address, {"kind": "same"})
    for version in (first, second):
        DatasetRow.objects.bulk_create(make_row(version, number) for number in range(20, 90))
    with django_assert_num_queries(len(few)):
        page = text_of(as_bob.get(address, {"kind": "same"}))
    assert "1–50 of 79" in page


def test_the_api_gives_counts_distributions_and_rows(api_for, bob, first, second):
    api = api_for(bob)
    address = f"/api/v1/datasets/{first.id}/compare/{second.id}"
    answer = api.get(address).json()
    assert answer["counts"] == {"only_first": 1, "only_second": 1, "changed": 2, "same": 9}
    assert [pair["changes"] for pair in answer["rows"]] == [["answer"], ["split"]]
    labels = answer["second"]["distributions"]["answers"]
    assert labels == {"lost_card": 4, "top_up": 5, "card_arrival": 3}
    page = api.get(f"{address}?kind=same&offset=7&limit=50").json()
    assert [pair["first"]["position"] for pair in page["rows"]] == [10, 11]
    assert api.get(f"{address}?kind=odd").json()["error"]["param"] == "kind"


def test_json_answers_are_compared_by_their_keys(as_bob, org, alice, artifacts_dir):
    first = make_draft(org, state="frozen", intent={"task_kind": "extract_json"})
    for row in first.rows.all():
        row.messages[2]["content"] = '{"b": 1, "a": 2}' if row.position else "no JSON"
        row.save()
    second = curation.draft_of(actor=alice, version=first)
    curation.relabel(actor=alice, version=second, chosen=RowFilter(), answer='{"b": 2}')
    page = text_of(as_bob.get(reverse("dataset_compare", args=[org.slug, first.id, second.id])))
    assert "a, b" in page
    assert "no JSON object" in page
    assert LABELS[0] not in page
