"""Which rows of the corpus a query may see: one condition, and the values that it is given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

# Rows of an import that has not ended may be taken back yet: nothing is chosen from them.
VISIBLE = """
    source_id = ANY(%s::uuid[]) AND license = ANY(%s::text[])
    AND (import_run_id IS NULL OR import_run_id <> ALL(%s::uuid[]))
"""


@dataclass(frozen=True)
class Scope:
    """Sources that the organisation may use, licences that are let in, imports to wait for."""

    sources: tuple[UUID, ...]
    licenses: tuple[str, ...] = ()
    unfinished: tuple[UUID, ...] = ()

    def within(self, source_ids: Sequence[str] | None) -> "Scope":
        """Return the same for some of the sources; others than its own are never added."""
        if source_ids is None:
            return self
        wanted = set(source_ids)
        return replace(self, sources=tuple(s for s in self.sources if str(s) in wanted))

    @property
    def values(self) -> list[list[UUID] | list[str]]:
        """For the places of VISIBLE."""
        return [list(self.sources), list(self.licenses), list(self.unfinished)]
