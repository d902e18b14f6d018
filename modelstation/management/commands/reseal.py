"""Encrypt each stored secret again with the first of FIELD_ENCRYPTION_KEYS; the rest may then go.

manage.py reseal
"""

import sys
from typing import Any

from django.apps import apps
from django.db import models

from modelstation.core.commands import PlainCommand
from modelstation.core.encrypted import EncryptedField, Sealed, SecretUnreadable


class Command(PlainCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        done, lost = 0, 0
        for model, field in encrypted_columns():
            for row in model._base_manager.exclude(**{field: ""}).only("pk", field).iterator():
                before: Sealed = getattr(row, field)
                try:
                    sealed = before.resealed()
                except SecretUnreadable:
                    lost += 1
                    self.stderr.write(f"{model._meta.label} {row.pk}: no key opens its {field}.")
                    continue
                done += 1  # and where somebody set another secret meanwhile, that one stays
                model._base_manager.filter(**{"pk": row.pk, field: before}).update(
                    **{field: sealed}
                )
        self.stdout.write(f"{done} secret{'' if done == 1 else 's'} encrypted with the first key.")
        if lost:
            sys.exit(1)


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    return [
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, EncryptedField)
    ]
