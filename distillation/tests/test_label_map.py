"""The table from a source's labels to the user's: pure, then as people edit it."""

import pytest
from django.urls import reverse

from distillation.label_map import label_table, rules_with
from distillation.models import DatasetVersion, DistillationRun
from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.testing import make_model, make_org

LABELS = ["lost_card", "card_arrival", "top_up"]


def fact(label, mapped_to, how, rows=10, source="clinc150", similarity=0.0):
    return {
        "source": source,
        "label": label,
        "rows": rows,
        "mapped_to": mapped_to,
        "how": how,
        "similarity": similarity,
    }


FACTS = [
    fact("report_lost_card", "lost_card", "meaning", 40, similarity=0.83),
    fact("card arrival", "card_arrival", "name", 30),
    fact("play_music", "", "", 20),
    fact("lost_card", "lost_card", "same", 90, source="banking77"),
]


def rule(label, mapped_to, source="clinc150"):
    return {"source": source, "label": label, "mapped_to": mapped_to}


def test_lines_come_with_most_rows_first_and_tell_what_is_left_out_or_missing():
    table = label_table(FACTS, LABELS)
    assert [line.rows for line in table.lines] == [90, 40, 30, 20]
    assert [line.label for line in table.left_out] == ["play_music"]
    assert table.missing == ["top_up"]
    assert [line.how_in_words for line in table.lines] == ["the same", "by meaning", "by name", ""]


def test_a_decision_made_since_stands_over_what_the_run_did():
    table = label_table(FACTS, LABELS, [rule("play_music", "top_up"), rule("card arrival", "")])
    stated = {line.label: (line.mapped_to, line.how, line.is_new) for line in table.lines}
    assert stated["play_music"] == ("top_up", "hand", True)
    assert stated["card arrival"] == ("", "hand", True)
    assert stated["report_lost_card"] == ("lost_card", "meaning", False)
    assert table.missing == ["card_arrival"]


def test_only_what_was_changed_becomes_a_rule_and_older_rules_stay():
    older = [rule("gone", "top_up", "hwu64"), rule("play_music", "top_up")]
    table = label_table(FACTS, LABELS, older)
    chosen = {("clinc150", "report_lost_card"): "", ("clinc150", "card arrival"): "card_arrival"}
    assert rules_with(older, table, chosen) == [
        rule("play_music", "top_up"),
        rule("report_lost_card", ""),
        rule("gone", "top_up", "hwu64"),
    ]


# --- as people see it -----------------------------------------------------------------------------


@pytest.fixture
def run(org):
    return make_run(make_model(org, status="ready"))


def make_run(model, facts=FACTS):
    job = Job.objects.create(org=model.org, kind="distil", queue="distil", subject_id=model.id)
    run = DistillationRun.objects.create(
        org=model.org, job=job, model=model, intent={"labels": LABELS}, label_map=facts
    )
    DatasetVersion.objects.create(
        org=model.org, model=model, run=run, number=model.dataset_versions.count() + 1,
        digest="d", system_prompt="Label.", row_count=0, folder="d",
    )  # fmt: skip
    return run


def url(name, *args, org="acme"):
    return reverse(name, args=[org, *args])


def sent(page, changes, **more):
    """Return the page's form, with other choices for some labels."""
    form = {"run": str(page.context["run"].id)}
    for line, field in page.context["form"].rows:
        form[field.html_name] = changes.get(line.label, field.value())
    return form | more


def test_a_stranger_sees_and_changes_nothing(as_charlie, run):
    address = url("model_labels", run.model_id)
    assert as_charlie.get(address).status_code == 404
    assert as_charlie.post(address, {"run": str(run.id), "line_0": ""}).status_code == 404
    assert CustomModel.objects.get().intent_edits == {}


def test_a_model_without_labels_has_no_such_page(as_bob, org):
    model = make_model(org)
    make_run(model, facts=[])
    assert as_bob.get(url("model_labels", model.id)).status_code == 404
    assert "Labels of the sources" not in as_bob.get(url("model", model.id)).content.decode()


@pytest.mark.parametrize("name", ["model", "dataset"])
def test_the_table_stands_on_the_models_and_the_datasets_page(as_bob, run, name):
    subject = run.model_id if name == "model" else run.dataset_versions.get().id
    page = " ".join(as_bob.get(url(name, subject)).content.decode().split())
    for stated in (
        "report_lost_card",
        "by meaning",
        "0.83",
        "left out",
        "1 of your 3 labels has no",
    ):
        assert stated in page
    assert url("model_labels", run.model_id) in page


def test_choices_become_rules_and_the_next_build_uses_them(as_bob, run):
    address = url("model_labels", run.model_id)
    changes = {"play_music": "top_up", "report_lost_card": ""}
    as_bob.post(address, sent(as_bob.get(address), changes))
    model = CustomModel.objects.get()
    expected = [rule("play_music", "top_up"), rule("report_lost_card", "")]
    assert model.intent_edits == {"label_map": expected}
    assert model.status == "ready"
    assert "with the next build" in as_bob.get(address).content.decode()

    response = as_bob.post(address, sent(as_bob.get(address), {}, build="1"))
    assert response.url == url("model", model.id)
    model.refresh_from_db()
    assert (model.status, model.intent_edits) == ("pending", {"label_map": expected})


def test_a_choice_that_is_no_label_is_refused(as_bob, run):
    address = url("model_labels", run.model_id)
    response = as_bob.post(address, sent(as_bob.get(address), {"play_music": "nonsense"}))
    assert "none of the labels" in response.content.decode()
    assert CustomModel.objects.get().intent_edits == {}


def test_a_table_of_an_older_run_is_not_saved(as_bob, run):
    address = url("model_labels", run.model_id)
    old = sent(as_bob.get(address), {"play_music": "top_up"})
    make_run(run.model, facts=FACTS[:2])
    page = as_bob.post(address, old, follow=True)
    assert "Distilled again meanwhile" in page.content.decode()
    assert CustomModel.objects.get().intent_edits == {}


def test_only_the_left_out_labels_can_be_shown(as_bob, run):
    page = as_bob.get(url("model_labels", run.model_id), {"show": "left_out"})
    assert [line.label for line, _ in page.context["form"].rows] == ["play_music"]


def test_a_long_table_is_paged_and_asks_the_database_no_more(
    as_bob, org, django_assert_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    first = make_run(make_model(org, name="Few"))
    with CaptureQueriesContext(connection) as few:
        as_bob.get(url("model_labels", first.model_id))
    many = [fact(f"label {n}", "", "", rows=n) for n in range(120)]
    second = make_run(make_model(org, name="Many"), many)
    with django_assert_num_queries(len(few)):
        page = as_bob.get(url("model_labels", second.model_id), {"page": 3})
    assert [line.rows for line, _ in page.context["form"].rows] == list(range(19, -1, -1))


def test_labels_of_others_are_not_found_under_ones_own_organisation(as_charlie, charlie, run):
    make_org("Third")
    own = charlie.organizations.get().slug
    assert as_charlie.get(url("model_labels", run.model_id, org=own)).status_code == 404
