"""What each source is for, and a new model to start from."""

import gzip
import json

import pytest
from django.urls import reverse

from distillation.corpus.gallery import cards, purpose_of
from distillation.corpus.sources import STARTER_FILE
from distillation.models import CorpusExample, ModelSource, SourceDataset
from models_app.drafts import ModelDraft
from models_app.forms import parse_pairs
from models_app.models import CustomModel
from modelstation.testing import make_base

pytestmark = pytest.mark.django_db


def source_with(pairs, name="own", org=None, **fields):
    source = SourceDataset.objects.create(
        org=org, name=name, license="MIT", state="ready", row_count=len(pairs)
    )
    for number, (text, answer) in enumerate(pairs):
        CorpusExample.objects.create(
            source=source,
            content_hash=f"{number:064}",
            license="MIT",
            tokens=5,
            embedding=[1.0] + [0.0] * 383,
            messages=[
                {"role": "user", "content": text},
                {"role": "assistant", "content": answer},
            ],
            **fields,
        )
    return source


LABELLED = [(f"a leak in flat {n}", ["plumbing", "other"][n % 2]) for n in range(12)]


def test_every_starter_source_has_a_card_that_makes_a_valid_draft():
    with gzip.open(STARTER_FILE, "rt", encoding="utf-8") as lines:
        names = {json.loads(line)["source"] for line in lines}
    assert names == cards().keys()
    for card in cards().values():
        ModelDraft(name=card.title, requirement=card.requirement, policy=card.policy)


def test_a_source_of_labels_says_them_and_gives_examples_of_each():
    purpose = purpose_of(source_with(LABELLED, language="en"))
    assert purpose.labels == ["other", "plumbing"]
    assert purpose.languages == ["English"]
    draft = purpose.draft()
    assert draft["requirement"] == "Label each input with one of: other, plumbing."
    assert {pair["output"] for pair in parse_pairs(draft["examples"])} == {"other", "plumbing"}


def test_a_source_of_json_says_its_keys():
    pairs = [(f"note {n}", json.dumps({"title": "a", "day": str(n)})) for n in range(4)]
    assert purpose_of(source_with(pairs)).keys == ["title", "day"]


def test_an_empty_source_has_a_purpose_too():
    assert purpose_of(source_with([])).sample is None


def test_the_gallery_shows_the_cards_of_what_is_loaded(as_alice, org):
    source_with(LABELLED, name="starter_sentiment")
    page = as_alice.get(reverse("gallery", args=[org.slug])).content.decode()
    assert "Tell whether a customer is happy" in page
    assert "Route helpdesk tickets" not in page


def test_a_source_of_an_organisation_cannot_pose_as_a_card(as_alice, org):
    source_with(LABELLED, name="starter_sentiment", org=org)
    page = as_alice.get(reverse("gallery", args=[org.slug])).content.decode()
    assert "Tell whether a customer is happy" not in page


def test_a_card_fills_the_form_and_its_source_is_used_by_the_model(as_alice, org):
    make_base()
    source = source_with(LABELLED)
    page = as_alice.get(reverse("model_new", args=[org.slug]), {"source": source.id})
    form = page.context["form"]
    assert "plumbing" in form.initial["requirement"]
    data = {name: value for name, value in form.initial.items() if value}
    data |= {"rows": "60", "source": str(source.id), "step": "create"}
    shown = as_alice.post(reverse("model_understood", args=[org.slug]), data | {"step": ""})
    intent = {f"intent-{n}": v or "" for n, v in shown.context["form"].initial.items()}
    as_alice.post(reverse("model_understood", args=[org.slug]), data | intent)
    assert ModelSource.objects.get().source == source
    assert ModelSource.objects.get().model == CustomModel.objects.get()


def test_a_strangers_source_fills_no_form(as_alice, org, charlie):
    other = charlie.memberships.get().org
    source = source_with(LABELLED, org=other)
    url = reverse("model_new", args=[org.slug])
    assert as_alice.get(url, {"source": source.id}).status_code == 404


def test_sources_are_searched_by_what_they_are_for(as_alice, org):
    source_with(LABELLED, name="repairs")
    source_with([("what is two and two?", "4")], name="sums")
    page = as_alice.get(reverse("sources", args=[org.slug]), {"q": "plumbing"}).content.decode()
    assert "repairs" in page
    assert "sums" not in page
