"""Pages and API of teachers: who sees and changes them, and that a key never comes back."""

from decimal import Decimal

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from distillation.models import Teacher, TeacherRun
from distillation.teachers import services
from distillation.tests.teachers import fake_teacher as fakes
from distillation.tests.teachers.conftest import work_off
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.testing import make_model

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/v1/teachers"
FIELDS = {
    "name": "Large", "kind": "endpoint", "base_url": "https://8.8.8.8/v1", "model_name": "large",
    "prompt_price": "1", "completion_price": "2", "currency": "EUR", "requests_per_minute": "60",
    "max_concurrent": "1", "api_key": fakes.KEY,
}  # fmt: skip


def runs_url(model):
    return f"/api/v1/models/{model.id}/teacher-runs"


def test_a_stranger_sees_and_uses_no_teacher(teacher, model, stranger, as_charlie):
    assert stranger.get(URL).json()["results"] == []
    for method in ("get", "patch", "delete"):
        assert getattr(stranger, method)(f"{URL}/{teacher.id}", {}).status_code == 404
    assert stranger.get(runs_url(model)).status_code == 404
    page = reverse("teacher", args=[teacher.org.slug, teacher.id])
    assert as_charlie.get(page).status_code == 404


def test_a_teacher_of_another_organisation_is_not_to_be_had(api, alice, model, charlie, fake):
    foreign = services.create_teacher(
        actor=charlie, org=charlie.organizations.get(), name="Theirs", base_url=fake.url,
        model_name="x", api_key="sk-theirs",
    )  # fmt: skip
    answer = api.post(runs_url(model), {"teacher": str(foreign.id)}, format="json")
    assert answer.status_code == 404
    assert not TeacherRun.objects.exists()


def test_what_the_operator_lends_is_used_by_all_and_changed_by_none(api, org, as_alice):
    lent = Teacher.objects.create(
        name="House", is_shared=True, base_url="http://10.0.0.7/v1", model_name="m", api_key="sk-op"
    )
    Teacher.objects.create(name="Not lent", base_url="http://10.0.0.7/v1", model_name="m")
    [listed] = api.get(URL).json()["results"]
    assert (listed["name"], listed["is_own"], listed["has_key"]) == ("House", False, True)
    assert api.patch(f"{URL}/{lent.id}", {"terms": "x"}, format="json").status_code == 403
    assert api.delete(f"{URL}/{lent.id}").status_code == 403
    page = as_alice.get(reverse("teacher", args=[org.slug, lent.id])).content.decode()
    assert "Change it" not in page


def test_a_member_sees_teachers_and_changes_none(teacher, api_for, bob, as_bob, org):
    api = api_for(bob)
    assert api.get(URL).json()["results"][0]["name"] == "Fake"
    assert api.post(URL, FIELDS, format="json").status_code == 403
    assert "Add a teacher" not in as_bob.get(reverse("teachers", args=[org.slug])).content.decode()


def test_a_key_is_written_and_never_returned(api, org, as_alice):
    made = api.post(URL, FIELDS, format="json")
    assert made.status_code == 201, made.json()
    assert made.json()["has_key"] is True
    assert "api_key" not in made.json()
    teacher = Teacher.objects.get()
    assert teacher.api_key.open() == fakes.KEY
    page = as_alice.get(reverse("teacher", args=[org.slug, teacher.id])).content.decode()
    for text in (made.content.decode(), page, str(list(AuditEntry.objects.values()))):
        assert fakes.KEY not in text


def test_a_key_is_never_sent_to_an_address_that_it_was_not_given_for(teacher, alice, org, api):
    moved = {"base_url": "https://8.8.4.4/v1"}
    answer = api.patch(f"{URL}/{teacher.id}", moved, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "key_needed")
    kept = Teacher.objects.get(id=teacher.id)
    assert kept.base_url == teacher.base_url
    answer = api.patch(f"{URL}/{teacher.id}", moved | {"api_key": "sk-new"}, format="json")
    assert answer.status_code == 200
    assert Teacher.objects.get(id=teacher.id).api_key.open() == "sk-new"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:11434/v1", "http://169.254.169.254/latest", "http://10.1.2.3/v1", "ftp://x"],
)
def test_no_address_within_the_house_is_a_teacher_of_an_organisation(org, alice, url):
    with pytest.raises(UserFacingError) as refused:
        services.create_teacher(
            actor=alice, org=org, name="Inner", base_url=url, model_name="llama"
        )
    assert refused.value.code == "url_refused"
    assert not Teacher.objects.exists()


