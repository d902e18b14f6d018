"""Rows of any origin become a source of the organisation, and say who or what labelled them."""

import pytest

from distillation.model_data import services
from distillation.model_data.storing import NewRow, store_rows
from distillation.models import CorpusExample, ImportRun, ModelSource, SourceDataset
from distillation.pipeline.provenance import Provenance
from distillation.tests.imports.test_known_vectors import CountingEmbedder
from modelstation.testing import make_model, make_org

pytestmark = pytest.mark.django_db


def stored(org, rows, **fields):
    run = ImportRun.objects.create(org=org, origin="labelled here")
    kind = SourceDataset.Kind.LABELLED
    wanted = {"kind": kind, "name": "own inputs", "origin": "labelled here"} | fields
    return store_rows(run=run, rows=lambda: rows, embedder=CountingEmbedder, **wanted)


def test_a_stored_row_says_who_labelled_it_and_how_surely():
    org = make_org("Acme")
    said = Provenance(labelled_by="classifier", confidence=0.93, checked_by=("schema",))
    _, source = stored(org, [NewRow("my drain is blocked", "plumbing", said)])
    [row] = CorpusExample.objects.filter(source=source)
    assert Provenance.from_json(row.provenance) == said
    assert (source.org, source.kind, source.row_count) == (org, "labelled", 1)


def test_rows_that_are_blank_or_there_already_are_counted_not_stored():
    org = make_org("Acme")
    run, _ = stored(org, [NewRow("a leak", "plumbing"), NewRow("", "plumbing")])
    assert (run.rows_added, run.rows_rejected) == (1, 1)
    run, source = stored(org, [NewRow("a leak", "plumbing"), NewRow("no light", "electrical")])
    assert (run.rows_added, run.rows_duplicate, source.row_count) == (1, 1, 2)


def test_a_provenance_names_a_known_labeller():
    with pytest.raises(ValueError, match="labelled_by must be one of person"):
        Provenance(labelled_by="a crystal ball")


def test_a_source_is_used_once_and_given_back():
    model = make_model(make_org("Acme"))
    source = SourceDataset.objects.create(org=model.org, name="own", license="own data")
    for _ in range(2):
        services.use_source(actor=None, model=model, source=source)
    assert ModelSource.objects.filter(model=model).count() == 1
    assert services.stop_using(actor=model.created_by, model=model, source=source)
    assert not services.stop_using(actor=model.created_by, model=model, source=source)
