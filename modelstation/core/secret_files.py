"""Secrets of one installation, each in a file under var/ that only its owner reads. No Django."""

import os
import secrets
import tempfile
from pathlib import Path


def kept_secret(path: Path, new: str = "") -> str:
    """Return the secret in the file; keep `new`, or a random one, where there is none yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_first(path, new or secrets.token_urlsafe(48))
    return path.read_text()


def _write_first(path: Path, secret: str) -> None:
    """Whole or not at all, and of two processes the first: linking fails where a file is."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # made with mode 600
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        os.unlink(temporary)
