import threading
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, Invitation, Membership, Role
from accounts.services import accept_invitation, change_role, invite, remove_member
from modelstation.core.errors import UserFacingError
from modelstation.testing import join, make_org, make_user

MEMBERS = "/o/acme/members/"


def role_of(user):
    return Membership.objects.get(org__slug="acme", user=user).role


def url(name, membership):
    return reverse(name, args=["acme", membership.id])


@pytest.fixture
def bobs(org, bob):
    return bob.memberships.get(org=org)


@pytest.fixture
def alices(org, alice):
    return alice.memberships.get(org=org)


@pytest.fixture
def adam(org):
    user = make_user("adam@example.org")
    join(org, user, role=Role.ADMIN)
    return user


def test_a_stranger_gets_404(as_charlie, bobs):
    assert as_charlie.get(MEMBERS).status_code == 404
    assert as_charlie.post(url("member_role", bobs), {"role": "owner"}).status_code == 404
    assert as_charlie.post(url("member_remove", bobs)).status_code == 404
    assert as_charlie.post(reverse("invite", args=["acme"])).status_code == 404


def test_a_member_of_another_organisation_is_not_found_in_ones_own(as_charlie, bobs):
    address = reverse("member_remove", args=["elsewhere", bobs.id])

    assert as_charlie.post(address).status_code == 404


def test_a_member_sees_the_members_but_cannot_manage_them(as_bob, bob, alices, bobs):
    page = as_bob.get(MEMBERS)

    assert "alice@example.org" in page.content.decode()
    assert "Invite somebody" not in page.content.decode()
    assert as_bob.post(reverse("invite", args=["acme"]), {"email": "x@y.org"}).status_code == 403
    assert as_bob.post(url("member_remove", alices)).status_code == 403


def test_a_member_cannot_change_roles(as_bob, bob, bobs):
    assert as_bob.post(url("member_role", bobs), {"role": "owner"}).status_code == 403
    assert role_of(bob) == Role.MEMBER


def test_an_owner_changes_roles(as_alice, alice, bob, bobs):
    as_alice.post(url("member_role", bobs), {"role": "admin"})

    assert role_of(bob) == Role.ADMIN
    entry = AuditEntry.objects.get(action="member.change_role")
    assert (entry.actor, entry.data) == (alice, {"before": "member", "after": "admin"})


def test_an_admin_neither_makes_nor_unmakes_an_owner(adam, alices, bobs):
    with pytest.raises(PermissionDenied):
        change_role(actor=adam, membership=bobs, role=Role.OWNER)
    with pytest.raises(PermissionDenied):
        change_role(actor=adam, membership=alices, role=Role.MEMBER)
    with pytest.raises(PermissionDenied):
        remove_member(actor=adam, membership=alices)
    with pytest.raises(PermissionDenied):
        invite(actor=adam, org=bobs.org, email="x@example.org", role=Role.OWNER)


def test_the_last_owner_stays(as_alice, alice, alices):
    for name in ("member_role", "member_remove"):
        page = as_alice.post(url(name, alices), {"role": "member"})
        assert page.status_code == 400
        assert "needs an owner" in page.content.decode()
    assert role_of(alice) == Role.OWNER


