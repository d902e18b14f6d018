"""The folder that is handed out, its manifest, its signature, and the one file it becomes."""

import base64
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import JsonValue

from modelstation.core.artifacts import CHUNK_BYTES, sha256_file

MANIFEST, SIGNATURE, PUBLIC_KEY = "manifest.json", "manifest.sig", "public_key.txt"
EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip has no earlier time; the same files give the same zip


def signing_key(secret: str) -> Ed25519PrivateKey:
    """Secrets are random texts of any length; Ed25519 wants 32 bytes."""
    seed = hashlib.sha256(b"modelstation export signing\0" + secret.encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_key_hex(secret: str) -> str:
    return signing_key(secret).public_key().public_bytes_raw().hex()


def seal_bundle(folder: Path, secret: str, facts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Write the public key, the manifest with the hash of every file, and its signature."""
    (folder / PUBLIC_KEY).write_text(public_key_hex(secret) + "\n")
    files: list[JsonValue] = [
        {
            "path": path.relative_to(folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": sha256_file(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, SIGNATURE)
    ]
    manifest: dict[str, JsonValue] = {**facts, "files": files}
    raw = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False).encode()
    (folder / MANIFEST).write_bytes(raw)
    (folder / SIGNATURE).write_text(base64.b64encode(signing_key(secret).sign(raw)).decode())
    return manifest


def write_zip(folder: Path, target: Path, name: str, look: Callable[[], None]) -> str:
    """Pack the folder's files under `name`/, stored as they are: weights do not shrink. Returns the
    SHA-256 of the zip. `look` is called between pieces; what it raises leaves no file behind.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                _add(archive, path, f"{name}/{path.relative_to(folder).as_posix()}", look)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return sha256_file(target)


def _add(archive: zipfile.ZipFile, path: Path, name: str, look: Callable[[], None]) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = 0o644 << 16
    entry.file_size = path.stat().st_size
    with archive.open(entry, "w") as target, path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            look()
            target.write(chunk)


def link_or_copy(source: Path, target: Path) -> None:
    """Give the same bytes a second name where the disk allows it: artifacts are never edited."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
