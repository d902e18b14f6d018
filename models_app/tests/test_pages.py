"""The pages of models: whom they let in, what they say, and how often they ask the database."""

import io
import zipfile

import pytest
from django.urls import reverse

from models_app.models import CustomModel
from modelstation.core.jobs import jobs
from modelstation.core.models import Job, JobEvent, QueueHealth
from modelstation.testing import REQUIREMENT, make_base, make_model, make_org, make_version

PROMPT = "Answer with the label only."


@pytest.fixture
def model(org):
    return make_model(org, status="ready", system_prompt=PROMPT)


@pytest.fixture
def version(model, artifacts_dir):
    version = make_version(
        model,
        state="ready",
        system_prompt=PROMPT,
        dataset_digest="0" * 64,
        folder="versions/one",
        artifacts={"adapter": {}, "gguf": {}},
    )
    (artifacts_dir / "versions/one/adapter").mkdir(parents=True)
    (artifacts_dir / "versions/one/adapter/weights.bin").write_bytes(b"x" * 5000)
    return version


def url(name, *args, org="acme"):
    return reverse(name, args=[org, *args])


def entered(**changes):
    """What a browser sends from the form of a new model, filled in as little as possible."""
    make_base()
    fields = {"name": "Bank intents", "requirement": REQUIREMENT, "rows": "500"}
    return fields | {"base": "smollm2-135m-instruct"} | changes


# --- who may come in --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model", "model_stages"])
def test_a_stranger_gets_404_from_every_page_of_a_model(as_charlie, model, name):
    assert as_charlie.get(url(name, model.id)).status_code == 404


@pytest.mark.parametrize("name", ["model_delete", "model_cancel", "model_rebuild", "model_prompt"])
def test_a_stranger_gets_404_from_every_deed_on_a_model(as_charlie, model, name):
    assert as_charlie.post(url(name, model.id)).status_code == 404
    assert CustomModel.objects.filter(id=model.id).exists()


def test_a_model_is_not_found_under_ones_own_organisation_either(as_charlie, model):
    assert as_charlie.get(url("model", model.id, org="elsewhere")).status_code == 404


def test_a_stranger_cannot_download_or_publish_a_version(as_charlie, version):
    assert as_charlie.get(url("version_download", version.id, "adapter")).status_code == 404
    assert as_charlie.post(url("version_publish", version.id)).status_code == 404


def test_who_is_not_logged_in_is_sent_to_the_login(client, model):
    response = client.get(url("model", model.id))
    assert response.status_code == 302
    assert response.url.startswith(reverse("account_login"))


# --- a new model ------------------------------------------------------------------------------


def test_a_name_and_a_requirement_make_a_pending_model_with_its_job(as_bob, org):
    response = as_bob.post(url("model_new"), entered())
    model = CustomModel.objects.get()
    assert response.url == url("model", model.id)
    assert (model.org, model.status, model.rows) == (org, "pending", 500)
    assert Job.objects.get(subject_id=model.id).kind == "distil"


def test_examples_come_from_rows_arrows_and_json_alike(as_bob, org):
    typed = {"example_0_input": "hello", "example_0_output": "greeting"}
    bulk = 'where is it => card_arrival\n\n{"input": "a => b", "output": "other"}'
    as_bob.post(url("model_new"), entered(examples=bulk, **typed))
    assert CustomModel.objects.get().examples == [
        {"input": "hello", "output": "greeting"},
        {"input": "where is it", "output": "card_arrival"},
        {"input": "a => b", "output": "other"},
    ]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "required"),
        ("requirement", "label it", "too short"),
        ("rows", "3", "between 20 and"),
        ("metric", "beauty", "not one of the available choices"),
        ("base", "gpt-5", "not one of the available choices"),
        ("examples", "no arrow here", "Line 1 has no “=>”"),
        ("examples", '{"input": 1}', "Line 1 needs “input” and “output”"),
        ("examples", '\n{"input": ', "Line 2 is not valid JSON"),
        ("examples", "question => ", "Example 1 has no output"),
        ("examples", "a => b\n" * 51, "At most 50 examples, not 51"),
        ("test_rows", " => b", "Example 1 has no input"),
    ],
)
def test_an_error_stands_beside_its_field(as_bob, org, field, value, message):
    response = as_bob.post(url("model_new"), entered(**{field: value}))
    assert response.status_code == 200
    assert message in " ".join(response.context["form"].errors[field])
    assert f'id="id_{field}_error"' in response.content.decode()
    assert not CustomModel.objects.exists()


# --- the list ---------------------------------------------------------------------------------


