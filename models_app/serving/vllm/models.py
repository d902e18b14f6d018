"""What vLLM must serve for the files that llama.cpp would open: a base, or a version's adapter."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from models_app.models import ModelVersion
from models_app.serving.errors import ServingError
from models_app.serving.vllm.engine import Adapter


@dataclass(frozen=True)
class VllmModel:
    base: str
    adapter: Adapter | None = None


def vllm_model(gguf: Path) -> VllmModel:
    """By the path that `serving_paths` made of a row; tenant and version are read from that row."""
    folder = gguf.parent
    if folder.parent == Path(settings.MODELS_DIR):
        return VllmModel(folder.name)
    artifacts = Path(settings.ARTIFACTS_DIR)
    if not folder.is_relative_to(artifacts):
        raise _unknown()
    of_version = str(folder.parent.relative_to(artifacts))
    version = ModelVersion.objects.filter(folder=of_version).select_related("base").first()
    if version is None:
        raise _unknown()
    if "adapter" not in version.artifacts:
        raise ServingError(
            "This version was tuned in full and has no adapter; vLLM serves adapters here.",
            code="not_servable",
        )
    adapter = Adapter(str(version.org_id), str(version.id), artifacts / of_version / "adapter")
    return VllmModel(version.base.name, adapter)


def _unknown() -> ServingError:
    return ServingError("vLLM can serve no such model.", code="model_not_found")
