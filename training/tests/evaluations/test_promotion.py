"""From verdicts to what is live: planted results, a person's word, and the way back."""

from datetime import timedelta

import pytest

from accounts.models import AuditEntry, EndMail
from models_app import services
from models_app.models import CustomModel, ModelVersion, Promotion
from models_app.versions import promotions
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.testing import make_version
from training.builds import ends
from training.builds import services as builds
from training.evaluations import services as evaluations
from training.models import EvaluationRun
from training.tests.planted_runs import end, make_job, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(org, bob):
    return testing.make_model(org, status="evaluating", built_by=bob)


def measured(verdict, live=None, forgotten=""):
    """Return what the evaluator answers for a version of known quality."""
    score = {"score": 0.8, "low": 0.7, "high": 0.9}
    outcome = {"sentence": f"The criterion: {verdict}.", "passed": verdict == "pass"}
    result = {"metric": "exact_match", "n_test": 40, "verdict": verdict}
    result |= {"base": score, "tuned": score, "baseline": {"score": 0.1}}
    result |= {"criteria": [outcome | {"outcome": verdict}], "live": live}
    result |= {"probes": {"note": forgotten}}
    return result


def gain(score, low, high):
    return {"score": 0.8, "difference": {"score": score, "low": low, "high": high}}


def finish(version, verdict, *, live=None, is_again=False, forgotten=""):
    """End an evaluation as its worker does; `live` is how the version did beside the live one."""
    model = CustomModel.objects.get(id=version.model_id)
    run = EvaluationRun.objects.create(
        org=version.org,
        job=make_job(model, "evaluate"),
        model=model,
        version=version,
        metric="exact_match",
        contract_digest="d" * 64,
        is_again=is_again,
        live={"version": str(model.live_version_id), "number": model.live_version.number}
        if model.live_version
        else {},
    )
    ends.finish_evaluation(run=run, folder="e", result=measured(verdict, live, forgotten))
    end(run.job, "succeeded")
    return run


def live_of(model):
    return CustomModel.objects.get(id=model.id).live_version


def state_of(model):
    return CustomModel.objects.values_list("status", "status_reason").get(id=model.id)


@pytest.fixture
def two_live(model, alice):
    """Version 1 was live, version 2 is."""
    for number in (1, 2):
        version = make_version(model, number)
        finish(version, "pass", live=gain(0.05, 0.01, 0.09) if number == 2 else None)
    return list(model.versions.order_by("number"))


# --- tenancy ------------------------------------------------------------------------------------


def test_a_stranger_moves_nothing(api_for, charlie, two_live, model):
    stranger = api_for(charlie, charlie.organizations.get())
    for method, address in (
        ("post", f"/api/v1/versions/{two_live[0].id}/publish"),
        ("post", f"/api/v1/versions/{two_live[0].id}/evaluate"),
        ("post", f"/api/v1/models/{model.id}/rollback"),
        ("get", f"/api/v1/models/{model.id}/promotions"),
    ):
        assert getattr(stranger, method)(address).status_code == 404, address
    assert live_of(model) == two_live[1]


def test_a_member_does_not_override_a_verdict(api_for, bob, model):
    version = make_version(model, 1)
    finish(version, "fail")
    response = api_for(bob).post(
        f"/api/v1/versions/{version.id}/publish",
        {"override": True, "reason": "It will do."},
        format="json",
    )
    assert response.status_code == 403
    assert live_of(model) is None


# --- planted outcomes ---------------------------------------------------------------------------


def test_a_pass_is_live_and_its_contract_is_noted(model):
    version = make_version(model, 1)
    run = finish(version, "pass")
    assert live_of(model) == version
    assert state_of(model) == ("ready", "")
    version.refresh_from_db()
    assert (version.state, version.contract_digest) == ("ready", "d" * 64)
    promotion = Promotion.objects.get()
    assert (promotion.actor, promotion.verdict, promotion.evaluation_id) == (None, "pass", run.id)


def test_what_was_forgotten_is_reported_of_a_version_that_passed(model):
    finish(make_version(model, 1), "pass", forgotten="General answers got worse.")
    assert state_of(model) == ("ready", "General answers got worse.")


@pytest.mark.parametrize(
    ("verdict", "status"), [("inconclusive", "undecided"), ("fail", "not_passed")]
)
def test_what_does_not_pass_is_not_live_and_says_why(model, verdict, status):
    version = make_version(model, 1)
    finish(version, verdict)
    assert live_of(model) is None
    assert state_of(model) == (status, f"The criterion: {verdict}.")
    version.refresh_from_db()
    assert (version.state, version.scores["verdict"]) == ("draft", verdict)
    assert not Promotion.objects.exists()


def test_a_failure_leaves_the_live_version_where_it_is(model):
    first, second = make_version(model, 1), make_version(model, 2)
    finish(first, "pass")
    finish(second, "fail", live=gain(0.0, -0.1, 0.1))
    assert live_of(model) == first
    status, reason = state_of(model)
    assert status == "not_passed"
    assert reason.endswith("Version 1 stays live.")


