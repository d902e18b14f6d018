import re

import pytest
from django.urls import reverse

from accounts.models import ApiToken
from accounts.services import create_token, revoke_token

pytestmark = pytest.mark.usefixtures("org")
TOKENS = "/o/acme/tokens/"


def revoke_url(token):
    return reverse("token_revoke", args=["acme", token.id])


def test_a_stranger_gets_404(as_charlie, org, alice):
    token, _ = create_token(actor=alice, org=org, name="nightly")

    assert as_charlie.get(TOKENS).status_code == 404
    assert as_charlie.post(revoke_url(token)).status_code == 404


def test_a_token_is_shown_once(as_alice, client, org):
    page = as_alice.post(TOKENS, {"name": "nightly"})
    secret = re.search(r"ms_\w{38}", page.content.decode())[0]

    assert "no-store" in page["Cache-Control"]
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    assert secret not in as_alice.get(TOKENS).content.decode()


def test_a_token_may_end_by_itself(as_alice, org):
    as_alice.post(TOKENS, {"name": "a", "expires_in_days": "30"})
    as_alice.post(TOKENS, {"name": "b"})

    token = ApiToken.objects.get(name="a")
    assert (token.expires_at - token.created_at).days in (29, 30)
    assert ApiToken.objects.get(name="b").expires_at is None


def test_a_token_needs_a_name(as_alice, org):
    page = as_alice.post(TOKENS, {"name": " "})

    assert "This field is required" in page.content.decode()
    assert not ApiToken.objects.exists()


def test_a_member_sees_and_revokes_only_their_own(as_bob, org, alice, bob):
    own, _ = create_token(actor=bob, org=org, name="bobs own")
    other, _ = create_token(actor=alice, org=org, name="alices own")

    assert list(as_bob.get(TOKENS).context["tokens"]) == [own]
    assert as_bob.post(revoke_url(own)).status_code == 302
    assert as_bob.post(revoke_url(other)).status_code == 403
    assert ApiToken.objects.get(revoked_at=None) == other


def test_an_owner_revokes_the_tokens_of_others(as_alice, org, bob):
    token, secret = create_token(actor=bob, org=org, name="bobs own")

    as_alice.post(revoke_url(token))

    answer = as_alice.get("/auth/me", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_revoked")


def test_the_list_takes_the_same_queries_whatever_its_length(
    as_alice, org, alice, django_assert_max_num_queries
):
    def queries():
        with django_assert_max_num_queries(20) as counted:
            as_alice.get(TOKENS)
        return len(counted)

    few = queries()
    for number in range(5):
        create_token(actor=alice, org=org, name=f"token {number}")
    token, _ = create_token(actor=alice, org=org, name="gone")
    revoke_token(actor=alice, token=token)

    assert queries() == few


def test_by_api_a_token_is_made_listed_and_revoked(api_for, client, org, bob):
    api = api_for(bob)

    made = api.post("/api/v1/tokens", {"name": "nightly", "expires_in_days": 30}, format="json")
    secret = made.json()["secret"]
    listed = api.get("/api/v1/tokens").json()["results"]

    assert made.status_code == 201
    assert [token["name"] for token in listed] == ["nightly", "test"]
    assert "secret" not in listed[0]
    assert api.delete(f"/api/v1/tokens/{made.json()['id']}").status_code == 204
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    assert api.get(f"/api/v1/tokens/{made.json()['id']}").json()["is_active"] is False


def test_by_api_a_member_cannot_touch_the_tokens_of_others(api_for, org, alice, bob):
    token, _ = create_token(actor=alice, org=org, name="alices own")

    assert api_for(bob).get(f"/api/v1/tokens/{token.id}").status_code == 403
    assert api_for(bob).delete(f"/api/v1/tokens/{token.id}").status_code == 403


def test_by_api_a_token_of_another_organisation_is_404(api_for, org, alice, charlie):
    token, _ = create_token(actor=alice, org=org, name="alices own")
    stranger = api_for(charlie, org=charlie.organizations.get())

    assert stranger.delete(f"/api/v1/tokens/{token.id}").status_code == 404
    assert stranger.get("/api/v1/tokens").json()["results"][0]["name"] == "test"
