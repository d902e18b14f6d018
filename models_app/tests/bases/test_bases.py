"""The page and the API of bases, the recommendation, and fetching from a terminal."""

import shutil

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import AuditEntry
from models_app.bases.fetching import submit_fetch
from models_app.bases.offers import mirror_catalogue
from models_app.drafts import ModelDraft
from models_app.models import BaseFetch, CustomModel, FoundationModel
from models_app.tests.tiny_bases import make_tiny_base
from modelstation import testing
from modelstation.core.artifacts import verify
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job
from modelstation.lm.bases.catalog import BASES
from training.builds.services import create_model

pytestmark = pytest.mark.django_db
SMALL, CODER = "smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct"
SQL = "Write one SQL query (SQLite) that answers a question about the tables which are given."


@pytest.fixture
def catalogue(settings, tmp_path):
    """All bases known, the smallest on the installation."""
    settings.MODELS_DIR = tmp_path / "models"
    folder = settings.MODELS_DIR / SMALL
    folder.mkdir(parents=True)
    for name in ("config.json", "model-q8_0.gguf"):
        (folder / name).write_text("{}")
    mirror_catalogue()


@pytest.fixture
def large_machine(monkeypatch):
    from modelstation.lm.bases.recommend import Machine

    machine = Machine(memory_bytes=64 * 10**9, cores=16, gpu_memory_bytes=80 * 10**9)
    monkeypatch.setattr("models_app.bases.recommending.this_machine", lambda: machine)


# --- the catalogue --------------------------------------------------------------------------------


def test_the_catalogue_has_permissive_pinned_bases_from_135m_to_1_7b():
    assert len(BASES) >= 8
    assert {base.license for base in BASES.values()} <= {"apache-2.0", "mit"}
    assert all(len(base.revision) == 40 and int(base.revision, 16) for base in BASES.values())
    sizes = sorted(base.parameters for base in BASES.values())
    assert (sizes[0], sizes[-1]) == (134_515_008, 1_720_574_976)


def test_rows_mirror_the_catalogue_and_say_what_is_on_the_disk(catalogue, settings):
    rows = {row.name: row for row in FoundationModel.objects.all()}
    assert rows.keys() == BASES.keys()
    assert [name for name, row in rows.items() if row.is_installed] == [SMALL]
    shutil.rmtree(settings.MODELS_DIR / SMALL)
    mirror_catalogue()
    assert not FoundationModel.objects.filter(is_installed=True).exists()


# --- page and API ---------------------------------------------------------------------------------


def test_a_stranger_sees_and_fetches_nothing(catalogue, org, as_charlie):
    fetch = submit_fetch(actor=org.memberships.first().user, org=org, name="qwen3-0.6b")
    assert as_charlie.get(reverse("bases", args=[org.slug])).status_code == 404
    for url in (
        reverse("base_fetch", args=[org.slug, "qwen3-1.7b"]),
        reverse("base_fetch_cancel", args=[org.slug, fetch.id]),
    ):
        assert as_charlie.post(url).status_code == 404
    assert BaseFetch.objects.count() == 1


def test_the_page_lists_each_base_and_offers_what_is_not_here(catalogue, org, as_alice):
    page = as_alice.get(reverse("bases", args=[org.slug])).content.decode()

    for base in BASES.values():
        assert base.name in page
    assert page.count(">Fetch</button>") == len(BASES) - 1
    assert "hx-trigger" not in page


def test_a_member_sees_bases_and_fetches_none(catalogue, org, as_bob, api_for, bob):
    page = as_bob.get(reverse("bases", args=[org.slug])).content.decode()
    assert ">Fetch</button>" not in page
    assert "Admins and owners" in page
    assert as_bob.post(reverse("base_fetch", args=[org.slug, CODER])).status_code == 403
    assert api_for(bob).post(f"/api/v1/bases/{CODER}/fetch").status_code == 403


