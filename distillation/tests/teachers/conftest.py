import pytest

from distillation import tasks
from distillation.models import TeacherRun
from distillation.teachers import services
from distillation.tests.imports.test_known_vectors import CountingEmbedder
from distillation.tests.teachers import fake_teacher as fakes
from modelstation.testing import make_model

REQUIREMENT = (
    "Sort each message of a tenant into one of these labels: plumbing, electrical. "
    "Answer with the label only."
)


@pytest.fixture
def fake(settings, monkeypatch):
    settings.WEBHOOK_ALLOW_PRIVATE = True
    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", CountingEmbedder)
    with fakes.fake_teacher() as teacher:
        yield teacher


@pytest.fixture
def model(org, alice):
    return make_model(
        org,
        name="Tenants",
        requirement=REQUIREMENT,
        created_by=alice,
        examples=[
            {"input": "My tap drips.", "output": "plumbing"},
            {"input": "The lamp is out.", "output": "electrical"},
        ],
        test_rows=[{"input": "The fuse box hums all night long", "output": "electrical"}],
    )


@pytest.fixture
def teacher(org, alice, fake):
    return services.create_teacher(
        actor=alice,
        org=org,
        name="Fake",
        base_url=fake.url,
        model_name="fake-large",
        api_key=fakes.KEY,
        prompt_price="2",
        completion_price="10",
        requests_per_minute=10_000,
        terms="Outputs may train models.",
    )


@pytest.fixture
def run_of(alice, model, teacher):
    """Start a run and do it, as a worker does; return it as it ended."""

    def done(**fields):
        draft = services.RunDraft(**{"rows": 40} | fields)
        run = services.start_run(actor=alice, model=model, teacher=teacher, draft=draft)
        return work_off(run)

    return done


def work_off(run):
    run.refresh_from_db()
    tasks.run_teaching(str(run.job_id))
    return TeacherRun.objects.select_related("job", "source", "org", "model").get(id=run.id)
