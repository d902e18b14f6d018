import json
import uuid

import pytest

from distillation.models import DatasetVersion, DistillationRun
from modelstation.core.jobs import jobs
from modelstation.core.models import Job, JobEvent
from modelstation.testing import make_model, make_version
from training.models import EvaluationRun, EvaluationScore, TrainingRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(org):
    return make_model(org)


@pytest.fixture
def run(org, model):
    return make_run(org, model)


@pytest.fixture
def evaluation(org, model, artifacts_dir):
    version = make_version(model)
    job = jobs.submit(kind="evaluate", org=org, subject_id=model.id)
    evaluation = EvaluationRun.objects.create(
        org=org,
        job=job,
        model=model,
        version=version,
        metric="exact_match",
        verdict="pass",
        folder="e",
    )
    for subject, score in (("base", 0.1), ("tuned", 0.9)):
        EvaluationScore.objects.create(
            run=evaluation, subject=subject, metric="exact_match", score=score
        )
    (artifacts_dir / "e").mkdir(parents=True)
    lines = "".join(json.dumps({"row": number}) + "\n" for number in range(5))
    (artifacts_dir / "e" / "rows.jsonl").write_text(lines)
    return evaluation


def make_run(org, model):
    distil, train = (
        jobs.submit(kind=kind, org=org, subject_id=model.id) for kind in ("distil", "train")
    )
    Job.objects.filter(id=distil.id).update(state="succeeded")
    distillation = DistillationRun.objects.create(org=org, model=model, job=distil)
    dataset = DatasetVersion.objects.create(
        org=org,
        model=model,
        run=distillation,
        number=1,
        digest="",
        system_prompt="",
        row_count=1,
        folder="d",
    )
    run = TrainingRun.objects.create(org=org, job=train, model=model, dataset_version=dataset)
    for step in (1, 2, 3):
        JobEvent.emit(train.id, "metrics", data={"step": step, "loss": 3.0 / step})
    return run


def test_a_stranger_gets_404_for_runs_and_evaluations(stranger, run, evaluation):
    for method, address in (
        ("get", f"/api/v1/runs/{run.id}"),
        ("post", f"/api/v1/runs/{run.id}/cancel"),
        ("get", f"/api/v1/evaluations/{evaluation.id}"),
        ("get", f"/api/v1/evaluations/{evaluation.id}/rows"),
    ):
        response = getattr(stranger, method)(address)
        assert response.status_code == 404, address
        assert response.json()["error"]["code"] == "not_found"
    assert stranger.get("/api/v1/runs").json()["results"] == []
    assert stranger.get("/api/v1/evaluations").json()["results"] == []
    assert not Job.objects.filter(state="cancelled").exists()


def test_a_run_shows_its_curve_from_a_given_step_on(api, run):
    whole = api.get(f"/api/v1/runs/{run.id}").json()
    rest = api.get(f"/api/v1/runs/{run.id}?after_step=2").json()

    assert [(point["step"], point["loss"]) for point in whole["points"]] == [
        (1, 3.0),
        (2, 1.5),
        (3, 1.0),
    ]
    assert [point["step"] for point in rest["points"]] == [3]
    assert whole["job"]["stage"] == "waiting"


@pytest.mark.parametrize("step", ["-1", "two", "9" * 40])
def test_a_step_that_is_no_number_is_refused(api, run, step):
    response = api.get(f"/api/v1/runs/{run.id}?after_step={step}")

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "after_step"


def test_runs_are_listed_by_model(api, run):
    def listed(model_id):
        return [row["id"] for row in api.get(f"/api/v1/runs?model={model_id}").json()["results"]]

    assert listed(run.model_id) == [str(run.id)]
    assert listed(uuid.uuid4()) == []


def test_the_list_takes_as_many_queries_for_many_runs_as_for_one(
    api, org, run, django_assert_num_queries
):
    for number in range(3):
        make_run(org, make_model(org, name=f"M{number}"))
    api.get("/api/v1/runs")

    with django_assert_num_queries(3):  # token, membership, runs with their jobs
        assert len(api.get("/api/v1/runs").json()["results"]) == 4


def test_a_run_is_cancelled_once(api, run):
    assert api.post(f"/api/v1/runs/{run.id}/cancel").json()["job"]["state"] == "cancelled"

    again = api.post(f"/api/v1/runs/{run.id}/cancel")

    assert again.status_code == 409
    assert again.json()["error"]["code"] == "not_building"


def test_an_evaluation_shows_base_beside_tuned(api, evaluation):
    body = api.get(f"/api/v1/evaluations/{evaluation.id}").json()

    assert body["verdict"] == "pass"
    assert [(score["subject"], score["score"]) for score in body["scores"]] == [
        ("base", 0.1),
        ("tuned", 0.9),
    ]


def test_evaluated_rows_come_in_pages(api, evaluation):
    address = f"/api/v1/evaluations/{evaluation.id}/rows"

    first = api.get(f"{address}?limit=3").json()
    second = api.get(f"{address}?limit=3&after={first['next_after']}").json()

    assert [row["row"] for row in first["results"] + second["results"]] == [0, 1, 2, 3, 4]
    assert second["next_after"] is None


def test_a_page_of_no_rows_is_refused(api, evaluation):
    """It would end where it began: whoever follows `next_after` would ask for ever."""
    response = api.get(f"/api/v1/evaluations/{evaluation.id}/rows?limit=0")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "limit"


def test_an_evaluation_that_has_not_ended_has_no_rows_yet(api, evaluation):
    EvaluationRun.objects.filter(id=evaluation.id).update(folder="")

    assert api.get(f"/api/v1/evaluations/{evaluation.id}/rows").json() == {
        "results": [],
        "next_after": None,
    }
