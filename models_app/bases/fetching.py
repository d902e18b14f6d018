"""Actions on bases: fetch one from the hub, or take it from a folder, and put it in place.

Files arrive in a folder beside the bases, so that a fetch that died goes on where it stopped. They
are checked and made ready in a child process, then appear under the base's name in one rename.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.audit import record
from accounts.models import Organization, User
from models_app.models import BaseFetch, FoundationModel
from modelstation.core.artifacts import write_artifact
from modelstation.core.errors import Busy, Conflict, NoSpace, NotFound, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.jobs.supervisor import run_child
from modelstation.core.models import Job
from modelstation.lm.bases.catalog import BASES, Base
from modelstation.lm.bases.download import RemoteFile, download, is_wanted, list_files

CHILD = "modelstation.lm.bases.files"
SPARE_BYTES = 200_000_000  # what the installation keeps for the rest
GIGABYTE = 1e9


def submit_fetch(*, actor: User, org: Organization, name: str) -> BaseFetch:
    with transaction.atomic():
        base = FoundationModel.objects.select_for_update().filter(name=name).first()
        if base is None or name not in BASES:
            message = f"There is no base “{name}” in the catalogue."
            hint = f"There are {', '.join(sorted(BASES))}."
            raise NotFound(message, code="unknown_base", param="base", hint=hint)
        _must_be_absent(base)
        fetch: BaseFetch = BaseFetch.objects.create(org=org, base=base, created_by=actor)
        fetch.job = jobs.submit(kind="fetch", org=org, subject_id=fetch.pk)
        fetch.save(update_fields=["job"])
        record(org=org, actor=actor, action="base.fetch", target=base, revision=base.revision)
    return fetch


def cancel_fetch(*, actor: User, fetch: BaseFetch) -> None:
    if fetch.job is None or not fetch.job.is_live:
        raise UserFacingError("This base is not being fetched.", code="not_fetching")
    with transaction.atomic():
        jobs.request_cancel(fetch.job)
        record(org=fetch.org, actor=actor, action="base.fetch_cancel", target=fetch.base)


def fetch(job: Job, lease: Lease) -> Publish:
    fetches = BaseFetch.objects.select_related("org", "created_by", "base")
    base_fetch = fetches.get(id=job.subject_id)
    BaseFetch.objects.filter(pk=base_fetch.pk).update(job=job)  # another one, when it was requeued
    base = BASES[base_fetch.base_id]
    folder = arriving_folder(base)
    folder.mkdir(parents=True, exist_ok=True)
    lease.stage("list", f"Asking the hub for {base.hub_id}")
    files = list_files(base, settings.HF_ENDPOINT)
    _must_have_room(files, folder, base)
    lease.stage("download", f"Downloading {len(files)} files")

    def report(done: int, total: int) -> None:
        lease.progress(step=done, total_steps=total)

    download(files, folder, base, settings.HF_ENDPOINT, report)
    lease.stage("check", "Checking the files and writing the one for serving")
    install(base, folder, _in_child(lease))
    shutil.rmtree(folder, ignore_errors=True)
    return lambda: _publish(base_fetch)


def settle_ended_fetch(job: Job) -> None:
    """Why it ended stands on its job; the audit tells that it did. What arrived stays for the next
    fetch, unless it was refused or is not wanted any more.
    """
    fetches = BaseFetch.objects.select_related("org", "created_by", "base")
    for base_fetch in fetches.filter(id=job.subject_id):
        _record(base_fetch, f"base.fetch_{job.state}", code=job.error_code)
        is_unwanted = job.error_code in ("cancelled", "base_refused")
        if is_unwanted and base_fetch.base_id in BASES:
            folder = arriving_folder(BASES[base_fetch.base_id])
            transaction.on_commit(partial(shutil.rmtree, folder, ignore_errors=True))


def take_from_hub(base: Base, report: Callable[[int, int], None]) -> None:
    """Fetch without a job, for a terminal."""
    from modelstation.lm.bases.files import make_ready

    folder = arriving_folder(base)
    folder.mkdir(parents=True, exist_ok=True)
    files = list_files(base, settings.HF_ENDPOINT)
    _must_have_room(files, folder, base)
    download(files, folder, base, settings.HF_ENDPOINT, report)
    install(base, folder, make_ready)
    shutil.rmtree(folder, ignore_errors=True)
    FoundationModel.objects.filter(name=base.name).update(is_installed=True)


def take_from_folder(base: Base, source: Path) -> None:
    """For installations without a hub: the same checks on files that somebody carried here."""
    from modelstation.lm.bases.files import make_ready

    if not source.is_dir():
        raise UserFacingError(f"{source} is not a folder.", code="no_folder")
    settings.MODELS_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".taking-", dir=settings.MODELS_DIR) as held:
        for path in sorted(source.iterdir()):
            if is_wanted(path.name):
                _must_be_a_file(path)
                shutil.copyfile(path, Path(held) / path.name, follow_symlinks=False)
        install(base, Path(held), make_ready)
    FoundationModel.objects.filter(name=base.name).update(is_installed=True)


def _must_be_a_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        message = f"{path} is a link or no file, and links are not followed."
        hint = "Copy the folder with cp -rL first."
        raise UserFacingError(message, code="base_refused", hint=hint)


def install(base: Base, folder: Path, make_ready: Callable[[Path, Base], None]) -> None:
    """Works on links of the files: a refusal or a crash leaves what arrived as it was."""

    def fill(target: Path) -> None:
        for path in folder.iterdir():
            if path.suffix != ".part":
                _bring(path, target / path.name)
        make_ready(target, base)

    facts = {"name": base.name, "hub_id": base.hub_id, "revision": base.revision}
    write_artifact(settings.MODELS_DIR / base.name, fill, kind="base", facts=facts)


def arriving_folder(base: Base) -> Path:
    return Path(settings.MODELS_DIR) / f".arriving-{base.name}-{base.revision[:12]}"


def _bring(path: Path, target: Path) -> None:
    """Weights, which are never rewritten, as a second name of the same file; the rest as copies."""
    if path.suffix == ".safetensors":
        os.link(path, target, follow_symlinks=False)
    else:
        shutil.copyfile(path, target, follow_symlinks=False)


def _in_child(lease: Lease) -> Callable[[Path, Base], None]:
    """Run in a child: it needs torch, and its files are not checked yet."""

    def make_ready(folder: Path, base: Base) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as spec:
            json.dump({"folder": str(folder), "base": asdict(base)}, spec)
            spec.flush()
            run_child(CHILD, spec.name, lease=lease, on_event=lambda event: None)

    return make_ready


def _publish(base_fetch: BaseFetch) -> None:
    """In the transaction that ends the job."""
    FoundationModel.objects.filter(name=base_fetch.base_id).update(is_installed=True)
    _record(base_fetch, "base.fetched", revision=base_fetch.base.revision)


def _record(fetch: BaseFetch, action: str, **data: str) -> None:
    record(org=fetch.org, actor=fetch.created_by, action=action, target=fetch.base, **data)


def _must_be_absent(base: FoundationModel) -> None:
    if base.is_installed:
        raise Conflict(f"{base} is on this installation already.", code="installed")
    if BaseFetch.objects.filter(base=base, job__state__in=Job.LIVE_STATES).exists():
        message, hint = f"{base} is being fetched already.", "Wait for its end."
        raise Busy(message, code="already_fetching", hint=hint)


def _must_have_room(files: list[RemoteFile], folder: Path, base: Base) -> None:
    """For what is still to come, and for the file that is made for serving."""
    there = sum(path.stat().st_size for path in folder.iterdir())
    needed = sum(file.size for file in files) - there + base.gguf_bytes + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoSpace(
            f"{base.name} needs {needed / GIGABYTE:.1f} GB of disk space, and "
            f"{free / GIGABYTE:.1f} GB are free.",
            code="disk_full",
            hint="Nothing was downloaded. Free some space, or choose a smaller base.",
        )
