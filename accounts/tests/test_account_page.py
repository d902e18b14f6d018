import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from modelstation import testing

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(org):
    return reverse("account", args=[org.slug])


def test_a_stranger_gets_404(as_charlie, page, charlie):
    assert as_charlie.get(page).status_code == 404
    assert as_charlie.post(page, {}).status_code == 404
    charlie.refresh_from_db()
    assert charlie.mail_when_built


def test_mails_are_turned_off_and_on_for_oneself_alone(as_bob, bob, alice, page):
    assert "checked" in as_bob.get(page).content.decode()

    as_bob.post(page, {})
    bob.refresh_from_db()
    alice.refresh_from_db()
    assert (bob.mail_when_built, alice.mail_when_built) == (False, True)
    assert "checked" not in as_bob.get(page).content.decode()

    as_bob.post(page, {"mail_when_built": "on"})
    bob.refresh_from_db()
    assert bob.mail_when_built
    told = AuditEntry.objects.filter(action="user.mails").order_by("created_at")
    assert [entry.data["when_built"] for entry in told] == [False, True]


def test_a_new_user_is_told(org):
    assert testing.make_user("new@example.org").mail_when_built
