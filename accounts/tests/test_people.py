import socket

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import Membership, Role
from modelstation.testing import make_model


def test_alice_owns_what_bob_is_a_member_of(org, alice, bob):
    roles = dict(Membership.objects.filter(org=org).values_list("user__email", "role"))

    assert roles == {alice.email: Role.OWNER, bob.email: Role.MEMBER}


def test_a_model_for_a_test_belongs_to_its_org(org):
    assert make_model(org).org == org


@pytest.mark.django_db
def test_tests_have_a_database_of_their_own():
    assert connection.settings_dict["NAME"].startswith("test_")
    assert settings.VAR_DIR.name.startswith("test")


def test_a_connection_to_another_machine_fails_at_once():
    with pytest.raises(ConnectionRefusedError, match="no network"):
        socket.create_connection(("192.0.2.1", 80))
