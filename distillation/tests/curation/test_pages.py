import pytest
from django.urls import reverse

from distillation.curation import services as curation
from distillation.curation.row_filter import RowFilter
from distillation.models import DatasetRow, DatasetVersion
from distillation.tests.drafts import make_draft, make_row
from distillation.tests.test_pages import HOSTILE, CountQueries, text_of
from modelstation.core.models import Job
from training.builds import services as builds

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(org, artifacts_dir):
    return make_draft(org)


def url(name, version, *args):
    return reverse(name, args=[version.org.slug, version.id, *args])


def ids_of(version, *positions):
    return list(version.rows.filter(position__in=positions).values_list("id", flat=True))


def said(response):
    """Return the message of an action, on the page that it led to."""
    return " ".join(str(message) for message in response.context["messages"])


def positions(response):
    return [row.position for row in response.context["page"]]


# --- Strangers first ------------------------------------------------------------------------------


def test_a_stranger_gets_404_for_every_deed_and_nothing_happens(as_charlie, draft):
    [row] = ids_of(draft, 0)
    for name, *args in (
        ("dataset_rows",), ("dataset_row", row), ("dataset_freeze",), ("dataset_discard",),
        ("dataset_draft",),
    ):  # fmt: skip
        requested = {"do": "refuse", "all": "yes", "input": "x", "answer": "top_up"}
        assert as_charlie.post(url(name, draft, *args), requested).status_code == 404
    draft.refresh_from_db()
    assert draft.is_draft
    assert draft.rows.kept().count() == 12


def test_a_row_of_another_dataset_is_not_found_under_ones_own(as_charlie, charlie, draft):
    own = make_draft(charlie.organizations.get())
    [theirs] = ids_of(draft, 0)
    assert as_charlie.get(url("dataset_row", own, theirs)).status_code == 404
    response = as_charlie.post(url("dataset_rows", own), {"do": "refuse", "rows": [theirs]})
    assert response.status_code == 302
    assert draft.rows.kept().count() == 12


# --- What the training rows do not show -----------------------------------------------------------


def test_a_label_whose_training_rows_were_all_refused_is_named_before_freezing(as_bob, draft):
    assert b"no training row" not in as_bob.get(url("dataset", draft)).content
    draft.rows.filter(position__in=[2, 8]).update(decision="refused")
    page = text_of(as_bob.get(url("dataset", draft)))
    assert "1 of 1 labels of the held-out rows occurs in no training row: top_up (2)." in page
    assert "2 of 2 held-out rows (100.0%)" in page


# --- Looking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "result"),
    [
        ({"answer": "top_up"}, [2, 5, 8, 11]),
        ({"license": "MIT", "split": "valid"}, []),
        ({"source": "clinic", "split": "valid"}, [4, 10]),
        ({"decision": "refused"}, [0, 1]),
        ({"decision": "kept", "q": "message 1"}, [10, 11]),
        ({"edited": "yes"}, [3]),
        ({"edited": "no", "split": "test"}, [5, 11]),
        ({"sort": "-score", "split": "test"}, [11, 5]),
        ({"sort": "score", "split": "test"}, [5, 11]),
        ({"sort": "source", "split": "train"}, [1, 3, 7, 9, 0, 2, 6, 8]),
        ({"sort": "answer", "decision": "kept", "split": "train"}, [7, 6, 9, 2, 3, 8]),
        ({"sort": "-length", "decision": "kept", "split": "train"}, [7, 6, 9, 2, 3, 8]),
        ({"sort": "length", "decision": "kept", "split": "train"}, [2, 3, 8, 6, 9, 7]),
        ({"answer": "no_row_has_it_any_more"}, []),
    ],
)
def test_rows_are_filtered_and_sorted(as_bob, alice, draft, requested, result):
    curation.decide_rows(actor=alice, version=draft, chosen=ids_of(draft, 0, 1), decision="refused")
    row = draft.rows.get(position=3)
    curation.edit_row(actor=alice, row=row, input="another", answer="top_up")
    if requested == {"answer": "top_up"}:
        result = [2, 3, 5, 8, 11]
    response = as_bob.get(url("dataset", draft), requested)
    assert positions(response) == result


