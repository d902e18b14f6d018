"""From a requirement and own rows to an encoder that is measured: the product's own command."""

import json

import pytest
from django.core.management import call_command

from models_app.gateway.paths import engine_paths
from models_app.models import CustomModel
from models_app.serving.encoder.engine import EncoderEngine
from models_app.serving.engine import GenerationConfig
from modelstation.core.jobs.kinds import run_task
from modelstation.core.models import JobEvent
from training.export import services as exports
from training.models import EvaluationRun, TrainingRun
from training.tests.encoder.rows import tickets

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


PAGES = (
    "models/{model}/", "models/{model}/training-plan/", "models/{model}/playground/",
    "models/{model}/lineage/", "models/{model}/contract/", "datasets/{dataset}/", "runs/{run}/",
    "evaluations/{evaluation}/", "evaluations/{evaluation}/print/", "versions/{version}/export/",
)  # fmt: skip


@pytest.fixture
def built(org, tiny, tmp_path, settings):
    settings.EVALUATION_PROBES = True
    rows = tmp_path / "tickets.csv"
    lines = [f'"{text}","{label}"' for text, label in tickets(200)]
    rows.write_text("text,label\n" + "\n".join(lines))
    call_command(
        "build_model",
        requirement="Our tenants report what is broken. Sort each report into one of our queues.",
        org=org.slug,
        data=[rows],
        columns="text,label",
        no_corpus=True,
        base="tiny",
        metric="exact_match",
        rows=150,
        yes=True,
    )
    return CustomModel.objects.get()


def test_labels_get_an_encoder_that_is_measured_goes_live_is_shown_and_exported(
    built, as_alice, api_for, alice
):
    version = built.versions.get()
    run = TrainingRun.objects.get(version=version)
    evaluation = EvaluationRun.objects.get(version=version)
    head, folder = engine_paths(version)

    assert list(version.artifacts) == ["encoder"]
    assert version.config["student"] == "encoder"
    assert "set of labels" in run.plan["reasons"]["student"]
    assert run.facts["valid_accuracy"] > 0.8
    assert built.status == "ready"
    assert evaluation.verdict == "pass"
    assert {score.subject: score.score > 0.8 for score in evaluation.scores.all()}["tuned"]
    assert built.live_version == version
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3e6
    logged = JobEvent.objects.filter(job=run.job, message__contains="on validation rows")
    assert logged.count() >= len(run.facts["trials"]) > 5

    answer = EncoderEngine(head).run(
        [{"role": "user", "content": "water everywhere under my sink"}], GenerationConfig()
    )
    assert answer.text == "Plumbing"
    assert json.loads((folder / "encoder.json").read_text())["labels"] == [
        "Electrical", "Heating", "Plumbing"
    ]  # fmt: skip

    # Everything that shows a version shows this kind too.
    dataset = built.dataset_versions.get()
    ids = {"model": built, "dataset": dataset, "run": run, "evaluation": evaluation}
    ids = {name: row.id for name, row in ids.items()} | {"version": version.id}
    pages = {}
    for page in PAGES:
        response = as_alice.get(f"/o/{built.org.slug}/{page.format(**ids)}")
        assert response.status_code == 200, page
        pages[page] = response.content.decode()
    assert "An encoder is trained" in pages["models/{model}/training-plan/"]
    assert "valid_accuracy" not in pages["runs/{run}/"]
    assert "Accuracy on validation rows" in pages["runs/{run}/"]
    assert "Encoder with its client" in pages["versions/{version}/export/"]
    plan = api_for(alice).get(f"/api/v1/models/{built.id}/training-plan").json()
    assert (plan["student"], plan["refusals"]) == ("encoder", [])

    export = exports.submit_export(actor=alice, version=version)
    run_task("export", str(export.job_id))
    export.refresh_from_db()
    assert export.artifacts == ["encoder"]
    assert export.certificate["artifacts"][0]["agreement"] == 1.0
