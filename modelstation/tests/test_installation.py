import stat

import pytest
from django.core.management import CommandError
from django_q.models import Schedule

from accounts.models import ApiToken, Organization, User
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.jobs import health
from modelstation.core.jobs.queue import QUEUES
from modelstation.core.models import QueueHealth
from modelstation.site import installation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_var(settings, tmp_path):
    settings.VAR_DIR = tmp_path / "var"


def test_the_demo_is_made_once_however_often_it_is_requested():
    assert installation.prepare_demo() == installation.prepare_demo()
    assert User.objects.get().is_superuser
    assert Organization.objects.count() == ApiToken.objects.count() == 1


def test_the_demos_secrets_work_and_only_their_owner_reads_them(client):
    installation.prepare_demo()
    files = installation.demo_secret_files()
    password, token = (path.read_text() for path in files)
    assert User.objects.get().check_password(password)
    me = client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert me.status_code == 200
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_secrets_whose_files_were_lost_are_made_anew():
    installation.prepare_demo()
    password_file, token_file = installation.demo_secret_files()
    old = password_file.read_text()
    password_file.unlink()
    token_file.unlink()
    installation.prepare_demo()
    assert User.objects.get().check_password(password_file.read_text())
    assert not User.objects.get().check_password(old)


def test_the_demos_model_is_made_once_with_its_work_enqueued():
    testing.make_base(installation.DEMO.base)
    org = installation.prepare_demo()
    assert installation.demo_model(org) == installation.demo_model(org)
    assert CustomModel.objects.get().status == "pending"


def test_every_queue_has_its_canary_and_nothing_is_scheduled_twice():
    installation.prepare_schedules()
    installation.prepare_schedules()
    canaries = Schedule.objects.filter(func="modelstation.core.jobs.tasks.canary")
    assert sorted(canaries.values_list("cluster", flat=True)) == sorted(2 * QUEUES)
    others = Schedule.objects.exclude(func="modelstation.core.jobs.tasks.canary")
    assert sorted(others.values_list("func", "cluster")) == [
        ("models_app.gateway.stored.services.delete_expired", "default"),
        ("models_app.mails.send_waiting", "default"),
        ("models_app.webhooks.services.send_waiting", "default"),
        ("modelstation.core.jobs.tasks.reap", "default"),
        ("modelstation.core.jobs.tasks.reap", "default"),
        ("training.tasks.clean_exports", "default"),
        ("training.tasks.measure_machine", "gpu"),
    ]


def test_what_an_older_release_scheduled_runs_the_task_of_today_at_its_old_times():
    Schedule.objects.create(name="reaper", func="modelstation.core.tasks.reap", minutes=7)
    Schedule.objects.create(name="mails", func="models_app.tasks.old_name", minutes=7)
    installation.prepare_schedules()
    kept = Schedule.objects.filter(minutes=7).order_by("name")
    assert list(kept.values_list("name", "func")) == [
        ("mails", "models_app.mails.send_waiting"),
        ("reaper", "modelstation.core.jobs.tasks.reap"),
    ]


def test_a_database_that_is_too_old_is_refused_with_what_to_do(monkeypatch):
    installation.check_database()
    monkeypatch.setattr(installation, "MIN_PGVECTOR", (99, 0))
    with pytest.raises(CommandError, match=r"pgvector 0\.8 or newer.*unset DATABASE_URL"):
        installation.check_database()


def test_a_silent_queue_and_a_full_disk_are_problems(monkeypatch):
    QueueHealth.seen("distil")
    assert [problem.code for problem in health.problems(["distil"])] == []
    assert [problem.code for problem in health.problems(["gpu"])] == ["no_worker_gpu"]
    monkeypatch.setattr(health, "FREE_DISK_BYTES", 1 << 60)
    assert [problem.code for problem in health.problems(["distil"])] == ["disk_full"]
