from uuid import UUID

import pytest

from accounts.models import Membership
from modelstation.core.lookups import Lookup

FIND = Lookup(
    lambda: Membership.objects.filter(org=UUID(int=0), user__email="-"),
    ("id", "org_id", "role", "user_id", "user__id", "user__email", "org__id", "org__slug"),
)


@pytest.fixture
def membership(org, alice):
    return Membership.objects.get(org=org, user=alice)


def test_it_finds_the_row_and_those_its_keys_lead_to_in_one_query(
    org, alice, membership, django_assert_num_queries
):
    with django_assert_num_queries(1):
        found = FIND.first(org.pk, alice.email)

        assert found == membership
        assert (found.role, found.org.slug) == (membership.role, org.slug)
        assert found.user.email == alice.email


def test_a_field_that_was_not_asked_for_is_read_when_it_is_needed(
    org, alice, django_assert_num_queries
):
    found = FIND.first(org.pk, alice.email)

    with django_assert_num_queries(1):
        assert found.org.name == org.name


def test_its_values_are_those_of_the_call_and_not_of_the_one_before(org, alice, membership):
    assert FIND.first(org.pk, alice.email) == membership
    assert FIND.first(org.pk, "stranger@example.org") is None
    assert FIND.first(UUID(int=0), alice.email) is None