def test_a_name_is_given_once(teacher, alice, org, fake):
    with pytest.raises(Conflict, match="already"):
        services.create_teacher(
            actor=alice, org=org, name="Fake", base_url=fake.url, model_name="x"
        )


def test_a_connection_is_tested_in_plain_words(teacher, fake, api):
    url = f"{URL}/{teacher.id}/test"
    assert api.post(url).json() == {
        "is_ok": True, "message": "Fake answers.", "models": ["fake-large"],
    }  # fmt: skip
    fake.plays.append(fakes.refuses(401))
    refused = api.post(url).json()
    assert (refused["is_ok"], "does not accept the key" in refused["message"]) == (False, True)
    fake.plays.append(fakes.refuses(503))
    assert "gave no answer: HTTP 503" in api.post(url).json()["message"]
    Teacher.objects.filter(id=teacher.id).update(model_name="fake-small")
    assert "does not list “fake-small”" in api.post(url).json()["message"]


def test_a_dry_run_sends_nothing_and_says_what_it_would_take(api, model, teacher, fake):
    body = {"teacher": str(teacher.id), "rows": 100, "dry_run": True}
    answer = api.post(runs_url(model), body, format="json")
    assert answer.status_code == 201
    assert answer.json()["estimate"]["requests"] == 14 + 7 + 7
    assert not TeacherRun.objects.exists()
    assert fake.requests == []


def test_a_run_is_started_seen_and_cancelled_over_the_api(api, model, teacher):
    body = {"teacher": str(teacher.id), "rows": 30, "budget": {"requests": 50, "cost": "1.5"}}
    run = api.post(runs_url(model), body, format="json").json()["run"]
    assert (run["state"], run["max_requests"], run["max_cost"]) == ("queued", 50, "1.500000")
    again = api.post(runs_url(model), body, format="json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "teacher_at_work")
    url = f"{runs_url(model)}/{run['id']}"
    assert api.post(f"{url}/cancel").json()["state"] == "cancelled"
    assert api.get(url).json()["error_code"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"action": "label"}, "inputs"),
        ({"action": "label", "inputs": ["x" * 20_001]}, "inputs"),
        ({"action": "rewrite"}, "source"),
        ({"rows": 0}, "rows"),
        ({"rows": 10**9}, "rows"),
        ({"action": "invent"}, "action"),
    ],
)
def test_what_cannot_be_done_is_refused_at_its_field(api, model, teacher, body, param):
    answer = api.post(runs_url(model), {"teacher": str(teacher.id)} | body, format="json")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)


def test_the_page_shows_an_estimate_then_starts(as_alice, model, teacher, org):
    url = reverse("model_teacher", args=[org.slug, model.id])
    assert "Ask a teacher" in as_alice.get(url).content.decode()
    body = {"teacher": teacher.id, "action": "write", "rows": "40"}
    page = as_alice.post(url, body).content.decode()
    assert "Start and pay for it" in page
    assert "Outputs may train models." in page
    assert not TeacherRun.objects.exists()
    started = as_alice.post(url, body | {"confirm": "1"})
    run = TeacherRun.objects.get()
    assert started.url == reverse("teacher_run", args=[org.slug, model.id, run.id])


def test_the_page_of_a_run_says_what_was_thrown_away_and_what_it_cost(
    run_of, fake, as_alice, org, model
):
    fake.plays.append(fakes.says('{"rows": [{"input": "The sink is full", "output": "Hm."}]}'))
    run = run_of(rows=20)
    page = as_alice.get(reverse("teacher_run", args=[org.slug, model.id, run.id])).content.decode()
    assert "not in the asked form" in page
    assert "The sink is full" in page
    assert "USD" in page
    assert "hx-get" not in page.split('id="teacher-run"')[1].split(">")[0]