def test_a_fetch_is_requested_watched_and_cancelled_on_the_page(catalogue, org, as_alice):
    url = reverse("bases", args=[org.slug])
    assert as_alice.post(reverse("base_fetch", args=[org.slug, CODER])).url == url
    fetch = BaseFetch.objects.select_related("job").get()
    assert (fetch.job.kind, fetch.job.queue) == ("fetch", "distil")
    waiting = as_alice.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "Waiting for a worker" in waiting
    assert 'hx-trigger="every 2s"' in waiting
    assert "<html" not in waiting
    progress = {"step": 10**9, "total_steps": 4 * 10**9}
    Job.objects.filter(pk=fetch.job_id).update(progress=progress, stage="download")
    Job.objects.filter(pk=fetch.job_id).update(error_text="")
    assert as_alice.post(reverse("base_fetch_cancel", args=[org.slug, fetch.id])).url == url
    assert Job.objects.get(pk=fetch.job_id).state == "cancelled"
    assert "hx-trigger" not in as_alice.get(url).content.decode()


def test_what_another_organisation_fetches_shows_without_its_name(
    catalogue, org, as_charlie, alice
):
    submit_fetch(actor=alice, org=org, name=CODER)
    own = reverse("bases", args=["elsewhere"])
    page = as_charlie.get(own).content.decode()
    assert "Being fetched" in page
    assert "Acme" not in page
    assert "cancel" not in page.lower().split("<main")[1]


def test_the_dashboard_names_a_live_fetch(catalogue, org, as_alice, alice):
    submit_fetch(actor=alice, org=org, name=CODER)
    page = as_alice.get(reverse("dashboard", args=[org.slug])).content.decode()
    assert f"Fetch of {CODER}" in page
    assert reverse("bases", args=[org.slug]) in page


def test_a_failed_fetch_says_why_on_the_page(catalogue, org, as_alice, alice):
    fetch = submit_fetch(actor=alice, org=org, name=CODER)
    ended = {"state": "failed", "error_code": "hub_unreachable", "error_text": "No way out."}
    Job.objects.filter(pk=fetch.job_id).update(**ended)
    page = as_alice.get(reverse("bases", args=[org.slug])).content.decode()
    assert "No way out." in page
    assert page.count(">Fetch</button>") == len(BASES) - 1  # it can be tried again


def test_the_page_needs_the_same_few_queries_however_many_fetches(
    catalogue, org, as_alice, alice, django_assert_max_num_queries
):
    for name in list(BASES)[1:6]:
        submit_fetch(actor=alice, org=org, name=name)
    with django_assert_max_num_queries(12):
        as_alice.get(reverse("bases", args=[org.slug]))


def test_the_api_fetches_and_says_how_far_it_is(catalogue, org, api_for, alice):
    api, url = api_for(alice), f"/api/v1/bases/{CODER}/fetch"
    assert api.get(url).status_code == 404
    made = api.post(url)
    assert (made.status_code, made.json()["state"]) == (201, "queued")
    Job.objects.update(progress={"step": 5, "total_steps": 9}, stage="download")
    shown = api.get(url).json()
    assert (shown["stage"], shown["bytes_done"], shown["bytes_total"]) == ("download", 5, 9)
    again = api.post(url)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_fetching")
    assert api.delete(url).json()["state"] == "cancelled"
    unknown, here = (api.post(f"/api/v1/bases/{name}/fetch") for name in ("gpt-9", SMALL))
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_base")
    assert (here.status_code, here.json()["error"]["code"]) == (409, "installed")


def test_the_api_lists_sizes_and_what_each_base_suits(catalogue, org, api_for, alice):
    listed = {row["name"]: row for row in api_for(alice).get("/api/v1/bases").json()["results"]}
    assert listed[CODER]["architecture"] == "qwen2"
    assert listed[CODER]["download_bytes"] > listed[CODER]["served_bytes"] > 10**9
    assert listed[CODER]["suits"].startswith("Code and SQL")


# --- what is recommended --------------------------------------------------------------------------


def test_a_model_without_a_base_starts_from_the_best_one_here(catalogue, org, alice, large_machine):
    model = create_model(actor=alice, org=org, draft=ModelDraft(name="m", requirement=SQL))
    assert model.base_id == SMALL
    shown = AuditEntry.objects.get(action="model.create").data
    assert CODER in shown["reason"]
    FoundationModel.objects.filter(name=CODER).update(is_installed=True)
    model = create_model(actor=alice, org=org, draft=ModelDraft(name="m", requirement=SQL))
    assert model.base_id == CODER