def test_the_list_asks_the_database_equally_often_for_one_model_and_for_twenty(
    as_bob, org, django_assert_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    make_model(org)
    with CaptureQueriesContext(connection) as one:
        as_bob.get(url("models"))
    for number in range(20):
        make_model(org, name=f"Model {number}")
    with django_assert_num_queries(len(one)):
        as_bob.get(url("models"))


def test_the_list_is_searched_by_name_and_filtered_by_status(as_bob, org):
    make_model(org, name="Bank intents", status="ready")
    make_model(org, name="Bank letters", status="failed")
    make_model(org, name="Invoices", status="ready")
    response = as_bob.get(url("models"), {"q": "bank", "status": "ready"})
    assert [model.name for model in response.context["page"]] == ["Bank intents"]
    assert "No model matches" in as_bob.get(url("models"), {"q": "nothing"}).content.decode()


def test_the_list_shows_no_other_organisations_models(as_bob, org):
    make_model(make_org("Other"), name="Secret model")
    assert "Secret model" not in as_bob.get(url("models")).content.decode()


# --- the overview and its fragment ------------------------------------------------------------


def test_the_fragment_polls_while_work_goes_on_and_stops_when_it_has_ended(as_bob, org):
    model = make_model(org, status="training")
    address = url("model_stages", model.id)
    assert "hx-trigger" in as_bob.get(address).content.decode()
    CustomModel.objects.filter(id=model.id).update(status="ready")
    assert "hx-trigger" not in as_bob.get(address).content.decode()


def test_the_rest_of_the_page_travels_with_the_fragment_only_when_it_changed(as_bob, org):
    model = make_model(org, status="training")
    seen = as_bob.get(url("model", model.id)).context["overview"].fingerprint
    address = f"{url('model_stages', model.id)}?seen={seen}"
    assert "hx-swap-oob" not in as_bob.get(address).content.decode()
    CustomModel.objects.filter(id=model.id).update(status="ready")
    assert "hx-swap-oob" in as_bob.get(address).content.decode()


def test_a_running_stage_shows_step_loss_speed_and_time_left(as_bob, org):
    model = make_model(org, status="training")
    job = jobs.submit(kind="train", org=org, subject_id=model.id)
    jobs.claim(str(job.id))
    progress = {"step": 30, "total_steps": 120, "loss": 1.25, "tokens_per_second": 842.4}
    Job.objects.update(stage="train", progress=progress | {"eta_seconds": 200})
    page = as_bob.get(url("model_stages", model.id)).content.decode()
    for text in ("30 of 120 (25 %)", "1.250", "842 tokens/s", "3 min 20 s", 'value="25"'):
        assert text in page


def test_a_failed_model_says_why_and_what_to_do_but_shows_no_traceback(as_bob, org):
    model = make_model(org, status="failed", status_reason="not enough data: 12 rows")
    job = jobs.submit(kind="distil", org=org, subject_id=model.id)
    JobEvent.emit(job.id, "error", "not enough data", operator_detail="Traceback: secret")
    page = as_bob.get(url("model", model.id)).content.decode()
    assert "not enough data: 12 rows" in page
    assert "Build again" in page
    assert "Traceback" not in page


def test_a_second_build_does_not_show_the_first_ones_training_as_its_own(as_bob, org):
    model = make_model(org, status="pending")
    for kind in ("distil", "train", "distil"):
        jobs.submit(kind=kind, org=org, subject_id=model.id)
    stages = as_bob.get(url("model", model.id)).context["overview"].stages
    assert [stage.state for stage in stages] == ["queued", "waiting", "waiting"]


# --- deeds ------------------------------------------------------------------------------------


def test_the_system_prompt_is_edited_on_the_page_and_never_emptied(as_bob, model):
    as_bob.post(url("model_prompt", model.id), {"system_prompt": "Be brief."})
    as_bob.post(url("model_prompt", model.id), {"system_prompt": "  "})
    model.refresh_from_db()
    assert model.system_prompt == "Be brief."


def test_build_again_cancel_and_delete_are_one_press_each(as_bob, model):
    as_bob.post(url("model_rebuild", model.id))
    assert CustomModel.objects.get().status == "pending"
    as_bob.post(url("model_cancel", model.id))
    assert CustomModel.objects.get().status == "cancelled"
    assert as_bob.post(url("model_delete", model.id)).url == url("models")
    assert not CustomModel.objects.exists()


def test_a_version_is_made_live(as_bob, version):
    as_bob.post(url("version_publish", version.id))
    assert CustomModel.objects.get().live_version == version


def test_an_artifact_comes_as_a_zip(as_bob, version):
    response = as_bob.get(url("version_download", version.id, "adapter"))
    archive = zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))
    assert archive.testzip() is None
    assert archive.read("bank-intents-v1-adapter/weights.bin") == b"x" * 5000


@pytest.mark.parametrize("artifact", ["gguf", "nonsense"])
def test_an_artifact_that_is_not_there_is_404(as_bob, version, artifact):
    assert as_bob.get(url("version_download", version.id, artifact)).status_code == 404


# --- waiting, reviewing -----------------------------------------------------------------------


def test_a_waiting_model_says_when_no_worker_is_running(org, as_bob):
    model = make_model(org)
    jobs.submit(kind="distil", org=org, subject_id=model.id)
    page = as_bob.get(url("model", model.id)).content.decode()
    assert "No worker is running for the “distil” queue" in page

    QueueHealth.seen("distil")
    page = as_bob.get(url("model", model.id)).content.decode()
    assert "No worker is running" not in page


@pytest.mark.parametrize(("chosen", "kept"), [({}, "auto"), ({"curation": "review"}, "review")])
def test_a_new_model_says_whether_its_dataset_waits_for_a_review(as_alice, org, chosen, kept):
    make_base()
    asked = {"name": "Router", "requirement": REQUIREMENT, "base": "smollm2-135m-instruct"}
    as_alice.post(reverse("model_new", args=[org.slug]), asked | {"rows": 100} | chosen)
    assert CustomModel.objects.get(name="Router").curation == kept


@pytest.mark.parametrize(
    ("status", "said", "advice"),
    [
        ("not_passed", "It is built, and did not pass", "more or better rows"),
        ("undecided", "It is built, and undecided", "more held-out rows"),
    ],
)
def test_a_model_that_did_not_pass_is_shown_as_built_and_not_as_failed(
    as_bob, org, status, said, advice
):
    model = make_model(org, status=status, status_reason="exact_match is 80 %, not met.")
    page = as_bob.get(url("model", model.id)).content.decode()
    assert said in page
    assert advice in page
    assert "badge-bad" not in page
    label = CustomModel.Status(status).label
    assert f'<span class="badge badge-warn">{label}</span>' in page
    listed = as_bob.get(url("models"), {"status": status}).content.decode()
    assert model.name in listed
    assert label in listed
