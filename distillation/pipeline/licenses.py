"""Which licences an organisation lets into its datasets.

    LicensePolicy("permissive").allows("CC-BY-SA-4.0")  # False
Try it: pytest distillation/tests/pipeline/test_licenses.py
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ANY = "any"
PERMISSIVE = "permissive"
NAMED = "named"
KINDS = (ANY, PERMISSIVE, NAMED)

OWN_DATA = "own data"  # what an organisation uploads of its own is its own to train on
UNKNOWN = "unknown"

_PERMISSIVE_NAMES = re.compile(
    r"\b(mit|bsd|apache|isc|cc0|public domain|unlicense|cc-by-\d|cc-by\b|wordnet|pddl|odc-by)",
    re.IGNORECASE,
)
_NOT_PERMISSIVE = re.compile(r"-(nc|nd|sa)\b|\bgpl|non-?commercial", re.IGNORECASE)
_NON_COMMERCIAL = re.compile(r"[\s_-]nc\b|\bnon[\s_-]?commercial", re.IGNORECASE)


def is_unknown(license_name: str) -> bool:
    return license_name.strip().casefold() in ("", UNKNOWN, "other", "none")


def is_non_commercial(license_name: str) -> bool:
    return _NON_COMMERCIAL.search(license_name) is not None


@dataclass(frozen=True)
class LicensePolicy:
    """`any`: whatever is stated; `permissive`: no share-alike, non-commercial or no-derivatives
    terms; `named`: these alone. A licence that nobody stated is let in only when `allow_unknown`.
    """

    kind: str = ANY
    names: tuple[str, ...] = ()
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown licence policy {self.kind!r}: use one of {', '.join(KINDS)}")

    def allows(self, license_name: str) -> bool:
        if is_unknown(license_name):
            return self.allow_unknown
        if self.kind == NAMED:
            return license_name.casefold() in {name.casefold() for name in self.names}
        if self.kind == ANY or license_name == OWN_DATA:
            return True
        named = _PERMISSIVE_NAMES.search(license_name) is not None
        return named and _NOT_PERMISSIVE.search(license_name) is None

    def allowed(self, license_names: Iterable[str]) -> list[str]:
        """Those of the given names that are let in, for a query's WHERE."""
        return sorted(name for name in set(license_names) if self.allows(name))
