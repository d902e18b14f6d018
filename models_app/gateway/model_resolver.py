"""Names of what is served: a slug (its live version), `slug:v3`, an installed base; and OpenAI's
`ft:{base}:{org}:{slug}:{id}` for a version, with `:ckpt-step-N` for its training at that step.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import Organization
from models_app.gateway.paths import base_paths, engine_paths
from models_app.models import CustomModel, FoundationModel, ModelVersion
from modelstation.core.lookups import Lookup

_PINNED = re.compile(r"(?P<slug>[-\w]+):v(?P<number>[0-9]{1,9})", re.ASCII)
_TUNED = re.compile(
    r"ft:(?P<base>[^:]+):(?P<org>[^:]+):(?P<slug>[^:]+):(?P<id>[0-9a-f]{12})"
    r"(?::(?P<checkpoint>ckpt-step-[0-9]{1,9}))?",
    re.ASCII,
)
BASES_OWNER = "modelstation"
HEAVY = ("requirement", "examples", "test_rows", "training_config", "objective", "policy")

_LIVE_MODEL = Lookup(
    lambda: CustomModel.objects.filter(org=UUID(int=0), slug="-", live_version__isnull=False),
    (
        "id", "org_id", "slug", "live_version_id", "live_version__id", "live_version__org_id",
        "live_version__model_id", "live_version__created_at", "live_version__folder",
        "live_version__system_prompt",
    ),
)  # fmt: skip
_INSTALLED_BASE = Lookup(
    lambda: FoundationModel.objects.filter(name="-", is_installed=True), ("name",)
)


@dataclass(frozen=True)
class Served:
    name: str
    owner: str
    created_at: datetime | None
    gguf: Path
    tokenizer_folder: Path
    system_prompt: str = ""
    version: ModelVersion | None = None


@dataclass(frozen=True)
class Named:
    """A version, and the checkpoint of it that the name ends with."""

    version: ModelVersion
    checkpoint: str = ""


def tuned_name(version: ModelVersion) -> str:
    """Return its name in OpenAI's form, which must fit: the id is the random end of its own."""
    return f"ft:{version.base_id}:{version.org.slug}:{version.model.slug}:{version.id.hex[-12:]}"


def named_by(org: Organization, name: str) -> Named | None:
    """Return the version that a pinned or a tuned name means; None for any other name."""
    if pinned := _PINNED.fullmatch(name):
        of_slug = _versions(org).filter(model__slug=pinned["slug"], number=int(pinned["number"]))
        version = of_slug.first()
        return Named(version) if version else None
    if not (tuned := _TUNED.fullmatch(name)) or tuned["org"] != org.slug:
        return None
    of_slug = _versions(org).filter(model__slug=tuned["slug"], base=tuned["base"])
    version = of_slug.filter(id__iendswith=tuned["id"]).first()
    checkpoint = tuned["checkpoint"] or ""
    if version is None or (checkpoint and _folder_of(version, checkpoint) is None):
        return None
    return Named(version, checkpoint)


def _versions(org: Organization) -> QuerySet[ModelVersion]:
    return ModelVersion.objects.for_org(org).select_related("model", "org")


def _folder_of(version: ModelVersion, checkpoint: str) -> str | None:
    """Of the artifact that holds the checkpoint: the best one is the version itself."""
    if checkpoint in version.artifacts:
        return checkpoint
    facts = version.artifacts.get("gguf", {}).get("facts", {})
    return "gguf" if checkpoint == f"ckpt-step-{facts.get('best_step')}" else None


def served_by(org: Organization, name: str) -> Served | None:
    """Return what answers to this name in the organisation; None when nothing does."""
    if "\x00" in name:
        return None  # the database would refuse to look for it
    if named := named_by(org, name):
        return _version(named.version, name, checkpoint=named.checkpoint)
    if _PINNED.fullmatch(name):
        return None
    live = _LIVE_MODEL.first(org.pk, name)
    if live is not None and live.live_version is not None:
        return _version(live.live_version, name, owner=org.slug)
    base = _INSTALLED_BASE.first(name)
    return _base(base) if base else None


def all_served(org: Organization) -> list[Served]:
    """Return published models, newest first, versions by their tuned names, installed bases."""
    models = CustomModel.objects.for_org(org).select_related("live_version", "org")
    unneeded = ("live_version__artifacts", "live_version__config", "live_version__scores")
    published = models.filter(live_version__isnull=False).defer(*HEAVY, *unneeded)
    own = [_version(model.live_version, model.slug, owner=model.org.slug) for model in published]
    taken = {served.name for served in own}
    versions = _versions(org).defer("artifacts", "config", *(f"model__{name}" for name in HEAVY))
    tuned = [_version(each, tuned_name(each)) for each in versions.order_by("-created_at")]
    bases = FoundationModel.objects.filter(is_installed=True).exclude(name__in=taken)
    return own + tuned + [_base(base) for base in bases]


def _version(version: ModelVersion, name: str, owner: str = "", checkpoint: str = "") -> Served:
    gguf, tokenizer_folder = engine_paths(version)
    if checkpoint and (kind := _folder_of(version, checkpoint)):
        tokenizer_folder = tokenizer_folder.with_name(kind)
        gguf = tokenizer_folder / gguf.name
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
