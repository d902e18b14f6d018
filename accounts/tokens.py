"""API tokens as text: `ms_`, 32 random characters, 6 of checksum. Only the sha256 is kept.

The checksum tells a mistyped or foreign key apart without a look into the database.
A plain hash is enough at rest: 190 random bits cannot be guessed, so there is nothing to slow down.
"""

import hashlib
import re
import secrets
import string
import zlib
from datetime import datetime, timedelta

from django.utils import timezone

PREFIX = "ms_"
ALPHABET = string.digits + string.ascii_letters
RANDOM_CHARS = 32
CHECKSUM_CHARS = 6
SHOWN_CHARS = len(PREFIX) + 6
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARS + CHECKSUM_CHARS}}}", re.ASCII)


def make_secret() -> str:
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARS))
    return PREFIX + body + _checksum(body)


def looks_like_token(text: str) -> bool:
    """Whether we could have made it; says nothing about whether we did."""
    body, checksum = text[len(PREFIX) : -CHECKSUM_CHARS], text[-CHECKSUM_CHARS:]
    return bool(_SHAPE.fullmatch(text)) and _checksum(body) == checksum


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def shown_prefix(secret: str) -> str:
    """Enough of a token to recognise it by, far too little to use it."""
    return secret[:SHOWN_CHARS]


def expiry_in(days: int) -> datetime | None:
    """None, which is never, for 0 days."""
    return timezone.now() + timedelta(days=days) if days else None


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    while len(digits) < CHECKSUM_CHARS:
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
