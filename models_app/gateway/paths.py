"""Where the files of a model lie that the serving engine opens."""

from pathlib import Path

from django.conf import settings

from models_app.models import FoundationModel, ModelVersion
from modelstation.lm.encoder.head import HEAD_FILE
from modelstation.lm.gguf.quantisations import SERVED

GGUF = SERVED.file_name


def version_folder(version: ModelVersion) -> Path:
    return Path(settings.ARTIFACTS_DIR) / version.folder


def engine_paths(version: ModelVersion) -> tuple[Path, Path]:
    """Return the GGUF and the tokenizer folder of a trained version; of an encoder the file of its
    head, and its folder.
    """
    encoder = version_folder(version) / "encoder"
    if encoder.is_dir():
        return encoder / HEAD_FILE, encoder
    folder = version_folder(version) / "gguf"
    return folder / GGUF, folder


def base_paths(base: FoundationModel) -> tuple[Path, Path]:
    """Return the GGUF and the tokenizer folder of a base model."""
    folder = Path(settings.MODELS_DIR) / base.name
    return folder / GGUF, folder
