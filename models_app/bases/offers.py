"""What is known of the bases on this installation: rows that mirror the catalogue."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from accounts.models import Organization
from models_app.models import BaseFetch, FoundationModel
from modelstation.core.models import Job
from modelstation.lm.bases.catalog import BASES, Base, is_complete

MIRRORED = (
    "hub_id", "revision", "license", "parameters", "context", "architecture", "download_bytes",
    "suits",
)  # fmt: skip


def mirror_catalogue() -> None:
    """One FoundationModel row per base of the catalogue, installed where its files are."""
    for base in BASES.values():
        FoundationModel.objects.update_or_create(
            name=base.name,
            defaults={name: getattr(base, name) for name in MIRRORED}
            | {"served_bytes": base.gguf_bytes, "is_installed": is_on_disk(base.name)},
        )


def is_on_disk(name: str) -> bool:
    return is_complete(Path(settings.MODELS_DIR) / name)


@dataclass(frozen=True)
class Offer:
    """A base as an organisation sees it: with its own last fetch, or somebody else's under way."""

    row: FoundationModel
    entry: Base | None  # None: no longer in the catalogue
    fetch: BaseFetch | None
    is_coming: bool  # fetched by another organisation

    @property
    def job(self) -> Job | None:
        return self.fetch.job if self.fetch else None

    @property
    def is_live(self) -> bool:
        return self.is_coming or bool(self.job and self.job.is_live)

    @property
    def can_be_fetched(self) -> bool:
        return bool(self.entry) and not self.row.is_installed and not self.is_live

    @property
    def failed(self) -> str:
        """Why the last fetch came to nothing."""
        job = None if self.row.is_installed else self.job
        return job.error_text if job and job.state == Job.State.FAILED else ""


def offers_for(org: Organization) -> list[Offer]:
    live = BaseFetch.objects.filter(job__state__in=Job.LIVE_STATES)
    coming = dict(live.values_list("base_id", "org_id"))
    fetches = BaseFetch.objects.for_org(org).select_related("job").order_by("created_at")
    own = {fetch.base_id: fetch for fetch in fetches}  # the newest of each base
    return [
        Offer(row, BASES.get(row.name), own.get(row.name), coming.get(row.name, org.pk) != org.pk)
        for row in FoundationModel.objects.order_by("parameters", "name")
    ]
