"""The quality of a source, as page and by API: tenancy first, then what it finds."""

import pytest
from django.urls import reverse

from accounts.services import create_token
from distillation.corpus import quality
from distillation.models import CorpusExample, SourceDataset
from distillation.tests.pipeline.rows import WordsEmbedder
from modelstation import testing

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert('row')</script>"
CARDS = [(f"my card is late by {n} days", "card_late", []) for n in range(5)]
MONEY = [(f"send a refund of {n} pounds", "refund", []) for n in range(5)]
ODD = [
    ("my card is late by 8 days", "Card Late", ["personal_data:email"]),
    ("send a refund of 8 pounds", "card_late", []),
    ("Send a refund of 8 pounds!", "refund", ["contains_markup", "personal_data:email"]),
    (HOSTILE, "refund", ["contains_markup"]),
]


def make_source(org=None, rows=(*CARDS, *MONEY, *ODD), name="tickets"):
    source = SourceDataset.objects.create(
        org=org, name=name, license="MIT", state="ready", row_count=len(rows)
    )
    vectors = WordsEmbedder().embed([requested for requested, *_ in rows])
    CorpusExample.objects.bulk_create(
        CorpusExample(
            source=source,
            content_hash=f"{number:03}",
            external_id=f"row-{number}",
            license="MIT",
            messages=[
                {"role": "user", "content": requested},
                {"role": "assistant", "content": answered},
            ],
            tokens=9,
            language="en",
            flags=flags,
            embedding=list(vector),
        )
        for number, ((requested, answered, flags), vector) in enumerate(
            zip(rows, vectors, strict=True)
        )
    )
    return source


def page_of(client, org, source, name="source_quality", query=""):
    response = client.get(reverse(name, kwargs={"org": org.slug, "source_id": source.id}) + query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_stranger_gets_404(as_charlie, org):
    source = make_source(org)
    url = reverse("source_quality", kwargs={"org": org.slug, "source_id": source.id})
    assert as_charlie.get(url).status_code == 404


def test_the_source_of_another_organisation_is_404_by_page_and_api(as_bob, bob, org, client):
    foreign = make_source(testing.make_org("Other"))
    url = reverse("source_quality", kwargs={"org": org.slug, "source_id": foreign.id})
    assert as_bob.get(url).status_code == 404
    assert api(client, bob, org, foreign).status_code == 404


def api(client, user, org, source):
    _, secret = create_token(actor=user, org=org, name="quality")
    url = reverse("api_source_quality", kwargs={"source_id": source.id})
    return client.get(url, headers={"Authorization": f"Bearer {secret}"})


def test_page_and_api_tell_flags_conflicts_labels_neighbours_and_duplicates(
    as_bob, bob, org, client
):
    source = make_source(org)
    page = page_of(as_bob, org, source)
    for words in ("personal data: email", "HTML tags", "a spelling of", "One input, several"):
        assert words in page

    result = api(client, bob, org, source).json()
    assert (result["rows"], result["sampled"], result["labels"]) == (14, 14, 2)
    assert [(flag["flag"], flag["rows"]) for flag in result["flags"]] == [
        ("contains_markup", 2),
        ("personal_data:email", 2),
    ]
    assert result["counts"] == {
        "duplicates": 1,
        "conflicts": 1,
        "label_problems": 1,
        "disagreements": 1,
    }
    [conflict], [problem] = result["conflicts"], result["label_problems"]
    assert {given["answer"] for given in conflict["answers"]} == {"card_late", "refund"}
    assert (problem["row"]["external_id"], problem["meant"]) == ("row-10", "card_late")
    assert result["disagreements"][0]["row"]["external_id"] == "row-11"
    [group] = result["duplicates"]
    assert (group["size"], group["representative"]["external_id"]) == (2, "row-11")


def test_what_rows_say_is_escaped_on_both_pages(as_bob, org):
    source = make_source(org, rows=[(HOSTILE, HOSTILE, ["contains_markup"])] * 1)
    make = [(HOSTILE, HOSTILE + "2", []), (HOSTILE, HOSTILE, []), (HOSTILE + "!", HOSTILE, [])]
    twins = make_source(org, rows=make, name="twins")
    for page in (
        page_of(as_bob, org, source),
        page_of(as_bob, org, twins),
        page_of(as_bob, org, source, "source", "?flag=contains_markup"),
        page_of(as_bob, org, source, "source", "?flag=" + HOSTILE),
    ):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page or "alert" not in page


def test_the_rows_of_a_source_can_be_kept_to_one_flag(as_bob, org):
    source = make_source(org)
    page = page_of(as_bob, org, source, "source", "?flag=contains_markup")
    assert "Send a refund of 8 pounds!" in page
    assert "my card is late by 1 days" not in page
    assert "No row of this source has" in page_of(as_bob, org, source, "source", "?flag=none")
    assert "No row of this source has" in page_of(as_bob, org, source, "source", "?flag=%00")
    assert "No row of this source has" in page_of(as_bob, org, source, "source", "?task=%00")


def test_a_large_source_is_judged_by_its_first_rows_by_hash(as_bob, org, monkeypatch):
    monkeypatch.setattr(quality, "SAMPLE_ROWS", 5)
    source = make_source(org)
    assert quality.source_quality(source).sampled == 5
    assert "5 of them, the first by content hash" in page_of(as_bob, org, source)


def test_an_empty_source_has_a_quality_page(as_bob, org):
    assert "No row was flagged" in page_of(as_bob, org, make_source(org, rows=[]))


def test_queries_do_not_grow_with_the_rows(as_bob, org, django_assert_max_num_queries):
    source = make_source(org)
    with django_assert_max_num_queries(7):
        page_of(as_bob, org, source)


def test_no_model_is_loaded_to_compare_rows():
    import subprocess
    import sys

    script = (
        "import distillation.pipeline.quality as q, numpy as np, sys;"
        "r = [q.QualityRow('a b c', 'x', np.ones(4) / 2)] * 4; q.quality_report(r);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
