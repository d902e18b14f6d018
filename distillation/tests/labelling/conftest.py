"""A worker in the test's own transaction, and no real encoder."""

import pytest
from django.db import transaction

from distillation.tests.labelling.played import Embedders


@pytest.fixture(autouse=True)
def _worker(monkeypatch, uploads_dir):
    Embedders.patch(monkeypatch)
    monkeypatch.setattr(transaction, "on_commit", lambda action: action())
    monkeypatch.setattr("modelstation.core.jobs.lease.HEARTBEAT_SECONDS", 3600)
