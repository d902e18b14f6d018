"""Actions on exports: request one, delete it, make a link to it, clean up what has expired.

What lies on the disk for an export lies in `<artifacts>/<export id>/`.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import JsonValue

from accounts.audit import record
from accounts.models import User
from models_app.gateway.paths import version_folder
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict, NoSpace, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training.export.bundle.artifacts import ARTIFACTS, DEFAULT_ARTIFACTS, ENCODER, Artifact
from training.models import Export

PAPERS_BYTES = 1 << 20
ENCODER_BYTES = 92 << 20  # of its weights
GGUF_HEAD_BYTES = 4 << 20  # vocabulary and merges
SPARE_BYTES = 1 << 30  # of the disk is left to the rest of the house


@dataclass(frozen=True)
class Size:
    name: str
    label: str
    bytes: int


@dataclass(frozen=True)
class PackedExport:
    """What an export's row keeps of the file that was made."""

    folder: str  # under settings.ARTIFACTS_DIR
    file_name: str
    file_bytes: int
    sha256: str
    manifest: Mapping[str, JsonValue]
    certificate: Mapping[str, JsonValue]


def sizes_of(version: ModelVersion) -> list[Size]:
    """Return what each artifact that can be had of this version will take, about."""
    return [
        Size(artifact.name, artifact.label, _bytes_of(version, artifact))
        for artifact in ARTIFACTS.values()
        if _is_had(version, artifact)
    ]


def _is_had(version: ModelVersion, artifact: Artifact) -> bool:
    """Of an encoder there is the encoder; of a generator all else, an adapter if it has one."""
    if (artifact.name == ENCODER) != (ENCODER in version.artifacts):
        return False
    return artifact.name != "adapter" or "adapter" in version.artifacts


def _bytes_of(version: ModelVersion, artifact: Artifact) -> int:
    if artifact.quantisation is None:
        manifest = version.artifacts.get(artifact.name, {})
        files = sum(int(entry["bytes"]) for entry in manifest.get("files", ()))
        return files + (ENCODER_BYTES if artifact.name == ENCODER else 0)
    from modelstation.lm.gguf.export import gguf_bytes

    try:
        weights = gguf_bytes(version_folder(version) / "merged", artifact.quantisation)
    except (ValueError, OSError, KeyError):
        return 0  # the reason is given when it is made
    return weights + GGUF_HEAD_BYTES


def free_bytes() -> int:
    settings.ARTIFACTS_DIR.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(settings.ARTIFACTS_DIR).free


def submit_export(
    *, actor: User, version: ModelVersion, artifacts: list[str] | None = None
) -> Export:
    sizes = {size.name: size.bytes for size in sizes_of(version)}
    wanted = _wanted(artifacts, sizes)
    expected = sum(sizes[name] for name in wanted) + PAPERS_BYTES
    check_disk(expected)
    with transaction.atomic():
        ModelVersion.objects.select_for_update().get(pk=version.pk)
        if Export.objects.filter(version=version, job__state__in=Job.LIVE_STATES).exists():
            message = f"Version {version.number} is being exported already."
            hint = "Wait until that export has ended, or delete it."
            raise Conflict(message, code="already_exporting", hint=hint)
        export = Export(org=version.org, version=version, created_by=actor)
        export.artifacts, export.expected_bytes = wanted, expected
        export.job = jobs.submit(kind="export", org=version.org, subject_id=export.pk)
        export.save()
        record(
            org=version.org, actor=actor, action="version.export", target=version, artifacts=wanted
        )
    return export


def _wanted(requested: list[str] | None, sizes: dict[str, int]) -> list[str]:
    """In the order in which they are listed; without a choice the usual ones."""
    chosen = set(DEFAULT_ARTIFACTS if requested is None else requested)
    if unknown := sorted(chosen - ARTIFACTS.keys()):
        message, hint = f"There is no artifact “{unknown[0]}”.", f"Choose among {', '.join(sizes)}."
        raise UserFacingError(message, param="artifacts", hint=hint)
    if requested is not None and (missing := sorted(chosen - sizes.keys())):
        message = f"This version has no {missing[0]}: all its weights were tuned."
        hint = "Choose merged weights or a GGUF."
        if ENCODER in {missing[0], *sizes}:
            message = f"This version has no {missing[0]}: it is another kind of model."
            hint = f"Choose among {', '.join(sizes)}."
        raise UserFacingError(message, param="artifacts", hint=hint)
    wanted = [name for name in sizes if name in chosen]
    if not wanted:
        raise UserFacingError("Choose at least one artifact.", param="artifacts")
    return wanted


