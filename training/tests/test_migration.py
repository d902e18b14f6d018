"""Points of curves, a table of their own once, become events of their run's job."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from modelstation import testing
from modelstation.core.models import Job, JobEvent
from training.runs.curves import points_of
from training.tests.planted_runs import make_run


@pytest.mark.django_db(transaction=True)
def test_points_become_events_after_those_that_were_told(org):
    run = make_run(testing.make_model(org), state="succeeded")
    JobEvent.emit(run.job_id, "state", "Started.")
    executor = MigrationExecutor(connection)
    executor.migrate([("training", "0001_initial")])
    try:
        Points = executor.loader.project_state(("training", "0001_initial")).apps.get_model(
            "training", "MetricPoint"
        )
        for step in (1, 2):
            Points.objects.create(run_id=run.id, step=step, loss=3 / step, learning_rate=0.1)
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    assert [event.seq for event in JobEvent.objects.filter(job=run.job_id)] == [1, 2, 3]
    assert Job.objects.get(id=run.job_id).event_count == 3
    points = points_of(run.job_id)
    assert [(p.step, p.loss, p.learning_rate, p.valid_loss) for p in points] == [
        (1, 3.0, 0.1, None),
        (2, 1.5, 0.1, None),
    ]
