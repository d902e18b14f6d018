"""The same text is embedded once, and never because of what another organisation holds."""

import hashlib
import json

import numpy as np
import pytest

from distillation.imports import loading
from distillation.imports.reading.rows import ReadOptions
from distillation.models import CorpusExample
from distillation.tests.pipeline.rows import WordsEmbedder
from modelstation.testing import make_org

pytestmark = pytest.mark.django_db


class CountingEmbedder(WordsEmbedder):
    def __init__(self):
        self.requested = []

    def embed(self, texts, *, on_batch=None):
        self.requested += texts
        if on_batch:
            on_batch(len(texts))
        return super().embed(texts)

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]


@pytest.fixture
def load(tmp_path):
    """`load(name, pairs, org=…)` imports input/answer pairs; returns the texts it embedded."""

    def imported(name, pairs, org=None, on_rows=lambda _: None):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps({"input": i, "output": o}) for i, o in pairs))
        embedder = CountingEmbedder()
        origin = loading.file_origin(path, ReadOptions(source=name, license="MIT"))
        loading.load(origin, embedder=lambda: embedder, org=org, on_rows=on_rows)
        return embedder.requested

    return imported


def test_a_text_of_another_organisation_is_embedded_as_if_it_were_not_there(load):
    acme, rival = make_org("Acme"), make_org("Rival")
    load("secret", [("our merger plan", "yes")], rival)
    assert load("own", [("our merger plan", "no")], acme) == ["our merger plan"]
    assert load("public", [("our merger plan", "perhaps")]) == ["our merger plan"]


def test_a_text_of_a_public_or_an_own_source_is_not_embedded_again(load):
    acme = make_org("Acme")
    load("public", [("red cat", "pet")])
    load("first", [("blue whale", "wild")], acme)
    again = [("red cat", "animal"), ("blue whale", "animal"), ("green bird", "animal")]
    assert load("second", again, acme) == ["green bird"]
    for row in CorpusExample.objects.filter(source__name="second"):
        text = row.messages[0]["content"]
        np.testing.assert_allclose(
            row.embedding, WordsEmbedder().embed([text])[0], atol=1e-3, err_msg=text
        )


def test_rows_of_one_import_with_the_same_text_share_its_vector(load, monkeypatch):
    monkeypatch.setattr(loading, "CHUNK_ROWS", 2)
    stated = []
    pairs = [("red cat", "a"), ("red cat", "b"), ("red cat", "c"), ("blue whale", "d")]
    assert load("pets", pairs, on_rows=stated.append) == ["red cat", "blue whale"]
    assert sum(stated) == 4
    rows = CorpusExample.objects.filter(messages__0__content="red cat")
    assert {bytes(row.text_hash) for row in rows} == {hashlib.sha256(b"red cat").digest()}
    assert len({tuple(row.embedding) for row in rows}) == 1


def test_texts_are_told_apart_by_their_letters_alone(load):
    load("one", [("Red cat", "a")])
    assert load("two", [("red cat", "a"), ("red  cat", "b")]) == ["red cat", "red  cat"]
