"""Secrets of one installation, each in a file under var/ that only its owner reads. No Django."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def kept_secret(path: Path, new: str = "") -> str:
    """Return the secret in the file; keep `new`, or a random one, where there is none yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, and of two processes the first: linking fails where a file is.
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as stream:  # made with mode 600
            stream.write(new or secrets.token_urlsafe(48))
            stream.flush()
            with suppress(FileExistsError):
                os.link(stream.name, path)
    return path.read_text()
