"""A training worker measures its own machine: in a child, since workers do not load torch."""

import json
import logging
import socket
import subprocess
import sys
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from training.models import MachineProfile

logger = logging.getLogger("modelstation.training")
GOOD_FOR = timedelta(hours=20)
SECONDS = 120


def ensure_measured() -> MachineProfile | None:
    """Return this host's profile, measured anew when it is old. None where that cannot be done: a
    run is not given up because an estimate is missing.
    """
    profile = MachineProfile.objects.filter(host=socket.gethostname()).first()
    if profile and profile.measured_at > timezone.now() - GOOD_FOR:
        return profile
    return measure() or profile


def measure() -> MachineProfile | None:
    try:
        command = [sys.executable, "-m", "training.plan.estimate.measure"]
        printed = subprocess.check_output(
            command, cwd=settings.BASE_DIR, stderr=subprocess.PIPE, text=True, timeout=SECONDS
        )
        facts = json.loads(printed.strip().splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        logger.exception("this machine could not be measured")
        return None
    profile, _ = MachineProfile.objects.update_or_create(
        host=facts["host"], defaults={"measured_at": timezone.now(), "facts": facts}
    )
    return profile