def test_the_page_says_what_waits_how_it_spreads_and_what_freezing_does(as_bob, draft):
    page = " ".join(text_of(as_bob.get(url("dataset", draft))).split())
    for words in (
        "This draft waits for your review",
        "12 of 12 rows are kept",
        "Training begins at once",
        "Labels",
        "Characters of the input",
        "11–25",
        "All 12 that match",
    ):
        assert words in page


def test_a_frozen_dataset_offers_no_deed_on_its_rows(as_bob, alice, draft):
    builds.freeze_and_train(actor=alice, version=draft)
    page = text_of(as_bob.get(url("dataset", draft)))
    assert "Make a draft of it" in page
    assert 'name="rows"' not in page
    assert "Freeze and train" not in page
    assert "are for reading" in text_of(as_bob.get(url("dataset_row", draft, *ids_of(draft, 0))))


def test_a_draft_is_downloaded_as_its_kept_rows(as_bob, alice, draft):
    curation.decide_rows(
        actor=alice, version=draft, chosen=RowFilter(split="train"), decision="refused"
    )
    lines = b"".join(as_bob.get(url("dataset_jsonl", draft)).streaming_content).splitlines()
    assert len(lines) == 4
    refused = as_bob.get(url("dataset_parquet", draft))
    assert refused.status_code == 400
    assert "A draft has no file dataset.parquet yet" in refused.content.decode()


def test_text_of_edited_rows_is_escaped(as_bob, alice, org, draft):
    draft.run.intent = {"task_kind": "generate"}
    draft.run.save()
    row = draft.rows.get(position=0)
    curation.edit_row(actor=alice, row=row, input=HOSTILE, answer=HOSTILE)
    for address in (url("dataset", draft), url("dataset_row", draft, row.id)):
        assert HOSTILE not in text_of(as_bob.get(address))


def test_a_draft_asks_as_much_for_fifty_rows_as_for_twelve(
    as_bob, draft, django_assert_num_queries
):
    with CountQueries() as few:
        as_bob.get(url("dataset", draft))
    DatasetRow.objects.bulk_create(make_row(draft, number) for number in range(12, 90))
    with django_assert_num_queries(len(few)):
        assert "1–50 of 90" in text_of(as_bob.get(url("dataset", draft)))


# --- Deeds ----------------------------------------------------------------------------------------


def test_ticked_rows_are_refused_and_the_filter_stays(as_bob, draft):
    address = f"{url('dataset_rows', draft)}?split=train&sort=-score"
    response = as_bob.post(address, {"do": "refuse", "rows": ids_of(draft, 0, 1)}, follow=True)
    assert said(response) == "2 rows are now refused."
    assert response.request["QUERY_STRING"] == "split=train&sort=-score"
    assert list(draft.rows.filter(decision="refused").values_list("position", flat=True)) == [0, 1]


def test_all_that_match_are_those_of_the_query_string(as_bob, draft):
    as_bob.post(f"{url('dataset_rows', draft)}?source=banking", {"do": "refuse", "all": "yes"})
    assert draft.rows.kept().filter(source_name="banking").count() == 0
    assert draft.rows.kept().count() == 6


def test_a_filter_that_does_not_hold_decides_nothing(as_bob, draft):
    address = f"{url('dataset_rows', draft)}?source=gone"
    response = as_bob.post(address, {"do": "refuse", "all": "yes"}, follow=True)
    assert "does not hold any more" in said(response)
    assert draft.rows.kept().count() == 12


def test_one_row_is_decided_by_the_button_beside_it(as_bob, draft):
    [row] = ids_of(draft, 7)
    other = ids_of(draft, 1)
    as_bob.post(url("dataset_rows", draft), {"one": f"{row}:refuse", "rows": other})
    assert list(draft.rows.filter(decision="refused").values_list("position", flat=True)) == [7]
    as_bob.post(url("dataset_rows", draft), {"one": f"{row}:keep"})
    assert draft.rows.kept().count() == 12


