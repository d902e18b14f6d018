"""A teacher writes rows: they are checked, paid for once, and say where they come from."""

import pytest

from distillation.models import CorpusExample, ModelSource
from distillation.pipeline.provenance import Provenance

pytestmark = pytest.mark.django_db(transaction=True)


def test_rows_that_pass_become_a_source_of_the_model(run_of, fake, model):
    run = run_of(rows=40)
    assert run.job.state == "succeeded", run.job.error_text
    rows = CorpusExample.objects.filter(source=run.source)
    assert (rows.count(), run.row_count, run.source.kind) == (40, 40, "teacher")
    assert ModelSource.objects.filter(model=model, source=run.source).exists()
    said = Provenance.from_json(rows[0].provenance)
    assert (said.labelled_by, said.action, said.who) == ("teacher", "write", "fake-large")
    assert "verdict" in said.checked_by
    assert said.cost > 0
