"""Rows of a dataset say who or what labelled them: on the page, in the card, by the API."""

import pytest
from django.urls import reverse

from distillation.datasets.cards import facts_of_version
from distillation.models import DatasetRow
from distillation.pipeline.card import render_card
from distillation.pipeline.provenance import Provenance, tally
from distillation.tests.drafts import make_draft

SAID = [
    Provenance("person", "alice@example.org", 1.0),
    Provenance("classifier", "", 0.93),
    Provenance("teacher", "gpt-oss", action="write", prompt_version="3", cost=0.002),
    Provenance("teacher", "gpt-oss", action="write", prompt_version="3", cost=0.003),
]


@pytest.fixture
def draft(org):
    draft = make_draft(org, rows=6)
    for row, said in zip(draft.rows.order_by("position"), SAID, strict=False):
        DatasetRow.objects.filter(id=row.id).update(provenance=said.to_json())
    return draft


def test_rows_are_counted_by_who_labelled_them_without_the_names_of_people():
    teacher, person, classifier = tally(said.to_json() for said in SAID)
    assert (teacher.words, teacher.rows, teacher.cost) == ("a teacher (gpt-oss)", 2, 0.005)
    assert (person.words, person.who) == ("a person", "")
    assert classifier.rows == 1


def test_a_provenance_says_itself_in_words():
    assert SAID[2].words == "a teacher (gpt-oss), write by prompt 3, cost 0.0020"
    assert SAID[1].words == "a classifier trained on what people labelled, 93% sure"


@pytest.mark.django_db
def test_the_card_says_how_many_rows_a_teacher_wrote(draft):
    card = render_card(facts_of_version(draft))
    assert "2 of them were written or labelled by a teacher" in card
    assert "| a teacher (gpt-oss) | 2 | 0.0050 |" in card
    assert "alice@example.org" not in card


@pytest.mark.django_db
def test_a_card_of_rows_whose_sources_say_nothing_more_stays_short(org):
    card = render_card(facts_of_version(make_draft(org)))
    assert "selected from 2 sources for" in card
    assert "none was invented by a model" in card
    assert "Who labelled" not in card


@pytest.mark.django_db
def test_rows_are_filtered_by_who_labelled_them(as_alice, draft):
    url = reverse("dataset", args=[draft.org.slug, draft.id])
    page = as_alice.get(url, {"labelled_by": "teacher"})
    assert page.context["page"].paginator.count == 2
    assert "a teacher (gpt-oss)" in page.content.decode()


@pytest.mark.django_db
def test_the_api_shows_counts_and_each_rows_origin(api_for, alice, draft):
    api = api_for(alice)
    answer = api.get(f"/api/v1/datasets/{draft.id}").json()
    assert {"labelled_by": "teacher", "who": "gpt-oss", "rows": 2, "cost": 0.005} in answer[
        "labelled"
    ]
    rows = api.get(f"/api/v1/datasets/{draft.id}/rows", {"labelled_by": "classifier"}).json()
    assert [row["provenance"]["confidence"] for row in rows["results"]] == [0.93]
