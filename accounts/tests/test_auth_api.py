import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.services import create_organization
from modelstation.testing import PASSWORD, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    return APIClient(enforce_csrf_checks=True)


def log_in(api, user, password=PASSWORD):
    return api.post("/auth/login", {"email": user.email, "password": password}, format="json")


def test_a_log_in_tells_who_one_is_and_starts_a_session(api, org, bob):
    answer = log_in(api, bob)

    assert answer.status_code == 200
    assert answer.json() == api.get("/auth/me").json()
    assert answer.json()["user"]["email"] == bob.email
    assert answer.json()["organizations"] == [
        {"id": str(org.id), "name": "Acme", "slug": "acme", "role": "member"}
    ]


def test_a_wrong_password_is_401(api, alice):
    answer = log_in(api, alice, "wrong")

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_login"
    assert api.get("/auth/me").status_code == 401


def test_an_unknown_address_is_told_the_same_as_a_wrong_password(api, alice):
    body = {"email": "nobody@example.org", "password": "wrong"}

    unknown = api.post("/auth/login", body, format="json")

    assert unknown.json() == log_in(api, alice, "wrong").json()


def test_guessing_is_slowed_down(api, alice):
    codes = [log_in(api, alice, "wrong").status_code for _ in range(6)]

    assert codes == [401] * 5 + [429]
    assert log_in(api, alice).status_code == 429


def test_an_inactive_account_is_not_let_in(api, alice):
    alice.is_active = False
    alice.save()

    answer = log_in(api, alice)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "account_inactive"


def test_an_unconfirmed_address_is_not_let_in_where_it_must_be_confirmed(
    api, alice, settings, mailoutbox
):
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"

    answer = log_in(api, alice)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "email_not_verified"
    assert len(mailoutbox) == 1
    assert api.get("/auth/me").status_code == 401


@pytest.mark.parametrize("body", [{}, {"email": "no address", "password": "x"}, [], {"email": 1}])
def test_a_malformed_log_in_is_400(api, body):
    answer = api.post("/auth/login", body, format="json")

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_form_of_another_site_cannot_log_anybody_in(api, alice):
    answer = api.post("/auth/login", {"email": alice.email, "password": PASSWORD})

    assert answer.status_code == 415


def test_a_log_out_needs_the_csrf_token_and_ends_the_session(api, alice):
    log_in(api, alice)
    assert api.post("/auth/logout").status_code == 403

    answer = api.post("/auth/logout", headers={"X-CSRFToken": api.cookies["csrftoken"].value})

    assert answer.status_code == 204
    assert api.get("/auth/me").status_code == 401


def test_anonymous_gets_401_and_is_told_how_to_come_in(api):
    answer = api.get("/auth/me")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_session_names_its_organisation_in_a_header(as_bob, org, bob):
    own = create_organization(actor=bob, name="Bobs own")

    def org_of(**headers):
        return as_bob.get("/auth/me", headers=headers).json()["organization"]["slug"]

    assert org_of() == "acme"
    assert org_of(**{"X-Organization": own.slug}) == own.slug


def test_a_session_cannot_name_the_organisation_of_others(as_charlie, org):
    answer = as_charlie.get("/auth/me", headers={"X-Organization": org.slug})

    assert answer.status_code == 404


def test_without_any_organisation_one_is_still_somebody():
    client = Client()
    client.force_login(make_user("new@example.org"))

    assert client.get("/auth/me").json()["organization"] is None
    answer = client.get("/api/v1/members")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_organization")
