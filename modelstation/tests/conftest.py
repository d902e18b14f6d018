"""The world that the permission matrix, the admin and the fuzzer walk through."""

import pytest

from modelstation.tests.world import make_world


@pytest.fixture
def world(org, alice, bob, charlie, artifacts_dir, uploads_dir, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"  # nobody listens there
    settings.WEBHOOK_ALLOW_PRIVATE = True
    return make_world(org, alice, artifacts_dir, uploads_dir)
