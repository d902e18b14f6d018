"""Inputs from a file that came with a request; the file itself is not kept."""

import os
import tempfile
from pathlib import Path

from django.conf import settings

from distillation.imports.uploads import ReceivedFile, safe_name
from distillation.labelling.reading import Inputs, read_inputs


def inputs_of_file(file: ReceivedFile, column: str = "") -> Inputs:
    """Read it under its own name: the readers go by its ending, and errors name it."""
    file.flush()
    incoming = Path(settings.UPLOADS_DIR) / "incoming"
    with tempfile.TemporaryDirectory(dir=incoming) as folder:
        path = Path(folder) / safe_name(file.name or "")
        os.link(file.temporary_file_path(), path)
        return read_inputs(path, column)