def test_a_drop_beyond_the_interval_blocks_a_version_that_passed(model, alice):
    first, second = make_version(model, 1), make_version(model, 2)
    finish(first, "pass")
    finish(second, "pass", live=gain(-0.08, -0.12, -0.03))

    assert live_of(model) == first
    status, reason = state_of(model)
    assert status == "not_passed"
    assert "-8.0 points (95 % interval -12.0 to -3.0)" in reason
    second.refresh_from_db()
    with pytest.raises(UserFacingError, match="scores less than version 1") as refused:
        promotions.publish_version(actor=alice, version=second)
    assert refused.value.code == "not_publishable"


def test_a_drop_within_the_interval_does_not_block(model):
    first, second = make_version(model, 1), make_version(model, 2)
    finish(first, "pass")
    finish(second, "pass", live=gain(-0.02, -0.06, 0.02))
    assert live_of(model) == second


def test_nothing_replaces_a_live_version_that_it_was_not_measured_beside(model, alice):
    first, second = make_version(model, 1), make_version(model, 2)
    finish(first, "pass")
    finish(second, "pass", live=None)
    assert live_of(model) == first
    status, reason = state_of(model)
    assert status == "undecided"
    assert "was not measured beside version 1" in reason
    second.refresh_from_db()
    promotions.publish_version(actor=alice, version=second)
    assert live_of(model) == second


# --- by a person's word -------------------------------------------------------------------------


def test_an_override_needs_a_reason_and_is_audited_with_verdict_and_reason(api_for, alice, model):
    version, api = make_version(model, 1), api_for(alice)
    finish(version, "inconclusive")
    address = f"/api/v1/versions/{version.id}/publish"

    plain = api.post(address)
    assert (plain.status_code, plain.json()["error"]["code"]) == (409, "not_publishable")
    assert plain.headers["x-should-retry"] == "false"
    silent = api.post(address, {"override": True}, format="json")
    assert (silent.status_code, silent.json()["error"]["param"]) == (400, "reason")
    assert live_of(model) is None

    said = api.post(address, {"override": True, "reason": "A pilot."}, format="json")
    assert (said.status_code, said.json()["is_live"]) == (200, True)
    assert state_of(model) == ("ready", "Version 1 is live by a person's word: A pilot.")
    entry = AuditEntry.objects.get(action="version.publish")
    assert entry.actor == alice
    assert (entry.data["verdict"], entry.data["reason"]) == ("inconclusive", "A pilot.")
    (line,) = api.get(f"/api/v1/models/{model.id}/promotions").json()["results"]
    assert (line["actor"], line["override_reason"]) == ("alice@example.org", "A pilot.")


def test_a_version_that_passed_needs_no_word(alice, two_live, model):
    promotions.publish_version(actor=alice, version=two_live[0], override_reason="No need.")
    newest = Promotion.objects.first()
    assert (newest.version, newest.override_reason) == (two_live[0], "")


def test_publishing_what_is_live_changes_nothing(alice, two_live):
    promotions.publish_version(actor=alice, version=two_live[1])
    assert Promotion.objects.count() == 2


# --- rolling back -------------------------------------------------------------------------------


def test_one_call_goes_back_to_what_was_live(api_for, bob, two_live, model):
    api = api_for(bob)
    back = api.post(f"/api/v1/models/{model.id}/rollback")
    assert (back.status_code, back.json()["number"], back.json()["is_live"]) == (200, 1, True)
    assert live_of(model) == two_live[0]
    entry = AuditEntry.objects.get(action="model.rollback")
    assert (entry.actor, entry.data["before"]) == (bob, 2)

    further = api.post(f"/api/v1/models/{model.id}/rollback")
    assert further.status_code == 409
    assert further.json()["error"]["code"] == "nothing_to_roll_back_to"
    kinds = [row.kind for row in Promotion.objects.all()]
    assert kinds == ["rollback", "promote", "promote"]


def test_rolling_back_goes_on_below_what_it_went_back_to(alice, two_live, model):
    third = make_version(model, 3)
    finish(third, "pass", live=gain(0.0, -0.1, 0.1))
    assert live_of(model) == third
    assert promotions.roll_back(actor=alice, model=model) == two_live[1]
    assert promotions.roll_back(actor=alice, model=model) == two_live[0]
    promotions.publish_version(actor=alice, version=third)
    assert promotions.roll_back(actor=alice, model=model) == two_live[0]


def test_a_rollback_asks_for_no_verdict(alice, two_live, model):
    ModelVersion.objects.filter(id=two_live[0].id).update(state="draft")
    assert promotions.roll_back(actor=alice, model=model) == two_live[0]