def check_disk(expected: int) -> None:
    """Twice: the files while they are made, and the one file they become."""
    needed, free = 2 * expected + SPARE_BYTES, free_bytes()
    if free < needed:
        needs = f"This export needs {needed / 1e9:.1f} GB of disk space"
        message = f"{needs}, and {free / 1e9:.1f} GB are free."
        hint = "Delete exports that were downloaded, or choose fewer artifacts."
        raise NoSpace(message, code="disk_full", hint=hint)


def delete_export(*, actor: User, export: Export) -> None:
    """Its links are dead at once; its file goes after the commit."""
    with transaction.atomic():
        _discard(export)
        record(org=export.org, actor=actor, action="export.delete", target=export)


def discard_exports_of(model: CustomModel) -> None:
    """Discard them in the transaction that deletes the model."""
    for export in Export.objects.filter(version__model=model).select_related("job"):
        _discard(export)


def _discard(export: Export) -> None:
    if export.job is not None:
        jobs.request_cancel(export.job)
    for job in Job.objects.filter(export_push__export=export, state__in=Job.LIVE_STATES):
        jobs.request_cancel(job)
    transaction.on_commit(partial(shutil.rmtree, folder_of(export), ignore_errors=True))
    export.delete()


def folder_of(export: Export) -> Path:
    return Path(settings.ARTIFACTS_DIR) / str(export.pk)


def file_of(export: Export) -> Path:
    return Path(settings.ARTIFACTS_DIR) / export.folder / export.file_name


def check_accepted(export: Export, *, actor: User | None, accepted: bool, begins: bool) -> None:
    """Files that do not answer as the model was trained to are handed out to who says yes to that.
    `begins`: it is no going on with a download that was let begin.
    """
    if export.is_certified:
        return
    if not accepted:
        raise Conflict(
            "The parity certificate of this export did not pass: its files do not all answer as "
            "the model was trained to.",
            code="not_certified",
            param="accept_failed_certificate",
            hint="The certificate says what differs. To have the files all the same, add "
            "?accept_failed_certificate=true to the link.",
        )
    if begins:
        verdict, action = export.certificate.get("verdict", ""), "export.download_uncertified"
        record(org=export.org, actor=actor, action=action, target=export, certificate=verdict)


def clean_expired() -> int:
    """Files of expired exports; the row stays as a record."""
    expired = Export.objects.filter(expires_at__lt=timezone.now()).exclude(folder="")
    for export in expired:
        shutil.rmtree(folder_of(export), ignore_errors=True)
        Export.objects.filter(pk=export.pk).update(folder="")
    return len(expired)


def finish_export(*, export: Export, packed: PackedExport) -> None:
    """Save it in the transaction that ends the job. A row that was deleted meanwhile stays deleted,
    and its file goes with it.
    """
    expires_at = timezone.now() + timedelta(days=settings.EXPORT_DAYS)
    kept = Export.objects.filter(pk=export.pk).update(expires_at=expires_at, **vars(packed))
    if not kept:
        transaction.on_commit(partial(shutil.rmtree, folder_of(export), ignore_errors=True))
        return
    record(
        org=export.org,
        actor=export.created_by,
        action="version.exported",
        target=export,
        sha256=packed.sha256,
        certificate=str(packed.certificate["verdict"]),
    )


def settle_ended_export(job: Job) -> None:
    """Why it failed stands on its job; the audit says that it did."""
    exports = Export.objects.select_related("org", "created_by", "version")
    for export in exports.filter(id=job.subject_id):
        org, actor, action = export.org, export.created_by, f"version.export_{job.state}"
        record(org=org, actor=actor, action=action, target=export, code=job.error_code)
