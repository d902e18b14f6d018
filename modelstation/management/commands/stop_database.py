"""`manage.py stop_database`: stop the embedded database, by which process it was started."""

import os
from typing import Any

from django.conf import settings
from django.db import connections

from modelstation.core.commands import PlainCommand
from modelstation.core.database import stop


class Command(PlainCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if "DATABASE_URL" in os.environ:
            self.stdout.write("DATABASE_URL is set: that database is not ours to stop.")
            return
        connections.close_all()
        stop(settings.VAR_DIR / "postgres")
