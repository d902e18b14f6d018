"""A model version's whole descent: requirement, distillation, dataset, training, evaluation, files.

The number of queries is fixed. Model files are large: they are hashed again only on request.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from distillation.datasets import lineage
from distillation.datasets.lineage import UNKNOWN, VERIFIED, Check, DatasetLineage, lineage_of
from distillation.models import DatasetVersion
from models_app.models import CustomModel, ModelVersion
from modelstation.core.artifacts import ArtifactError, read_manifest, verify
from training.evaluations.services import dataset_of_version
from training.models import EvaluationRun, TrainingRun


@dataclass(frozen=True)
class ModelLineage:
    model: CustomModel
    dataset: DatasetLineage | None = None
    training: TrainingRun | None = None
    evaluation: EvaluationRun | None = None
    version: ModelVersion | None = None
    checks: list[Check] = field(default_factory=list)  # of the version and its files

    @property
    def all_checks(self) -> list[Check]:
        return [*(self.dataset.checks if self.dataset else ()), *self.checks]

    @property
    def verdict(self) -> str:
        return lineage.overall(self.all_checks)


def lineage_of_model(model: CustomModel, *, deep: bool = False) -> ModelLineage:
    """Of the version that is served, else of the newest, else of the newest dataset alone."""
    version = model.live_version or model.versions.select_related("base").first()
    if version is not None:
        return lineage_of_version(model, version, deep=deep)
    newest = model.dataset_versions.select_related("model", "run").first()
    return ModelLineage(model, lineage_of(newest) if newest else None)


def lineage_of_version(
    model: CustomModel, version: ModelVersion, *, deep: bool = False
) -> ModelLineage:
    version.model = model
    dataset = dataset_of_version(version)
    evaluations = EvaluationRun.objects.filter(version=version).prefetch_related("scores")
    evaluation = evaluations.first()
    checks = [_dataset_check(version, dataset)]
    for kind, manifest in sorted(version.artifacts.items()):
        folder = Path(version.folder) / kind
        checks.append(_folder_check(f"Files: {kind}", folder, deep=deep, recorded=manifest))
    if evaluation is not None and evaluation.folder:
        checks.append(_folder_check("Evaluation", Path(evaluation.folder), deep=True))
    return ModelLineage(
        model=model,
        dataset=lineage_of(dataset) if dataset else None,
        training=TrainingRun.objects.filter(version=version).select_related("job").first(),
        evaluation=evaluation,
        version=version,
        checks=checks,
    )


def _dataset_check(version: ModelVersion, dataset: DatasetVersion | None) -> Check:
    name = "Trained on"
    if dataset is None:
        return Check(name, UNKNOWN, f"No dataset of the digest {version.dataset_digest} is left.")
    detail = f"The version was made of the digest {version.dataset_digest}."
    if dataset.digest == version.dataset_digest:
        return Check(name, VERIFIED, detail)
    return Check(name, "differs", detail, (f"Dataset {dataset.number} is {dataset.digest}.",))


def _folder_check(
    name: str, folder: Path, *, deep: bool, recorded: dict[str, Any] | None = None
) -> Check:
    """Compare the manifest on the disk with the one that was recorded; deep: with the files too."""
    path = Path(settings.ARTIFACTS_DIR) / folder
    try:
        manifest = verify(path) if deep else read_manifest(path)
    except ArtifactError as error:
        if not path.is_dir():
            return Check(name, UNKNOWN, "The files are no longer on the disk.")
        return Check(name, "differs", "The files were looked at.", (lineage.relative(error, path),))
    wrong = _differences(manifest, recorded or manifest) + _missing(path, manifest)
    how = "hashed again" if deep else "compared by their manifest"
    detail = f"{len(manifest['files']):,} files were {how}."
    return Check(name, "differs" if wrong else VERIFIED, detail, tuple(wrong))


def _differences(current: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    now, then = (
        {entry["path"]: entry["sha256"] for entry in manifest.get("files", ())}
        for manifest in (current, recorded)
    )
    return [
        f"{path} is not the file that was recorded."
        for path in sorted(now.keys() | then.keys())
        if now.get(path) != then.get(path)
    ]


def _missing(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Cheap to see even of large files: one that is gone, or of another size."""
    return [
        f"{entry['path']} is missing, or of another size."
        for entry in manifest["files"]
        if not (folder / entry["path"]).is_file()
        or (folder / entry["path"]).stat().st_size != entry["bytes"]
    ]
