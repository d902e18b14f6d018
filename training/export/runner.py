"""The bridge of exports: rows become a spec, a child makes artifacts and certificate, and this
process, which alone holds the signing key, signs and packs what the child left.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from pydantic import JsonValue, TypeAdapter

from distillation.datasets.cards import facts_of_version
from distillation.models import DatasetVersion
from models_app.gateway.paths import version_folder
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.jobs.supervisor import run_child
from modelstation.core.models import Job
from modelstation.lm.bases.catalog import is_complete
from training.export import services as exports
from training.export.bundle.artifacts import ARTIFACTS
from training.export.bundle.bundle import seal_bundle, write_zip
from training.export.bundle.facts import (
    BaseFacts,
    CriterionOutcome,
    DatasetFacts,
    EvaluationFacts,
    ModelFacts,
)
from training.export.spec import ExportSpec, FileEntry
from training.models import EvaluationRun, Export, TrainingRun

APACHE = "apache-2.0"
MAX_CONTEXT = 4096
UNMEASURED = "exact_match"  # grades a version that was never evaluated
STAGE_NAMES = {
    "check": "Comparing the files with what was trained",
    "make": "Making the artifacts",
    **{f"replay_{artifact.name}": artifact.stage for artifact in ARTIFACTS.values()},
    "bundle": "Writing the papers",
    "pack": "Signing and packing",
}


def run_export(job: Job, lease: Lease) -> Publish:
    export = Export.objects.select_related(
        "version__model", "version__base", "org", "created_by"
    ).get(id=job.subject_id)
    Export.objects.filter(pk=export.pk).update(job=job)  # another one, when it was requeued
    exports.check_disk(export.expected_bytes)
    attempt = f"{job.id}-{job.attempt}"
    work = exports.folder_of(export) / "work" / attempt
    work.mkdir(parents=True, exist_ok=True)
    spec = _spec(export, work)
    result = run_child(
        "training.export.child", _written(spec, work), lease=lease, on_event=_reporter(lease)
    )
    lease.stage("pack", STAGE_NAMES["pack"])
    packed = _pack(spec.out_dir, attempt, result["certificate"], export, lease)
    shutil.rmtree(work, ignore_errors=True)
    return lambda: exports.finish_export(export=export, packed=packed)


def _pack(
    bundle: Path, attempt: str, certificate: Mapping[str, JsonValue], export: Export, lease: Lease
) -> exports.PackedExport:
    name = f"{export.version.model.slug}-v{export.version.number}"
    folder = f"{export.pk}/files/{attempt}"
    target = Path(settings.ARTIFACTS_DIR) / folder / f"{name}.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    manifest = seal_bundle(
        bundle,
        settings.EXPORT_SIGNING_KEY,
        {
            "made_by": "ModelStation",
            "model": export.version.model.name,
            "version": export.version.number,
            "artifacts": export.artifacts,
            "dataset_digest": export.version.dataset_digest,
        },
    )
    sha256 = write_zip(bundle, target, name, lease.check)
    return exports.PackedExport(
        folder, target.name, target.stat().st_size, sha256, manifest, certificate
    )


def _spec(export: Export, work: Path) -> ExportSpec:
    version = export.version
    dataset = _dataset_of(version)
    base = Path(settings.MODELS_DIR) / version.base_id
    evaluation = version.evaluation_runs.exclude(verdict="").first()
    longest = int(version.config.get("max_seq_len") or 0)
    contract_metric = version.model.contract.get("metric")
    return ExportSpec(
        version_folder=version_folder(version),
        recorded={
            kind: [FileEntry(**entry) for entry in manifest.get("files", ())]
            for kind, manifest in version.artifacts.items()
        },
        base_folder=base if is_complete(base) else None,
        artifacts=export.artifacts,
        test_file=_test_file(version.model, dataset, work),
        system_prompt=version.system_prompt,
        metric=evaluation.metric if evaluation else contract_metric or UNMEASURED,
        labels=list(dataset.run.intent_facts.labels) or None,
        context=min(version.base.context, max(MAX_CONTEXT, 2 * longest)),
        out_dir=work / "bundle",
        facts=_facts(version, dataset, evaluation),
        base_license_file=_license_file(version),
    )


def _dataset_of(version: ModelVersion) -> DatasetVersion:
    """Return the one it was trained on; should the run be gone, the one of its digest."""
    datasets = DatasetVersion.objects.filter(model=version.model).select_related("run", "model")
    run = TrainingRun.objects.filter(version=version).first()
    wanted = {"id": run.dataset_version_id} if run else {"digest": version.dataset_digest}
    dataset: DatasetVersion | None = datasets.filter(**wanted).first()
    if dataset is None:
        raise Conflict(
            "The dataset of this version is gone, so there are no held-out rows to replay.",
            code="no_dataset",
            hint="Build the model again.",
        )
    return dataset


def _test_file(model: CustomModel, dataset: DatasetVersion, work: Path) -> Path:
    if not model.test_rows:
        return Path(settings.ARTIFACTS_DIR) / dataset.folder / "test.jsonl"
    lines = (
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": row["input"]},
                    {"role": "assistant", "content": row["output"]},
                ]
            },
            ensure_ascii=False,
        )
        for row in model.test_rows
    )
    path = work / "test.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _license_file(version: ModelVersion) -> Path | None:
    """Return our own: it is the same licence."""
    file = Path(settings.BASE_DIR) / "LICENSE.md"
    return file if version.base.license == APACHE and file.is_file() else None


def _facts(
    version: ModelVersion, dataset: DatasetVersion, evaluation: EvaluationRun | None
) -> ModelFacts:
    model, base, data = version.model, version.base, facts_of_version(dataset)
    run = TrainingRun.objects.filter(version=version).first()
    criteria = evaluation.criteria if evaluation else []
    return ModelFacts(
        title=f"{model.name}, version {version.number}",
        requirement=model.requirement,
        objective=model.objective,
        policy=model.policy,
        system_prompt=version.system_prompt,
        base=BaseFacts(base.name, base.hub_id, base.revision, base.license),
        config=version.config,
        dataset=DatasetFacts(dataset.digest, data.splits),
        sources=data.sources,
        criteria=TypeAdapter(list[CriterionOutcome]).validate_python(criteria),
        verdict=evaluation.verdict if evaluation else "",
        evaluation=EvaluationFacts.from_scores(version.scores),
        language=dataset.run.intent_facts.language,
        trained=_plain(run.facts) if run else {},
    )


def _plain(facts: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    return {name: value for name, value in facts.items() if isinstance(value, str | int | float)}


def _written(spec: ExportSpec, work: Path) -> str:
    path = work / "spec.json"
    path.write_text(json.dumps(spec.to_json(), indent=2), encoding="utf-8")
    return str(path)


def _reporter(lease: Lease) -> Callable[[dict[str, Any]], None]:
    stage = ""

    def report(event: dict[str, Any]) -> None:
        nonlocal stage
        if event["event"] != "progress":
            return
        if event["stage"] != stage:
            stage = event["stage"]
            lease.stage(stage, STAGE_NAMES.get(stage, stage))
        lease.progress(step=event["step"], total_steps=event["total_steps"])

    return report
