"""The versions of a model, as its page lists them."""

from collections.abc import Sequence
from dataclasses import dataclass

from models_app.models import CustomModel, ModelVersion, Promotion
from models_app.versions.promotions import objection_to


@dataclass(frozen=True)
class VersionLine:
    version: ModelVersion
    is_live: bool
    promotion: Promotion | None  # the newest that made it live
    objection: str  # why it may not go live without a person's word


def version_lines(
    model: CustomModel, versions: Sequence[ModelVersion], newest_first: Sequence[Promotion]
) -> list[VersionLine]:
    newest: dict[object, Promotion] = {}
    for promotion in newest_first:
        newest.setdefault(promotion.version_id, promotion)
    return [
        VersionLine(
            version=version,
            is_live=version.id == model.live_version_id,
            promotion=newest.get(version.id),
            objection=objection_to(version, model.live_version_id),
        )
        for version in versions
    ]