@pytest.mark.parametrize("name", ["versions", "promotions"])
def test_lists_take_as_many_queries_for_many_as_for_few(
    api_for, bob, two_live, model, name, django_assert_num_queries
):
    api, address = api_for(bob), f"/api/v1/models/{model.id}/{name}"
    for number in range(3, 8):
        version = make_version(model, number, state="ready")
        Promotion.objects.create(org=model.org, model=model, version=version)
    api.get(address)
    with django_assert_num_queries(4):  # token, membership, the model, its rows
        assert len(api.get(address).json()["results"]) == 7


# --- measured again -----------------------------------------------------------------------------


def test_the_requested_version_is_measured_again_and_not_the_newest(api_for, bob, two_live, model):
    make_dataset_of(model, two_live[0])
    answer = api_for(bob).post(f"/api/v1/versions/{two_live[0].id}/evaluate")

    assert answer.status_code == 201
    evaluation = EvaluationRun.objects.get(id=answer.json()["id"])
    assert answer.headers["Location"].endswith(f"/api/v1/evaluations/{evaluation.id}")
    assert evaluation.version == two_live[0]
    assert evaluation.contract_digest == CustomModel.objects.get(id=model.id).contract_digest
    assert evaluations.run_of(evaluation.job) == evaluation
    assert state_of(model)[0] == "evaluating"
    again = api_for(bob).post(f"/api/v1/versions/{two_live[1].id}/evaluate")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_building")


def test_an_evaluation_requested_twice_with_one_key_is_one(api_for, bob, two_live, model):
    make_dataset_of(model, two_live[0])
    api, address = api_for(bob), f"/api/v1/versions/{two_live[0].id}/evaluate"
    first, second = (api.post(address, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert EvaluationRun.objects.filter(is_again=True).count() == 1
    listed = api.get(f"/api/v1/evaluations?version={two_live[0].id}").json()["results"]
    assert [row["is_again"] for row in listed] == [True, False]


def test_measuring_again_does_not_undo_a_rollback(alice, two_live, model):
    promotions.roll_back(actor=alice, model=model)
    finish(two_live[1], "pass", live=gain(0.05, 0.01, 0.09), is_again=True)
    assert live_of(model) == two_live[0]
    assert state_of(model) == ("ready", "")


def test_a_live_version_that_fails_when_measured_again_stays_live_and_says_so(two_live, model):
    mails = EndMail.objects.count()
    finish(two_live[1], "fail", is_again=True)
    assert live_of(model) == two_live[1]
    assert state_of(model) == ("ready", "Version 2, measured again: The criterion: fail.")
    assert EndMail.objects.count() == mails


def test_an_evaluation_again_that_is_cancelled_leaves_the_model_ready(alice, two_live, model):
    make_dataset_of(model, two_live[0])
    evaluation = builds.evaluate_again(actor=alice, version=two_live[0])
    jobs.request_cancel(evaluation.job)
    assert state_of(model)[0] == "ready"


def test_a_version_whose_rows_are_gone_is_not_measured_again(alice, two_live):
    with pytest.raises(UserFacingError, match="held-out rows") as refused:
        builds.evaluate_again(actor=alice, version=two_live[0])
    assert refused.value.code == "no_dataset"


def test_an_evaluation_queued_again_by_an_operator_measures_the_same_version(alice, two_live):
    make_dataset_of(two_live[0].model, two_live[0])
    first = builds.evaluate_again(actor=alice, version=two_live[0])
    jobs.request_cancel(first.job)
    first.job.refresh_from_db()
    again = evaluations.run_of(jobs.requeue(first.job))
    assert (again.version, again.is_again) == (two_live[0], True)


def test_a_training_that_ends_asks_for_the_evaluation_of_its_version(model):
    from training.encoder.spec import Trained
    from training.runs import services as training_services

    run = make_run(model)
    services.begin_stage(model.id, CustomModel.Status.TRAINING)
    run.refresh_from_db()
    result = Trained({}, {}, {})
    training_services.finish_training(run=run, folder="f", result=result)
    evaluation = EvaluationRun.objects.get()
    assert (evaluation.version, evaluation.is_again) == (run.version, False)
    assert evaluation.job.kind == "evaluate"
    assert evaluation.metric


def make_dataset_of(model, version):
    """As if its training had come before its evaluation."""
    run = make_run(model, "succeeded")
    type(run).objects.filter(id=run.id).update(version=version)
    Job.objects.filter(id=run.job_id).update(created_at=run.created_at - timedelta(days=1))


def test_an_evaluation_again_that_breaks_takes_nothing_from_what_was_built(model):
    version = make_version(model, 1)
    finish(version, "inconclusive")
    job = jobs.submit(kind="evaluate", org=model.org, subject_id=model.id)
    EvaluationRun.objects.create(
        org=model.org, job=job, model=model, version=version, metric="exact_match", is_again=True
    )

    def breaks(job, lease):
        raise UserFacingError("The model server is full.", code="full")

    jobs.run_job(str(job.id), breaks)
    assert state_of(model) == (
        "undecided",
        "It was not measured again. The model server is full.",
    )
