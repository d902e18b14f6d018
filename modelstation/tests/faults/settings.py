"""Settings of the processes that fault tests start: those of the house, and a kind of job that
counts."""

import os
from pathlib import Path

from modelstation.settings import *  # noqa: F403
from modelstation.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "modelstation.tests.faults.apps.Faults"]
# Of each process: the table is not in the tests' database.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
ARTIFACTS_DIR = Path(os.environ["FAULTS_ARTIFACTS"])
