"""A folder per artifact: written apart, hashed, given a manifest, renamed into place. No Django."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20  # of a file that is copied


class ArtifactError(Exception):
    """A folder that is not what its manifest says; the message names the file."""


def write_artifact(
    target: Path, fill: Callable[[Path], object], *, kind: str, facts: dict[str, Any]
) -> dict[str, Any]:
    """Let `fill(folder)` write files, then publish them at `target` in one rename; return the
    manifest.

    A reader sees the whole artifact or none of it. An existing target is replaced only after the
    new one is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fill(temporary)
        manifest = _manifest(temporary, kind, facts)
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True))
        temporary.chmod(0o755)
        _fsync_tree(temporary)
        _replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder / MANIFEST} cannot be read: {error}") from error
    return manifest


def verify(folder: Path) -> dict[str, Any]:
    """Hash every file anew; return the manifest, or raise ArtifactError with the first bad file."""
    manifest = read_manifest(folder)
    for entry in manifest["files"]:
        path = folder / entry["path"]
        if not path.is_file():
            raise ArtifactError(f"{path} is missing")
        if sha256_file(path) != entry["sha256"]:
            raise ArtifactError(f"{path} has changed since it was written")
    return manifest


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _manifest(folder: Path, kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [str(path.relative_to(folder)) for path in paths]
    files = [
        {"path": name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for name, path in zip(names, paths, strict=True)
    ]
    now = datetime.now(UTC).isoformat()
    return {"kind": kind, "created_at": now, "facts": facts, "files": files}


def _fsync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replace(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    target.rename(retired / "old")  # a directory cannot be renamed over a non-empty one
    temporary.rename(target)
    shutil.rmtree(retired, ignore_errors=True)
