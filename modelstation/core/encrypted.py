"""A text column that is encrypted at rest, with keys of its own.

The first key of FIELD_ENCRYPTION_KEYS encrypts, all of them decrypt: to rotate, put a new key in
front, run `manage.py reseal`, then drop the old one. What is read from the database stays sealed
until somebody says `open()`, so that it is in no page, log or traceback by accident.
"""

import base64
import functools
import hashlib
import hmac
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from modelstation.core.errors import UserFacingError


class SecretUnreadable(UserFacingError):
    """No key of the installation opens a stored secret. The message says nothing of its content."""

    def __init__(self) -> None:
        message = "A stored secret cannot be opened with the keys of this installation."
        hint = (
            "Set it again on the settings page, or ask your operator to put the key that it was "
            "stored with back into FIELD_ENCRYPTION_KEYS."
        )
        super().__init__(message, code="secret_unreadable", hint=hint)


class Sealed:
    """A secret as it is stored. Shows nothing of itself."""

    def __init__(self, ciphertext: str) -> None:
        self.stored = ciphertext

    def __repr__(self) -> str:
        return "<sealed>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and hmac.compare_digest(self.stored, other.stored)

    def __hash__(self) -> int:
        return hash(self.stored)

    def open(self) -> str:
        """Return the secret itself. Raises SecretUnreadable."""
        try:
            return keyring().decrypt(self.stored.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable from None

    def resealed(self) -> "Sealed":
        """Return the same secret under the first key."""
        return seal(self.open())


def seal(secret: str) -> Sealed:
    return Sealed(keyring().encrypt(secret.encode()).decode())


def keyring() -> MultiFernet:
    return _keyring(tuple(settings.FIELD_ENCRYPTION_KEYS))


@functools.lru_cache(maxsize=8)
def _keyring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([_fernet(key) for key in keys])


def _fernet(key: str) -> Fernet:
    """Keys are random texts of any length; Fernet wants 32 bytes."""
    digest = hashlib.sha256(b"modelstation field encryption\0" + key.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


class EncryptedField(models.TextField):  # type: ignore[type-arg]
    """Takes a text or something sealed, gives something sealed. Empty stays empty."""

    def from_db_value(self, value: str | None, *_: Any) -> Sealed | str:
        return Sealed(value) if value else ""

    def to_python(self, value: Any) -> Sealed | str:
        return value if isinstance(value, Sealed) else str(value or "")

    def get_prep_value(self, value: Any) -> str:
        if isinstance(value, Sealed):
            return value.stored
        return seal(value).stored if value else ""

    def value_to_string(self, obj: models.Model) -> str:
        """For dumps: they hold what the table holds."""
        return self.get_prep_value(self.value_from_object(obj))
