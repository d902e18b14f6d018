import pytest


@pytest.fixture
def house(transactional_db, artifacts_dir, tmp_path, monkeypatch):
    """Ends with nothing of it alive, whatever the test did."""
    from modelstation.core.jobs import jobs
    from modelstation.tests.faults.house import House
    from modelstation.tests.faults.work import add_kind

    monkeypatch.setattr(jobs, "KINDS", dict(jobs.KINDS))
    add_kind()
    house = House(tmp_path)
    yield house
    house.kill_everything()
