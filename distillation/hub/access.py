"""Accessors of searches of the hub and of imports from it."""

import uuid

from django.shortcuts import get_object_or_404

from distillation.models import HubImport, HubSearch
from models_app.models import CustomModel


def hub_search_for(model: CustomModel, search_id: uuid.UUID) -> HubSearch:
    found: HubSearch = get_object_or_404(model.hub_searches.select_related("job"), id=search_id)
    return found


def hub_import_for(model: CustomModel, import_id: uuid.UUID) -> HubImport:
    imports = model.hub_imports.select_related("run__job")
    found: HubImport = get_object_or_404(imports, id=import_id)
    return found
