"""What vLLM must serve for the files that llama.cpp would open: a base, or a version's adapter."""

from pathlib import Path

from django.conf import settings

from models_app.models import ModelVersion
from models_app.serving.errors import ServingError
from models_app.serving.vllm.engine import Adapter, VllmModel


def vllm_model(gguf: Path) -> VllmModel:
    """By the path that `serving_paths` made of a row; tenant and version are read from that row."""
    folder, artifacts = gguf.parent, Path(settings.ARTIFACTS_DIR)
    if folder.parent == Path(settings.MODELS_DIR):
        return VllmModel(folder.name)
    version = None
    if folder.is_relative_to(artifacts):
        of_version = str(folder.parent.relative_to(artifacts))
        version = ModelVersion.objects.filter(folder=of_version).select_related("base").first()
    if version is None:
        raise ServingError("vLLM can serve no such model.", code="model_not_found")
    if "adapter" not in version.artifacts:
        raise ServingError(
            "This version was tuned in full and has no adapter; vLLM serves adapters here.",
            code="not_servable",
        )
    adapter = Adapter(str(version.org_id), str(version.id), artifacts / version.folder / "adapter")
    return VllmModel(version.base.name, adapter)
