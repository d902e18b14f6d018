"""An organisation's licence policy as the pipeline knows it, and what it does to the corpus."""

from dataclasses import dataclass

from django.db.models import Count

from accounts.models import Organization
from distillation.models import CorpusExample, SourceDataset
from distillation.pipeline.licenses import LicensePolicy, is_unknown


@dataclass(frozen=True)
class LicenseShare:
    license: str
    rows: int
    allowed: bool

    @property
    def is_unknown(self) -> bool:
        return is_unknown(self.license)


def license_policy_of(org: Organization) -> LicensePolicy:
    return LicensePolicy(org.license_policy, tuple(org.license_names), org.allow_unknown_license)


def license_shares(org: Organization, policy: LicensePolicy) -> list[LicenseShare]:
    """Most rows first."""
    visible = SourceDataset.objects.visible_to(org).ready()
    counted = (
        CorpusExample.objects.filter(source__in=visible)
        .values_list("license")
        .annotate(rows=Count("id"))
        .order_by("-rows", "license")
    )
    return [LicenseShare(name, rows, policy.allows(name)) for name, rows in counted]