def test_an_owner_may_go_when_there_is_another(as_alice, alice, alices, bobs):
    change_role(actor=alice, membership=bobs, role=Role.OWNER)

    as_alice.post(url("member_remove", alices))

    assert as_alice.get(MEMBERS).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_two_owners_cannot_demote_each_other_at_once(alice, bob):
    org = make_org("Acme", owner=alice)
    join(org, bob, role=Role.OWNER)
    barrier = threading.Barrier(2, timeout=10)

    def demote(actor, other):
        barrier.wait()
        try:
            change_role(actor=actor, membership=other, role=Role.MEMBER)
        except (UserFacingError, PermissionDenied):
            pass
        finally:
            connection.close()

    rows = {member.user: member for member in org.memberships.select_related("user")}
    pairs = [(alice, rows[bob]), (bob, rows[alice])]
    threads = [threading.Thread(target=demote, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert Membership.objects.filter(org=org, role=Role.OWNER).count() == 1


def test_a_member_may_leave(as_bob, bobs):
    as_bob.post(url("member_remove", bobs))

    assert as_bob.get(MEMBERS).status_code == 404


def test_an_invitation_lets_its_address_in_with_its_role(as_alice, as_charlie, org, charlie):
    page = as_alice.post(
        reverse("invite", args=["acme"]), {"email": "Charlie@Example.org", "role": "admin"}
    )
    link = page.context["link"]
    assert link in page.content.decode()
    assert link not in as_alice.get(MEMBERS).content.decode()

    assert "Join Acme" in as_charlie.get(link).content.decode()
    assert as_charlie.post(link).url == "/o/acme/"

    assert role_of(charlie) == Role.ADMIN
    assert "used or has expired" in as_charlie.post(link).content.decode()


def test_an_invitation_is_kept_only_as_a_hash(org, alice):
    invitation, secret = invite(actor=alice, org=org, email="x@example.org", role=Role.MEMBER)

    assert secret not in str(Invitation.objects.values_list().get(pk=invitation.pk))


def test_an_invitation_is_for_one_address(as_charlie, org, alice, charlie):
    _, secret = invite(actor=alice, org=org, email="x@example.org", role=Role.MEMBER)

    page = as_charlie.post(reverse("invitation_accept", args=["acme", secret]))

    assert "This invitation is for x@example.org" in page.content.decode()
    assert not charlie.memberships.filter(org=org).exists()


def test_an_expired_invitation_is_refused(org, alice, charlie):
    invitation, _ = invite(actor=alice, org=org, email=charlie.email, role=Role.MEMBER)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    with pytest.raises(UserFacingError, match="expired"):
        accept_invitation(actor=charlie, invitation=invitation)


def test_a_secret_that_nobody_made_is_404(as_charlie, org):
    assert as_charlie.get(reverse("invitation_accept", args=["acme", "guess"])).status_code == 404


def test_a_withdrawn_invitation_is_404(as_alice, as_charlie, org, alice, charlie):
    invitation, secret = invite(actor=alice, org=org, email=charlie.email, role=Role.MEMBER)

    as_alice.post(reverse("invitation_withdraw", args=["acme", invitation.id]))

    assert as_charlie.get(reverse("invitation_accept", args=["acme", secret])).status_code == 404


def test_inviting_again_replaces_the_older_link(org, alice, charlie):
    older, _ = invite(actor=alice, org=org, email=charlie.email, role=Role.MEMBER)
    newer, _ = invite(actor=alice, org=org, email=charlie.email, role=Role.ADMIN)

    assert list(Invitation.objects.all()) == [newer]


def test_a_member_is_not_invited_twice(as_alice, org, bob):
    page = as_alice.post(reverse("invite", args=["acme"]), {"email": bob.email, "role": "member"})

    assert "is a member already" in page.content.decode()


def test_the_list_takes_the_same_queries_whatever_its_length(
    as_alice, org, alice, django_assert_max_num_queries
):
    def queries():
        with django_assert_max_num_queries(20) as counted:
            as_alice.get(MEMBERS)
        return len(counted)

    invite(actor=alice, org=org, email="first@example.org", role=Role.MEMBER)
    few = queries()
    for number in range(5):
        join(org, make_user(f"m{number}@example.org"))
        invite(actor=alice, org=org, email=f"i{number}@example.org", role=Role.MEMBER)

    assert queries() == few


def test_by_api_members_are_listed_changed_and_removed(api_for, alice, bob, bobs):
    api = api_for(alice)
    address = f"/api/v1/members/{bobs.id}"

    listed = api.get("/api/v1/members").json()["results"]
    assert {row["email"]: row["role"] for row in listed} == {
        alice.email: "owner",
        bob.email: "member",
    }
    assert api.patch(address, {"role": "admin"}, format="json").json()["role"] == "admin"
    assert api.patch(address, {"role": "king"}, format="json").status_code == 400
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404


def test_by_api_a_member_cannot_manage(api_for, bob, alices):
    api = api_for(bob)

    assert api.patch(f"/api/v1/members/{alices.id}", {"role": "member"}).status_code == 403
    assert api.delete(f"/api/v1/members/{alices.id}").status_code == 403
    assert api.get("/api/v1/invitations").status_code == 403
    assert api.post("/api/v1/invitations", {"email": "x@example.org"}).status_code == 403


def test_by_api_the_last_owner_stays(api_for, alice, alices):
    answer = api_for(alice).delete(f"/api/v1/members/{alices.id}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "last_owner")


def test_by_api_an_invitation_is_made_and_withdrawn(api_for, as_charlie, org, alice, charlie):
    api = api_for(alice)

    made = api.post("/api/v1/invitations", {"email": charlie.email}, format="json").json()

    assert as_charlie.get(made["link"]).status_code == 200
    listed = api.get("/api/v1/invitations").json()["results"]
    assert [row["email"] for row in listed] == [charlie.email]
    assert "link" not in listed[0]
    assert api.delete(f"/api/v1/invitations/{made['id']}").status_code == 204
    assert as_charlie.get(made["link"]).status_code == 404
