"""What is known of the bases on this installation: rows that mirror the catalogue."""

from django.conf import settings

from models_app.models import FoundationModel
from modelstation.lm.catalog import BASES
from modelstation.lm.loading import is_complete


def mirror_catalogue() -> None:
    """One FoundationModel row per base of the catalogue, installed where its files are."""
    for base in BASES.values():
        FoundationModel.objects.update_or_create(
            name=base.name,
            defaults={
                "hub_id": base.hub_id,
                "revision": base.revision,
                "license": base.license,
                "parameters": base.parameters,
                "context": base.context,
                "architecture": base.architecture,
                "download_bytes": base.download_bytes,
                "served_bytes": base.gguf_bytes,
                "suits": base.suits,
                "is_installed": is_complete(settings.MODELS_DIR / base.name),
            },
        )
