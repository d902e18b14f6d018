"""Rows for tests: users, organisations, models; and the folder of real public data.

Rows are imported inside the functions, so that benchmarks can ask for `shared_data` without Django.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

    from accounts.models import Membership, Organization, Role, User
    from models_app.models import CustomModel, ModelVersion

REPOSITORY = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"
REQUIREMENT = "Label each message of a bank's customer with one intent. Answer with the label only."


def make_user(email: str, *, password: str = PASSWORD, **fields: Any) -> "User":
    from accounts.models import User

    return User.objects.create_user(email, password, **fields)


def make_org(name: str = "Acme", *, owner: "User | None" = None) -> "Organization":
    """Make an organisation with an owner; its slug is the slugified name."""
    from django.utils.text import slugify

    from accounts.models import Organization, Role

    org = Organization.objects.create(name=name, slug=slugify(name))
    join(org, owner or make_user(f"owner@{org.slug}.example"), role=Role.OWNER)
    return org


def join(org: "Organization", user: "User", *, role: "Role | str" = "member") -> "Membership":
    from accounts.models import Membership

    return Membership.objects.create(org=org, user=user, role=role)


def make_model(org: "Organization", *, name: str = "Bank intents", **fields: Any) -> "CustomModel":
    """Make a row as it stands before any work, with no job."""
    from django.utils.text import slugify

    from models_app.models import CustomModel

    wanted = {
        "name": name,
        "slug": slugify(name),
        "requirement": REQUIREMENT,
        "base": make_base(),
    } | fields
    model: CustomModel = CustomModel.objects.create(org=org, **wanted)
    return model


def make_version(model: "CustomModel", number: int = 1, **fields: Any) -> "ModelVersion":
    """Make a version's row, a draft by default; its folder is named, not made."""
    from models_app.models import ModelVersion

    wanted = {"org": model.org, "base": model.base, "folder": f"{model.id}/v{number}"} | fields
    version: ModelVersion = ModelVersion.objects.create(model=model, number=number, **wanted)
    return version


def make_base(name: str = "smollm2-135m-instruct", **fields: Any) -> Any:
    """Make the row of a base model that is on the installation."""
    from models_app.models import FoundationModel

    facts = {
        "hub_id": f"test/{name}",
        "revision": "0" * 40,
        "license": "apache-2.0",
        "parameters": 134_515_008,
    }
    defaults = facts | {"context": 8192, "is_installed": True} | fields
    return FoundationModel.objects.update_or_create(name=name, defaults=defaults)[0]


def let_go(response: "HttpResponseBase") -> None:
    """Close a response that was not read, as a server does; the test keeps its connection."""
    from django.core.signals import request_finished
    from django.db import close_old_connections

    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


def shared_data() -> Path:
    """Return the folder of real public data, never part of the repository; skips where it is
    absent."""
    import pytest

    folder = Path(os.environ.get("MODELSTATION_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "corpus").is_dir():
        pytest.skip(
            "The real public data is not on this machine; name its folder in MODELSTATION_DATA."
        )
    return folder