def test_a_teacher_is_added_and_changed_on_its_pages(as_alice, org):
    as_alice.post(reverse("teachers", args=[org.slug]), FIELDS)
    teacher = Teacher.objects.get()
    assert teacher.api_key.open() == fakes.KEY
    changed = {k: v for k, v in FIELDS.items() if k != "api_key"} | {"terms": "No training."}
    as_alice.post(reverse("teacher", args=[org.slug, teacher.id]), changed)
    teacher.refresh_from_db()
    assert (teacher.terms, teacher.api_key.open()) == ("No training.", fakes.KEY)
    as_alice.post(reverse("teacher_delete", args=[org.slug, teacher.id]))
    assert not Teacher.objects.exists()


@pytest.mark.parametrize("field", ["requests", "tokens"])
def test_a_budget_beyond_what_is_stored_is_refused(api, as_alice, org, model, teacher, field):
    asked = {"teacher": str(teacher.id), "rows": 1, "budget": {field: 2**31}}
    assert api.post(runs_url(model), asked, format="json").status_code == 400
    typed = {"teacher": teacher.id, "action": "write", "rows": 1, f"max_{field}": 10**30}
    page = reverse("model_teacher", args=[org.slug, model.id])
    assert as_alice.post(page, typed | {"confirm": "1"}).status_code == 200
    assert not TeacherRun.objects.exists()


def test_prices_and_money_beyond_what_is_stored_are_refused(as_alice, org, model, teacher):
    page = reverse("teachers", args=[org.slug])
    assert as_alice.post(page, FIELDS | {"prompt_price": "999999999999"}).status_code == 200
    typed = {"teacher": teacher.id, "action": "write", "rows": 1, "max_cost": "999999999999"}
    page = reverse("model_teacher", args=[org.slug, model.id])
    assert as_alice.post(page, typed | {"confirm": "1"}).status_code == 200
    assert not TeacherRun.objects.exists()


def test_a_budget_of_no_money_is_not_twice_the_estimate(alice, model, teacher):
    draft = services.RunDraft(rows=1, budget=services.Budget(cost=Decimal(0)))
    run = services.start_run(actor=alice, model=model, teacher=teacher, draft=draft)
    assert run.max_cost == 0


def test_an_estimate_beyond_what_is_stored_is_a_budget_as_well(alice, model, teacher):
    Teacher.objects.filter(id=teacher.id).update(completion_price="999999")
    teacher.refresh_from_db()
    draft = services.RunDraft(rows=20_000)
    run = services.start_run(actor=alice, model=model, teacher=teacher, draft=draft)
    assert run.max_cost == Decimal("999999.999999")


def test_money_is_limited_where_only_prompts_cost(alice, fake, model, teacher):
    Teacher.objects.filter(id=teacher.id).update(completion_price=0)
    teacher.refresh_from_db()
    draft = services.RunDraft(rows=20, budget=services.Budget(cost=Decimal("0.000001")))
    run = services.start_run(actor=alice, model=model, teacher=teacher, draft=draft)
    assert work_off(run).spent["requests"] == 0


def test_a_teacher_that_is_added_for_a_model_leads_back_to_it(as_alice, org, model, charlie):
    asking = reverse("model_teacher", args=[org.slug, model.id])
    teachers = f"{reverse('teachers', args=[org.slug])}?model={model.id}"
    assert teachers in as_alice.get(asking).content.decode()
    page = as_alice.post(teachers, FIELDS, follow=True).content.decode()
    assert f'href="{asking}"' in page
    teacher = reverse("teacher", args=[org.slug, Teacher.objects.get().id])
    foreign = make_model(charlie.organizations.get(), name="Not for others")
    for unknown in (foreign.id, "nonsense", ""):
        page = as_alice.get(teacher, {"model": unknown})
        assert page.status_code == 200
        assert "Ask it for" not in page.content.decode()
