import pytest
from django.urls import reverse

from accounts.models import AuditEntry, Membership, Organization, Role, User
from accounts.services import create_organization
from modelstation.testing import PASSWORD, make_user

pytestmark = pytest.mark.django_db


def sign_up(client, email="dora.lee@example.org", **fields):
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    return client.post(reverse("account_signup"), {"email": email, **passwords, **fields})


def test_signing_up_makes_an_organisation_and_leads_into_it(client):
    answer = sign_up(client, organization="Blue Bank")

    assert answer.url == "/o/blue-bank/"
    membership = Membership.objects.get(org__slug="blue-bank")
    assert (membership.user.email, membership.role) == ("dora.lee@example.org", Role.OWNER)
    assert membership.org.name == "Blue Bank"
    assert AuditEntry.objects.get(org=membership.org).action == "organization.create"


def test_without_a_name_the_organisation_is_named_after_the_e_mail_address(client):
    sign_up(client, email="dora.lee+work@example.org")

    assert Organization.objects.get().name == "Dora Lee"


def test_a_taken_slug_gets_an_ending_that_nobody_can_guess(alice):
    slugs = [create_organization(actor=alice, name="Acme").slug for _ in range(3)]

    assert slugs[0] == "acme"
    assert len(set(slugs)) == 3
    assert all(slug.startswith("acme-") and not slug.endswith(("-2", "-3")) for slug in slugs[1:])


@pytest.mark.parametrize("name", ["Überraschung & Söhne", "株式会社", "-- --", "x" * 120])
def test_any_name_gives_a_usable_slug(alice, name, as_alice):
    org = create_organization(actor=alice, name=name)

    assert org.name == name.strip()
    assert as_alice.get(reverse("tokens", args=[org.slug])).status_code == 200


def test_a_refused_sign_up_leaves_nothing_behind(client):
    answer = sign_up(client, password2="another one entirely")

    assert answer.status_code == 200
    assert not User.objects.exists()
    assert not Organization.objects.exists()


def test_signing_up_twice_tells_a_stranger_nothing_and_makes_nothing(client, alice):
    sign_up(client, email=alice.email)

    assert User.objects.count() == 1
    assert not Organization.objects.exists()


def test_logging_in_leads_to_the_organisation_one_joined_first(client, org, bob):
    create_organization(actor=bob, name="Bobs own")

    answer = client.post(reverse("account_login"), {"login": bob.email, "password": PASSWORD})

    assert answer.url == "/o/acme/"


def test_the_page_asked_for_comes_after_the_log_in(client, org, alice):
    answer = client.get("/o/acme/tokens/")
    assert answer.url == "/accounts/login/?next=/o/acme/tokens/"

    answer = client.post(answer.url, {"login": alice.email, "password": PASSWORD})
    assert answer.url == "/o/acme/tokens/"


def test_a_log_in_without_any_organisation_leads_home(client):
    user = make_user("new@example.org")

    answer = client.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})

    assert answer.url == reverse("home")


def test_logging_out_ends_the_session(as_alice, org):
    as_alice.post(reverse("account_logout"))

    assert as_alice.get("/o/acme/members/").status_code == 302


def test_a_forgotten_password_is_replaced_by_a_link_in_the_mail(client, alice, mailoutbox):
    client.post(reverse("account_reset_password"), {"email": alice.email})
    link = next(word for word in mailoutbox[0].body.split() if "/password/reset/key/" in word)
    form = client.get(link, follow=True)
    new = "entirely new battery"

    client.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})

    assert client.login(email=alice.email, password=new)


@pytest.mark.parametrize(
    "name",
    ["account_login", "account_signup", "account_reset_password", "account_reset_password_done",
     "account_email_verification_sent", "account_inactive", "account_reset_password_from_key_done"],
)  # fmt: skip
def test_pages_of_entrance_look_like_the_product(client, name):
    page = client.get(reverse(name))

    assert page.status_code == 200
    assert "css/app.css" in page.content.decode()


@pytest.mark.parametrize("name", ["account_logout", "account_change_password", "account_email"])
def test_pages_of_ones_account_look_like_the_product(as_alice, name):
    page = as_alice.get(reverse(name))

    assert page.status_code == 200
    assert "css/app.css" in page.content.decode()


def test_a_link_that_nobody_made_says_so(client):
    reset = client.get(reverse("account_reset_password_from_key", args=["1", "bad-key"]))
    confirm = client.get(reverse("account_confirm_email", args=["bad"]))

    assert "used already or has expired" in reset.content.decode()
    assert "used already or has expired" in confirm.content.decode()
