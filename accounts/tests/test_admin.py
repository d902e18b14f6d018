import pytest
from django.urls import reverse

from accounts.models import ApiToken, AuditEntry, Role, User
from accounts.services import create_token, invite
from modelstation.testing import PASSWORD, make_user

ROWS = ["user", "organization", "apitoken", "invitation", "auditentry"]


@pytest.fixture
def operator(db):
    return make_user("operator@example.org", is_staff=True, is_superuser=True)


@pytest.fixture
def as_operator(client, operator):
    client.force_login(operator)
    return client


@pytest.mark.parametrize("row", ROWS)
def test_an_operator_finds_every_kind_of_row(as_operator, org, alice, row):
    create_token(actor=alice, org=org, name="nightly")
    invite(actor=alice, org=org, email="x@example.org", role=Role.MEMBER)

    page = as_operator.get(reverse(f"admin:accounts_{row}_changelist"), {"q": "a"})

    assert page.status_code == 200
    assert page.context["cl"].result_count > 0


@pytest.mark.parametrize("row", ROWS)
def test_a_member_is_no_operator(as_bob, org, row):
    assert as_bob.get(reverse(f"admin:accounts_{row}_changelist")).status_code == 302


def test_an_operator_logs_in_with_the_e_mail_address(client, operator):
    body = {"username": operator.email, "password": PASSWORD, "next": "/admin/"}

    assert client.post(reverse("admin:login"), body).url == "/admin/"


def test_an_operator_makes_a_user_and_sees_them(as_operator):
    body = {"email": "Dora@Example.org", "password1": PASSWORD, "password2": PASSWORD}
    inline = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}

    body |= inline | {"usable_password": "true"}

    answer = as_operator.post(reverse("admin:accounts_user_add"), body)

    dora = User.objects.get(email="dora@example.org")
    assert answer.url == reverse("admin:accounts_user_change", args=[dora.pk])
    assert dora.check_password(PASSWORD)
    assert as_operator.get(answer.url).status_code == 200


def test_an_operator_revokes_a_token_but_never_sees_its_hash(as_operator, org, alice):
    token, _ = create_token(actor=alice, org=org, name="nightly")

    page = as_operator.get(reverse("admin:accounts_apitoken_change", args=[token.id]))
    as_operator.post(
        reverse("admin:accounts_apitoken_changelist"),
        {"action": "revoke", "_selected_action": [str(token.id)]},
    )

    assert token.digest not in page.content.decode()
    assert ApiToken.objects.get().revoked_at
    assert AuditEntry.objects.get(action="token.revoke").actor.email == "operator@example.org"


def test_the_audit_trail_cannot_be_edited(as_operator, org, alice):
    create_token(actor=alice, org=org, name="nightly")
    entry = AuditEntry.objects.get()

    answer = as_operator.post(reverse("admin:accounts_auditentry_delete", args=[entry.pk]))

    assert answer.status_code == 403
    assert AuditEntry.objects.exists()
