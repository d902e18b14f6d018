"""Teachers label, rewrite and judge; cards say what they did."""

import json

import pytest

from distillation.datasets.cards import facts_of_version
from distillation.models import CorpusExample, SourceDataset
from distillation.pipeline.card import render_card
from distillation.pipeline.provenance import Provenance
from distillation.teachers import services
from distillation.tests.drafts import make_draft
from distillation.tests.teachers import fake_teacher as fakes

pytestmark = pytest.mark.django_db(transaction=True)
INPUTS = tuple(row["input"] for row in list(fakes.rows_of_all())[:30])


def refused(run):
    return {group["reason"]: group["rows"] for group in run.refused}


def test_own_inputs_are_labelled_by_agreeing_answers(run_of, fake):
    run = run_of(action="label", inputs=INPUTS)
    assert (run.job.state, run.row_count) == ("succeeded", 30)
    rows = CorpusExample.objects.filter(source=run.source)
    for row in rows:
        assert row.messages[-1]["content"] == fakes.label_of(row.messages[0]["content"])
        said = Provenance.from_json(row.provenance)
        assert (said.action, said.labelled_by) == ("label", "teacher")
        assert said.confidence > 0.5
    assert len(fake.requests) == 4  # two pages, twice: no third vote was needed


def test_an_input_whose_answers_differ_is_left_out(run_of, fake):
    said = []

    def fickle(text):
        said.append(text)
        if text != INPUTS[0]:
            return fakes.label_of(text)
        return ("plumbing", "electrical", "something else")[said.count(text) - 1]

    fake.output = fickle
    run = run_of(action="label", inputs=INPUTS)
    assert refused(run) == {"answers differ": 1}
    assert run.row_count == 29
    assert said.count(INPUTS[0]) == 3
    assert said.count(INPUTS[1]) == 2


def test_rows_of_another_source_are_rewritten(run_of, fake, org):
    source = source_of(org, [("Strom weg im Bad", "Elektro"), ("Wasser im Keller", "Rohr")])
    run = run_of(action="rewrite", source=source, rows=10)
    assert run.job.state == "succeeded", run.job.error_text
    [asked] = fake.of("rows")
    assert "Strom weg im Bad" in asked["messages"][-1]["content"]
    assert run.row_count == 2


def test_rows_that_are_there_are_judged_and_nothing_is_stored(run_of, fake, org):
    pairs = [(row["input"], row["output"]) for row in list(fakes.rows_of_all())[:20]]
    source = source_of(org, [*pairs, ("The tap of my aunt drips", "electrical")])
    fake.verdict = lambda row: fakes.label_of(row["input"]) == row["output"]
    run = run_of(action="judge", source=source, rows=100)
    assert run.job.state == "succeeded", run.job.error_text
    assert refused(run) == {"judged wrong again and again": 1}
    assert run.refused[0]["samples"][0]["input"] == "The tap of my aunt drips"
    assert (run.source, CorpusExample.objects.count()) == (None, 21)


def test_a_source_of_a_stranger_is_not_rewritten(api, charlie, model, teacher):
    foreign = source_of(charlie.organizations.get(), [("secret", "answer")])
    body = {"teacher": str(teacher.id), "action": "rewrite", "source": str(foreign.id)}
    answer = api.post(f"/api/v1/models/{model.id}/teacher-runs", body, format="json")
    assert answer.status_code == 404


def test_the_card_names_the_teacher_its_terms_and_its_cost(run_of, org, model):
    run = run_of(rows=20)
    version = make_draft(org, model=model)
    version.rows.update(source=run.source, source_name=run.source.name)
    card = render_card(facts_of_version(version))
    assert "none was invented by a model" not in card
    assert "| fake-large | write |" in card
    assert "Outputs may train models." in card
    assert f"{run.spent['cost']:.4f} USD" in card


def source_of(org, pairs):
    from distillation.model_data.storing import NewRow, store_rows
    from distillation.models import ImportRun
    from distillation.tests.imports.test_known_vectors import CountingEmbedder

    run = ImportRun.objects.create(org=org, origin="tests")
    _, source = store_rows(
        run=run, kind=SourceDataset.Kind.UPLOAD, name="given", origin="tests",
        rows=lambda: [NewRow(i, o) for i, o in pairs], embedder=CountingEmbedder,
    )  # fmt: skip
    return source


def test_an_estimate_says_what_it_will_take_before_anything_is_sent(model, teacher, fake):
    draft = services.RunDraft(rows=200)
    expected = services.estimate_run(teacher=teacher, model=model, draft=draft)
    assert expected.requests == 27 + 14 + 14
    assert expected.tokens > 10_000
    assert float(expected.cost) > 0
    assert fake.requests == []
    assert json.dumps(expected.to_json())
