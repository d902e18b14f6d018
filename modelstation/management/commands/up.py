"""`manage.py up`: set up, start every process of the Procfile, and run the demo's main job once.

Ctrl-C stops everything that was started here, the embedded database too.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import honcho.manager
from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections
from honcho.environ import parse_procfile
from honcho.manager import Manager
from rich.console import Console
from rich.panel import Panel

from modelstation.core.commands import PlainCommand
from modelstation.core.database import stop
from modelstation.site import installation

# It prints the demo's progress, then stays: honcho ends all processes as soon as one ends.
DEMO_PROCESS = "python manage.py demo; exec sleep infinity"


class Command(PlainCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console()
        try:
            # In a process of its own: seeding loads torch, which must not stay in this one.
            setup = [sys.executable, "manage.py", "setup"]
            subprocess.run(setup, cwd=settings.BASE_DIR, check=True)
            environment = _environment()
            console.print(_welcome(environment))
            returncode = _run(environment)
        except subprocess.CalledProcessError as error:
            raise CommandError("The set-up failed; see above.") from error
        finally:
            connections.close_all()
            if "DATABASE_URL" not in os.environ:
                stop(settings.VAR_DIR / "postgres")
        sys.exit(0 if returncode in (0, 130, 143) else returncode)


def _environment() -> dict[str, str]:
    """Return what the processes of the Procfile share."""
    ports = {
        "PORT": os.environ.get("PORT", "8000"),
        "MODEL_SERVER_PORT": os.environ.get("MODEL_SERVER_PORT", "8711"),
    }
    for name, port in ports.items():
        _refuse_taken(name, port)
    return {
        **os.environ,
        **ports,
        "HOST": os.environ.get("HOST", "127.0.0.1"),
        "MODEL_SERVER_URL": f"http://127.0.0.1:{ports['MODEL_SERVER_PORT']}",
        "MODEL_SERVER_KEY": settings.MODEL_SERVER_KEY,
        "MODELSTATION_VAR": str(settings.VAR_DIR),
        "MODELSTATION_MODELS_DIR": str(settings.MODELS_DIR),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }


def _refuse_taken(name: str, port: str) -> None:
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise CommandError(f"{name} is a number from 1 to 65535, not “{port}”.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError as error:
            message = f"Port {port} is taken. Free it, or choose another: make up {name}=…"
            raise CommandError(message) from error


def _welcome(environment: dict[str, str]) -> Panel:
    password, token = (path.read_text() for path in installation.demo_secret_files())
    lines = [
        f"Web        http://{environment['HOST']}:{environment['PORT']}/",
        f"Log in     {installation.DEMO_EMAIL}  {password}",
        f"API token  {token}",
        "Stop with Ctrl-C. The demo's main job runs below, and live on its page.",
    ]
    return Panel("\n".join(lines), title="ModelStation", expand=False)


def _run(environment: dict[str, str]) -> int:
    # Workers drain when they are stopped, each after its own limit.
    honcho.manager.KILL_WAIT = settings.DRAIN_SECONDS + 30
    manager = Manager()
    processes = parse_procfile((settings.BASE_DIR / "Procfile").read_text()).processes
    for name, command in {**processes, "demo": DEMO_PROCESS}.items():
        manager.add_process(name, command, env=environment, cwd=str(settings.BASE_DIR))
    connections.close_all()
    manager.loop()
    return int(manager.returncode or 0)
