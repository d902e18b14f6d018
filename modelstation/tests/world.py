"""One of each thing that an organisation can have."""

import json
import uuid
from datetime import timedelta

from django.utils import timezone

from accounts.models import Invitation, Organization
from accounts.services import create_token
from distillation.models import (
    CandidateRow,
    CorpusExample,
    DatasetRow,
    DatasetVersion,
    DistillationRun,
    HubImport,
    HubSearch,
    ImportRun,
    Labelling,
    ModelInput,
    SourceDataset,
    Teacher,
    TeacherRun,
)
from distillation.tests.drafts import make_draft
from models_app.models import (
    BaseFetch,
    Promotion,
    StoredCompletion,
    WebhookDelivery,
    WebhookEndpoint,
)
from modelstation import testing
from modelstation.core.artifacts import write_artifact
from modelstation.core.models import Job
from training.models import EvaluationRun, Export, TrainingRun, UploadedFile


def make_world(org, alice, artifacts_dir, uploads_dir):
    """One of each thing, all of it Acme's. Maps the names of URL arguments to values."""
    Organization.objects.filter(pk=org.pk).update(hub_token="hf_" + "x" * 30)
    model = testing.make_model(org, status="ready")
    job = Job.objects.create(org=org, kind="train", queue="gpu", subject_id=model.id)
    distillation_job = Job.objects.create(
        org=org, kind="distil", queue="distil", subject_id=model.id
    )
    line = {"source": "own", "label": "hello", "rows": 1, "mapped_to": "greeting", "how": "meaning"}
    run = DistillationRun.objects.create(
        org=org,
        job=distillation_job,
        model=model,
        intent={"labels": ["greeting"]},
        label_map=[line | {"similarity": 0.8}],
    )
    source = SourceDataset.objects.create(
        org=org, name="own", license="MIT", state="ready", row_count=1
    )
    dataset = make_dataset(org, model, run, source, artifacts_dir)
    draft = make_draft(org, model=model)
    version = make_version(org, model, artifacts_dir)
    model.live_version = version
    model.save()
    for live in (make_older_version(org, version), version):
        Promotion.objects.create(org=org, model=model, version=live)
    evaluation = EvaluationRun.objects.create(
        org=org,
        job=distillation_job,
        model=model,
        version=version,
        metric="exact_match",
        folder="evaluation",
    )
    make_evaluation_files(artifacts_dir / "evaluation")
    training = TrainingRun.objects.create(org=org, job=job, model=model, dataset_version=dataset)
    token, _ = create_token(actor=alice, org=org, name="alice's")
    invitation = make_invitation(org, alice)
    return {
        "org": org.slug,
        "model_id": model.id,
        "dataset_id": dataset.id,
        "other_id": draft.id,
        "row_id": draft.rows.first().id,
        "draft_id": draft.id,
        "source_id": source.id,
        "import_id": make_import(org, uploads_dir).id,
        "version_id": version.id,
        "artifact": "adapter",
        "run_id": training.id,
        "evaluation_id": evaluation.id,
        "export_id": make_export(version).id,
        "token_id": token.id,
        "membership_id": testing.join(org, testing.make_user("dora@example.org")).id,
        "invitation_id": invitation.id,
        "name": testing.make_base("smollm2-360m-instruct", is_installed=False).name,
        "fetch_id": make_fetch(org).id,
        **make_webhook(org),
        **make_teacher(org, model),
        "correction_id": CandidateRow.objects.create(
            org=org, model=model, version=version, version_number=1, input="hi", correction="hey"
        ).id,
        **make_hub(org, model),
        "completion_id": make_stored(org, version),
        "input_id": make_inputs(org, model),
        "file_id": make_file(org, uploads_dir),
        "job_id": f"ftjob-{job.id.hex}",
    }


def make_inputs(org, model):
    """Make an input to label, and one that is answered; return the first one's id."""
    Labelling.objects.create(org=org, model=model)
    rows = {"org": org, "model": model}
    ModelInput.objects.create(
        **rows, position=2, text="hello", digest="2", state="answered", answer="greeting"
    )
    return ModelInput.objects.create(**rows, position=1, text="where is my card", digest="1").id


def make_webhook(org):
    endpoint = WebhookEndpoint.objects.create(
        org=org, url="http://127.0.0.1:9/hook", secret="whsec_eA=="
    )
    delivery = WebhookDelivery.objects.create(org=org, endpoint=endpoint, event_id="evt_1", body="")
    name = f"we_{endpoint.id.hex}"
    return {"webhook_id": endpoint.id, "delivery_id": delivery.id, "endpoint_name": name}


def make_hub(org, model):
    run = ImportRun.objects.create(org=org, origin="acme/rows", options={"source": "hub-acme-rows"})
    found = {"org": org, "model": model}
    hub_import = HubImport.objects.create(run=run, repo_id="acme/rows", revision="a" * 40, **found)
    search = HubSearch.objects.create(**found)
    return {"search_id": search.id, "hub_import_id": hub_import.id}


