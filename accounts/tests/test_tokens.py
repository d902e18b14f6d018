from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import tokens
from accounts.models import ApiToken, AuditEntry
from accounts.services import create_token, remove_member, revoke_token
from modelstation.testing import make_org


def test_a_secret_passes_its_own_checksum():
    assert tokens.looks_like_token(tokens.make_secret())


@pytest.mark.parametrize(
    "spoil", [lambda s: s[:-1], lambda s: s + "x", lambda s: "sk_" + s[3:], lambda s: s + "\n"]
)
def test_what_we_never_made_does_not_look_like_a_token(spoil):
    assert not tokens.looks_like_token(spoil(tokens.make_secret()))


def test_a_mistyped_character_is_caught_without_the_database():
    secret = tokens.make_secret()
    wrong = "a" if secret[10] != "a" else "b"

    assert not tokens.looks_like_token(secret[:10] + wrong + secret[11:])


def test_a_token_is_kept_only_as_a_hash(org, alice):
    token, secret = create_token(actor=alice, org=org, name="nightly")

    kept = "|".join(str(value) for value in ApiToken.objects.values_list().get(pk=token.pk))
    assert secret not in kept
    assert tokens.digest_of(secret) in kept
    assert secret.startswith(token.prefix)
    assert AuditEntry.objects.filter(org=org, actor=alice, action="token.create").count() == 1


def test_a_token_opens_the_api_for_its_user_and_organisation(api_for, alice):
    answer = api_for(alice).get("/auth/me").json()

    assert answer["user"]["email"] == alice.email
    assert answer["organization"]["slug"] == "acme"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"revoked_at": timezone.now()}, "token_revoked"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "token_expired"),
    ],
)
def test_a_token_that_ended_gets_401_and_says_why(api_for, alice, change, code):
    client = api_for(alice)
    ApiToken.objects.update(**change)

    answer = client.get("/auth/me")

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_secret_that_nobody_made_gets_401(client, db):
    answer = client.get("/auth/me", headers={"Authorization": f"Bearer {tokens.make_secret()}"})

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_token"


def test_the_token_of_an_inactive_user_gets_401(api_for, alice):
    client = api_for(alice)
    alice.is_active = False
    alice.save()

    assert client.get("/auth/me").status_code == 401


def test_a_token_dies_with_the_membership(api_for, org, alice, bob):
    client = api_for(bob)

    remove_member(actor=alice, membership=bob.memberships.get(org=org))

    assert client.get("/auth/me").status_code == 401


def test_a_token_dies_even_when_the_membership_was_deleted_by_hand(api_for, org, bob):
    client = api_for(bob)
    bob.memberships.all().delete()

    assert client.get("/auth/me").status_code == 401


def test_revoking_twice_is_harmless(org, alice):
    token, _ = create_token(actor=alice, org=org, name="nightly")
    revoke_token(actor=alice, token=token)
    first = ApiToken.objects.get(pk=token.pk).revoked_at

    revoke_token(actor=alice, token=token)

    assert ApiToken.objects.get(pk=token.pk).revoked_at == first
    assert AuditEntry.objects.filter(action="token.revoke").count() == 1


def test_use_is_noted_at_most_once_a_minute(api_for, alice, django_assert_num_queries):
    client = api_for(alice)
    client.get("/auth/me")
    noted = ApiToken.objects.get().last_used_at

    client.get("/auth/me")
    assert ApiToken.objects.get().last_used_at == noted

    ApiToken.objects.update(last_used_at=noted - timedelta(minutes=2))
    client.get("/auth/me")
    assert ApiToken.objects.get().last_used_at > noted - timedelta(minutes=1)


def test_a_token_cannot_be_turned_to_another_organisation(api_for, alice):
    make_org("Second", owner=alice)

    answer = api_for(alice).get("/auth/me", headers={"X-Organization": "second"})

    assert answer.json()["organization"]["slug"] == "acme"
