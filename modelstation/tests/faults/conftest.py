import pytest


@pytest.fixture
def house(transactional_db, artifacts_dir, tmp_path):
    """Ends with nothing of it alive, whatever the test did."""
    from modelstation.core.jobs.kinds import KINDS
    from modelstation.tests.faults.house import House
    from modelstation.tests.faults.work import add_kind

    add_kind()
    house = House(tmp_path)
    yield house
    house.kill_everything()
    del KINDS["count"]
