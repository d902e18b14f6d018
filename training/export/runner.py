"""The bridge of exports: rows become a spec, a child makes artifacts and certificate, and this
process, which alone holds the signing key, signs and packs what the child left.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from pydantic import JsonValue, TypeAdapter

from distillation.datasets.cards import facts_of_version
from distillation.models import DatasetVersion
from models_app.gateway.paths import version_folder
from models_app.models import ModelVersion
from modelstation.core.errors import Conflict
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.jobs.supervisor import run_child
from modelstation.core.models import Job
from modelstation.lm.bases.catalog import is_complete
from modelstation.lm.encoder.encoders import REVISIONS
from training.evaluations.services import dataset_of_version
from training.export import services as exports
from training.export.bundle import facts
from training.export.bundle.artifacts import ARTIFACTS, ENCODER
from training.export.bundle.bundle import seal_bundle, write_zip
from training.export.spec import ExportSpec, FileEntry
from training.models import EvaluationRun, Export, TrainingRun
from training.runs.runner import reporter, write_test_rows

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
    related = ("version__model", "version__base", "org", "created_by")
    export = Export.objects.select_related(*related).get(id=job.subject_id)
    Export.objects.filter(pk=export.pk).update(job=job)  # another one, when it was requeued
    exports.check_disk(export.expected_bytes)
    attempt = f"{job.id}-{job.attempt}"
    work = exports.folder_of(export) / "work" / attempt
    work.mkdir(parents=True, exist_ok=True)
    spec, file = _spec(export, work), work / "spec.json"
    file.write_text(json.dumps(spec.to_json(), indent=2), encoding="utf-8")
    on_event = reporter(lease, STAGE_NAMES)
    result = run_child("training.export.child", str(file), lease=lease, on_event=on_event)
    lease.stage("pack", STAGE_NAMES["pack"])
    packed = _pack(spec.out_dir, attempt, result["certificate"], export, lease)
    shutil.rmtree(work, ignore_errors=True)
    return lambda: exports.finish_export(export=export, packed=packed)


def _pack(
    bundle: Path, attempt: str, certificate: Mapping[str, JsonValue], export: Export, lease: Lease
) -> exports.PackedExport:
    version, folder = export.version, f"{export.pk}/files/{attempt}"
    name = f"{version.model.slug}-v{version.number}"
    target = Path(settings.ARTIFACTS_DIR) / folder / f"{name}.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "made_by": "ModelStation",
        "model": version.model.name,
        "version": version.number,
        "artifacts": export.artifacts,
        "dataset_digest": version.dataset_digest,
    }
    manifest = seal_bundle(bundle, settings.EXPORT_SIGNING_KEY, about)
    sha256 = write_zip(bundle, target, name, lease.check)
    return exports.PackedExport(
        folder, target.name, target.stat().st_size, sha256, manifest, certificate
    )


def _spec(export: Export, work: Path) -> ExportSpec:
    version = export.version
    dataset = dataset_of_version(version)
    if dataset is None:
        message = "The dataset of this version is gone, so there are no held-out rows to replay."
        raise Conflict(message, code="no_dataset", hint="Build the model again.")
    base = Path(settings.MODELS_DIR) / version.base_id
    evaluation = version.evaluation_runs.exclude(verdict="").first()
    longest = int(version.config.get("max_seq_len") or 0)
    contract_metric = version.model.contract.get("metric")
    license = Path(settings.BASE_DIR) / "LICENSE.md"
    return ExportSpec(
        version_folder=version_folder(version),
        recorded={
            kind: [FileEntry(**entry) for entry in manifest.get("files", ())]
            for kind, manifest in version.artifacts.items()
        },
        base_folder=base if is_complete(base) else None,
        artifacts=export.artifacts,
        test_file=write_test_rows(version.model, work)
        if version.model.test_rows
        else Path(settings.ARTIFACTS_DIR) / dataset.folder / "test.jsonl",
        system_prompt=version.system_prompt,
        metric=evaluation.metric if evaluation else contract_metric or UNMEASURED,
        labels=list(dataset.run.intent_facts.labels) or None,
        context=min(version.base.context, max(MAX_CONTEXT, 2 * longest)),
        out_dir=work / "bundle",
        facts=_facts(version, dataset, evaluation),
        # Our own, of which it is another copy.
        base_license_file=license if version.base.license == APACHE and license.is_file() else None,
    )


def _encoder_facts(version: ModelVersion) -> facts.BaseFacts:
    names = [name for name in version.config["features"] if name in REVISIONS]
    packages = ", ".join(REVISIONS[name] for name in names)
    return facts.BaseFacts(" and ".join(names), " and ".join(names), packages or "none", APACHE)


def _facts(
    version: ModelVersion, dataset: DatasetVersion, evaluation: EvaluationRun | None
) -> facts.ModelFacts:
    model, base, data = version.model, version.base, facts_of_version(dataset)
    run = TrainingRun.objects.filter(version=version).first()
    trained = run.facts.items() if run else ()
    criteria = evaluation.criteria if evaluation else []
    return facts.ModelFacts(
        title=f"{model.name}, version {version.number}",
        requirement=model.requirement,
        objective=model.objective,
        policy=model.policy,
        system_prompt=version.system_prompt,
        base=_encoder_facts(version)
        if ENCODER in version.artifacts
        else facts.BaseFacts(base.name, base.hub_id, base.revision, base.license),
        config=version.config,
        dataset=facts.DatasetFacts(dataset.digest, data.splits),
        sources=data.sources,
        criteria=TypeAdapter(list[facts.CriterionOutcome]).validate_python(criteria),
        verdict=evaluation.verdict if evaluation else "",
        evaluation=facts.EvaluationFacts.from_scores(version.scores),
        language=dataset.run.intent_facts.language,
        trained={name: value for name, value in trained if isinstance(value, str | int | float)},
    )
