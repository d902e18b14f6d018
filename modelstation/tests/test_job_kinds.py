"""The table of what workers run, entry by entry."""

import inspect

import pytest
from django.utils.module_loading import import_string

from modelstation.core.jobs.kinds import KINDS
from modelstation.core.jobs.queue import QUEUES, WAKE
from modelstation.core.jobs.tasks import wake
from modelstation.site.job_kinds import JOB_KINDS, SCHEDULED


@pytest.mark.parametrize("name", JOB_KINDS)
def test_each_kind_of_job_has_a_task_that_takes_a_job_on_a_queue_that_there_is(name):
    kind = JOB_KINDS[name]
    assert len(inspect.signature(import_string(kind.task)).parameters) == 1
    assert len(inspect.signature(kind.settle).parameters) == 1
    assert kind.queue in QUEUES


@pytest.mark.parametrize("planned", SCHEDULED, ids=lambda planned: planned.name)
def test_each_scheduled_task_takes_what_it_is_given_on_a_queue_that_there_is(planned):
    wanted = 1 if planned.argument else 0
    assert len(inspect.signature(import_string(planned.task)).parameters) == wanted
    assert planned.queue in QUEUES


def test_the_table_is_installed_at_start_up():
    assert JOB_KINDS.items() <= KINDS.items()


def test_a_wakeup_names_the_task_that_takes_it():
    assert import_string(WAKE) is wake