def test_the_users_choice_wins(catalogue, org, alice, large_machine):
    FoundationModel.objects.filter(name=CODER).update(is_installed=True)
    draft = ModelDraft(name="m", requirement=SQL, base=SMALL)
    assert create_model(actor=alice, org=org, draft=draft).base_id == SMALL


def test_a_base_above_the_size_limit_is_refused(catalogue, org, alice):
    FoundationModel.objects.filter(name=CODER).update(is_installed=True)
    draft = ModelDraft(name="m", requirement=SQL, base=CODER, max_size_mb=500)
    with pytest.raises(UserFacingError, match="more than 500 MB"):
        create_model(actor=alice, org=org, draft=draft)
    assert not CustomModel.objects.exists()


def test_the_api_says_what_is_recommended_and_why(catalogue, org, api_for, alice, large_machine):
    body = {"requirement": SQL, "max_size_mb": 800}
    shown = api_for(alice).post("/api/v1/bases/recommendation", body, format="json").json()
    assert shown["base"] == "qwen2.5-coder-0.5b-instruct"
    assert "more than 800" in shown["reason"]
    assert (shown["is_installed"], shown["installed"]) == (False, SMALL)
    assert not CustomModel.objects.exists()


def test_the_new_models_second_step_says_the_recommended_base(
    catalogue, org, as_alice, large_machine
):
    typed = {"name": "Queries", "requirement": SQL, "rows": "100"}
    page = as_alice.post(reverse("model_understood", args=[org.slug]), typed).content.decode()
    assert f"Recommended is {CODER}" in page
    assert f"Starts from {SMALL}" in page
    assert reverse("bases", args=[org.slug]) in page


# --- the terminal ---------------------------------------------------------------------------------


@pytest.fixture
def carried(tmp_path, monkeypatch, settings):
    settings.MODELS_DIR = tmp_path / "models"
    base = make_tiny_base(tmp_path / "stick", monkeypatch)
    return base, tmp_path / "stick"


def test_a_folder_that_was_carried_here_is_checked_and_installed(carried, settings):
    base, stick = carried
    call_command("fetch_base", base.name, "--from", str(stick))

    names = {entry["path"] for entry in verify(settings.MODELS_DIR / base.name)["files"]}
    assert {"model-q8_0.gguf", "model.safetensors"} < names
    assert "training_args.bin" not in names
    assert FoundationModel.objects.get(name=base.name).is_installed
    assert [path.name for path in settings.MODELS_DIR.iterdir()] == [base.name]


def test_a_carried_folder_with_links_or_other_sizes_is_refused(carried, settings, tmp_path):
    base, stick = carried
    (stick / "config.json").rename(tmp_path / "real.json")
    (stick / "config.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(CommandError, match="link"):
        call_command("fetch_base", base.name, "--from", str(stick))
    with pytest.raises(CommandError, match="not taken"):
        call_command("fetch_base", "qwen3-0.6b", "--from", str(copied_without_links(stick)))
    with pytest.raises(CommandError, match="not a folder"):
        call_command("fetch_base", base.name, "--from", str(tmp_path / "nowhere"))
    assert not list(settings.MODELS_DIR.iterdir())
    assert not FoundationModel.objects.filter(is_installed=True).exists()


def copied_without_links(folder):
    return shutil.copytree(folder, folder.with_name("copied"))


def test_a_hub_out_of_reach_is_said_in_the_terminal(carried, settings):
    settings.HF_ENDPOINT = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="--from FOLDER"):
        call_command("fetch_base", carried[0].name)


def test_operators_see_bases_and_their_fetches(catalogue, org, alice, client):
    submit_fetch(actor=alice, org=org, name=CODER)
    operator = testing.make_user("op@example.org", is_staff=True, is_superuser=True)
    client.force_login(operator)
    for model in ("foundationmodel", "basefetch"):
        page = client.get(reverse(f"admin:models_app_{model}_changelist")).content.decode()
        assert CODER in page