def test_rows_are_relabelled_and_their_words_replaced(as_bob, draft):
    relabel = {"do": "relabel", "rows": ids_of(draft, 0, 1), "answer": "top_up"}
    assert "2 rows are answered" in said(
        as_bob.post(url("dataset_rows", draft), relabel, follow=True)
    )
    replace = {"do": "replace", "all": "yes", "find": "lost_card", "replacement": "card_arrival"}
    assert said(as_bob.post(url("dataset_rows", draft), replace, follow=True)) == (
        "3 rows are changed."
    )


@pytest.mark.parametrize(
    ("requested", "stated"),
    [
        ({}, "Choose what to do"),
        ({"do": "explode"}, "Choose what to do"),
        ({"do": "refuse"}, "No row is chosen"),
        ({"do": "refuse", "rows": ["1; DROP", "²"]}, "Some of these rows are not in this dataset"),
        ({"one": "x:refuse"}, "Some of these rows are not in this dataset"),
        ({"one": "9999999999999999999999:keep"}, "Some of these rows are not in this dataset"),
        ({"do": "relabel", "all": "yes", "answer": "no_label"}, "does not fit the requirement"),
        ({"do": "replace", "all": "yes"}, "Say what to look for"),
    ],
)
def test_what_cannot_be_done_is_said_on_the_page(as_bob, draft, requested, stated):
    response = as_bob.post(url("dataset_rows", draft), requested, follow=True)
    assert response.status_code == 200
    assert stated in said(response)
    assert draft.rows.kept().count() == 12


def test_a_row_is_edited_in_its_form_and_restored(as_bob, draft):
    [row] = ids_of(draft, 0)
    address = url("dataset_row", draft, row)
    assert '<option value="lost_card" selected>' in text_of(as_bob.get(address))
    response = as_bob.post(address, {"input": "another", "answer": "top_up"}, follow=True)
    assert said(response) == "Row 0 is saved."
    assert "As it was selected" in text_of(as_bob.get(address))
    response = as_bob.post(address, {"restore": "yes"}, follow=True)
    assert said(response) == "Row 0 is as it was selected."
    assert draft.rows.get(id=row).input == "message 0"


def test_an_edit_that_is_refused_says_why_beside_its_field_and_keeps_what_was_typed(as_bob, draft):
    [row] = ids_of(draft, 0)
    requested = {"input": "Message 1", "answer": "top_up"}
    response = as_bob.post(url("dataset_row", draft, row), requested)
    assert response.context["form"].errors == {"input": ["Row 1 asks the same."]}
    assert "Message 1" in text_of(response)


def test_freezing_leads_to_the_model_and_its_training(as_bob, draft):
    response = as_bob.post(url("dataset_freeze", draft), follow=True)
    assert response.request["PATH_INFO"].endswith(f"/models/{draft.model_id}/")
    assert said(response) == "Dataset 1 is frozen with 12 rows. Training begins."
    assert Job.objects.filter(kind="train").count() == 1
    again = as_bob.post(url("dataset_freeze", draft), follow=True)
    assert "is frozen and never changes again" in said(again)


def test_a_draft_is_made_of_a_frozen_dataset_and_discarded(as_bob, alice, draft):
    builds.freeze_and_train(actor=alice, version=draft)
    response = as_bob.post(url("dataset_draft", draft), follow=True)
    assert said(response) == "Dataset 2 is a draft of dataset 1."
    as_bob.post(url("dataset_discard", DatasetVersion.objects.get(number=2)))
    assert DatasetVersion.objects.count() == 1


# --- The model's page -----------------------------------------------------------------------------


def test_the_models_page_says_that_a_draft_waits_and_where(as_bob, org, draft):
    page = text_of(as_bob.get(reverse("model", args=[org.slug, draft.model_id])))
    assert "waits for your review" in page
    assert url("dataset", draft) in page
    stages = text_of(as_bob.get(reverse("model_stages", args=[org.slug, draft.model_id])))
    assert "every 2s" not in stages


def test_the_mode_is_changed_on_the_models_page(as_bob, org, draft):
    address = reverse("model_curation", args=[org.slug, draft.model_id])
    as_bob.post(address, {"curation": "auto"})
    draft.model.refresh_from_db()
    assert draft.model.curation == "auto"
    assert as_bob.post(address, {"curation": "never"}).status_code == 400
