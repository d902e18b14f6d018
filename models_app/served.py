"""Names of what is served: a slug (its live version), `slug:v3`, or an installed base."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db.models import QuerySet

from accounts.models import Organization
from models_app.models import CustomModel, FoundationModel, ModelVersion
from models_app.serving_paths import base_paths, engine_paths

_PINNED = re.compile(r"(?P<slug>[-\w]+):v(?P<number>[0-9]{1,9})", re.ASCII)
BASES_OWNER = "modelstation"


@dataclass(frozen=True)
class Served:
    name: str
    owner: str
    created_at: datetime | None
    gguf: Path
    tokenizer_folder: Path
    system_prompt: str = ""
    version: ModelVersion | None = None


def served_by(org: Organization, name: str) -> Served | None:
    """What answers to this name in the organisation; None when nothing does."""
    if pinned := _PINNED.fullmatch(name):
        numbered = ModelVersion.objects.for_org(org).select_related("model", "org")
        version = numbered.filter(model__slug=pinned["slug"], number=int(pinned["number"])).first()
        return _version(version, name) if version else None
    live = _live_models(org).filter(slug=name).first()
    if live is not None:
        return _live(live)
    base = FoundationModel.objects.filter(name=name, is_installed=True).first()
    return _base(base) if base else None


def all_served(org: Organization) -> list[Served]:
    """Every published model, newest first, and the installed bases."""
    own = [_live(model) for model in _live_models(org)]
    taken = {served.name for served in own}
    bases = FoundationModel.objects.filter(is_installed=True).exclude(name__in=taken)
    return own + [_base(base) for base in bases]


def _live_models(org: Organization) -> QuerySet[CustomModel]:
    heavy = ("requirement", "examples", "test_rows", "training_config", "objective", "policy")
    unasked = ("live_version__artifacts", "live_version__config", "live_version__scores")
    published = CustomModel.objects.for_org(org).filter(live_version__isnull=False)
    return published.select_related("live_version", "org").defer(*heavy, *unasked)


def _live(model: CustomModel) -> Served:
    assert model.live_version is not None
    return _version(model.live_version, model.slug, owner=model.org.slug)


def _version(version: ModelVersion, name: str, owner: str = "") -> Served:
    gguf, tokenizer_folder = engine_paths(version)
    return Served(
        name=name,
        owner=owner or version.org.slug,
        created_at=version.created_at,
        gguf=gguf,
        tokenizer_folder=tokenizer_folder,
        system_prompt=version.system_prompt,
        version=version,
    )


def _base(base: FoundationModel) -> Served:
    gguf, tokenizer_folder = base_paths(base)
    return Served(base.name, BASES_OWNER, None, gguf, tokenizer_folder)