def make_stored(org, version):
    answer = {"index": 0, "message": {"role": "assistant", "content": "greeting"}}
    return StoredCompletion.objects.create(
        org=org,
        completion_id="chatcmpl-1",
        name=version.model.slug,
        model=version.model,
        version=version,
        messages=[{"role": "user", "content": "hi"}],
        choices=[answer | {"finish_reason": "stop"}],
        usage={},
    ).completion_id


def make_teacher(org, model):
    """Nobody listens at its address; its run has failed."""
    teacher = Teacher.objects.create(
        org=org, name="Large", base_url="http://127.0.0.1:9/v1", model_name="large", api_key="sk-1"
    )
    job = Job.objects.create(
        org=org, kind="teach", queue="distil", subject_id=model.id, state="failed"
    )
    run = TeacherRun.objects.create(
        org=org, model=model, teacher=teacher, teacher_name="large", job=job, rows=40,
        max_requests=10, max_tokens=10_000,
        estimate={"requests": 5, "prompt_tokens": 1, "completion_tokens": 1, "tokens": 2,
                  "cost": "0.0000", "minutes": 0.5},
        refused=[{"reason": "blank", "rows": 1, "samples": [
            {"input": "hello", "output": "", "detail": ""}]}],
    )  # fmt: skip
    return {"teacher_id": teacher.id, "teacher_run_id": run.id}


def make_fetch(org):
    fetch = BaseFetch.objects.create(org=org, base=testing.make_base("other", is_installed=False))
    fetch.job = Job.objects.create(org=org, kind="fetch", queue="distil", subject_id=fetch.id)
    fetch.save()
    return fetch


def make_file(org, uploads_dir):
    file = UploadedFile.objects.create(
        org=org,
        purpose="fine-tune",
        filename="rows.jsonl",
        path="rows.jsonl",
        bytes=2,
        sha256="0" * 64,
        status="processed",
    )
    (uploads_dir / "rows.jsonl").write_text("{}")
    folder = uploads_dir / str(org.id) / "files" / str(file.id)
    folder.mkdir(parents=True)
    (folder / "problems.jsonl").write_text("")
    return f"file-{file.id.hex}"


def make_dataset(org, model, run, source, artifacts_dir):
    messages = [
        {"role": "system", "content": "Label."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "greeting"},
    ]
    example = CorpusExample.objects.create(
        source=source,
        content_hash="h",
        license="MIT",
        messages=messages,
        tokens=3,
        embedding=[0.0] * 384,
    )
    dataset = DatasetVersion.objects.create(
        org=org,
        model=model,
        run=run,
        number=1,
        digest="0" * 64,
        system_prompt="Label.",
        row_count=1,
        folder="dataset",
    )
    DatasetRow.objects.create(
        version=dataset,
        position=0,
        split="train",
        messages=messages,
        source_name="own",
        license="MIT",
        content_hash="h",
        score=1.0,
        reason="fits",
        example=example,
    )

    def fill(folder):
        for split in ("train", "valid", "test"):
            (folder / f"{split}.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
        (folder / "dataset.parquet").write_bytes(b"PAR1")

    write_artifact(artifacts_dir / "dataset", fill, kind="dataset", facts={})
    return dataset


def make_import(org, uploads_dir):
    """Make an upload that waits to be confirmed."""
    run = ImportRun.objects.create(
        org=org, origin="t.csv", upload="t/t.csv", state="uploaded", options={"source": "tickets"}
    )
    (uploads_dir / "t").mkdir(parents=True)
    (uploads_dir / run.upload).write_text("text,label\nhi,greeting\n")
    return run


def make_version(org, model, artifacts_dir):
    manifest = write_artifact(
        artifacts_dir / "version" / "adapter",
        lambda folder: (folder / "adapter.bin").write_bytes(b"1"),
        kind="adapter",
        facts={},
    )
    return testing.make_version(
        model,
        system_prompt="Label.",
        dataset_digest="0" * 64,
        folder="version",
        artifacts={"adapter": manifest},
        state="ready",
    )


def make_export(version):
    """Made and certified, with no file on the disk."""
    return Export.objects.create(
        org=version.org,
        version=version,
        artifacts=["adapter"],
        folder="export",
        file_name="export.zip",
        certificate={"verdict": "pass", "artifacts": [], "reference": {}},
        expires_at=timezone.now() + timedelta(days=1),
    )


def make_older_version(org, version):
    """One to roll back to."""
    return testing.make_version(version.model, 0, folder="older", state="ready")


def make_evaluation_files(folder):
    def fill(folder):
        (folder / "report.json").write_text("{}")
        (folder / "rows.jsonl").write_text("")

    write_artifact(folder, fill, kind="evaluation", facts={})


def make_invitation(org, alice):
    return Invitation.objects.create(
        org=org,
        email="new@example.org",
        digest=uuid.uuid4().hex,
        invited_by=alice,
        expires_at=timezone.now() + timedelta(days=1),
    )
