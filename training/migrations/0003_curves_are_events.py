"""The points of a run's curves become events of its job, after those that it has."""

from django.db import migrations

MOVE = """
INSERT INTO core_jobevent (job_id, seq, at, kind, message, data, operator_detail)
SELECT job.id, job.event_count + row_number() OVER (PARTITION BY job.id ORDER BY point.id),
    COALESCE(job.finished_at, job.started_at, job.created_at), 'metrics', '',
    jsonb_strip_nulls(jsonb_build_object(
        'step', point.step, 'loss', point.loss, 'valid_loss', point.valid_loss,
        'learning_rate', point.learning_rate, 'tokens_per_second', point.tokens_per_second
    )), ''
FROM training_metricpoint AS point
JOIN training_trainingrun AS run ON run.id = point.run_id
JOIN core_job AS job ON job.id = run.job_id;
UPDATE core_job SET event_count = (SELECT count(*) FROM core_jobevent WHERE job_id = core_job.id)
WHERE id IN (SELECT job_id FROM training_trainingrun);
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0002_events_in_order"),
        ("training", "0002_plans"),
    ]

    operations = [
        migrations.RunSQL(MOVE, migrations.RunSQL.noop),
        migrations.DeleteModel(name="MetricPoint"),
    ]
