"""The ids of OpenAI's surface: a prefix and the hex digits of one of our ids."""

import uuid
from typing import Any

FILE, JOB, EVENT, CHECKPOINT = "file-", "ftjob-", "ftevent-", "ftckpt_"
EVENT_DIGITS = 16  # of equal length, so that they sort as text too


def file_name_of(file_id: uuid.UUID | None) -> str:
    return f"{FILE}{file_id.hex}" if file_id else ""


def job_name_of(job_id: uuid.UUID) -> str:
    return f"{JOB}{job_id.hex}"


def event_name_of(event_id: int) -> str:
    return f"{EVENT}{event_id:0{EVENT_DIGITS}d}"


def checkpoint_name_of(run_id: uuid.UUID, step: int) -> str:
    return f"{CHECKPOINT}{run_id.hex}-{step}"


def uuid_of(name: Any, prefix: str) -> uuid.UUID | None:
    """None for what is no id of ours."""
    digits = name.removeprefix(prefix) if isinstance(name, str) else ""
    if name == digits or len(digits) != 32:
        return None
    try:
        return uuid.UUID(hex=digits)
    except ValueError:
        return None


def event_id_of(name: Any) -> int | None:
    digits = name.removeprefix(EVENT) if isinstance(name, str) else ""
    is_ours = name != digits and digits.isascii() and digits.isdigit()
    return int(digits) if is_ours and len(digits) < 19 else None
