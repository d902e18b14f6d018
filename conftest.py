"""What every test needs: its own Postgres under var/test, no network, people."""

import fcntl
import itertools
import os
import shutil
import socket
from pathlib import Path
from typing import IO

import django
import pytest

from modelstation import testing

VAR = testing.REPOSITORY / "var"
LOCKS: list[IO[str]] = []  # open for as long as the process lives


def _free_folder() -> Path:
    """var/test, or var/test-1 … when another run of the tests is using it."""
    VAR.mkdir(exist_ok=True)
    for number in itertools.count():
        folder = VAR / (f"test-{number}" if number else "test")
        lock = folder.with_suffix(".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        LOCKS.append(lock)
        return folder
    raise AssertionError("unreachable")


# Settings read these when they load, which is after this file. Workers of xdist inherit them.
os.environ["MODELSTATION_VAR"] = os.environ.get("MODELSTATION_TEST_VAR") or str(_free_folder())
os.environ["MODELSTATION_TEST_VAR"] = os.environ["MODELSTATION_VAR"]
os.environ["DJANGO_SETTINGS_MODULE"] = "modelstation.settings"
os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: threads of one would spin for those of another. Children inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Here, not by pytest-django: it would load the settings before this file. The conftest.py of a
# folder is read after this one, and may import rows.
django.setup()

# A database that nobody will miss need not survive a power cut.
CARELESS = ("fsync", "synchronous_commit", "full_page_writes")
# As the command flush, which truncates every table and makes content types and permissions again;
# but most tables are empty, and those two are the same for all tests.
EMPTY_TABLES = """
DO $$
DECLARE table_name text;
BEGIN
    SET LOCAL session_replication_role = replica;  -- foreign keys ask for no order then
    FOR table_name IN
        SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'
        AND tablename NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    LOOP
        IF pg_relation_size(table_name::regclass) > 1000000 THEN
            EXECUTE 'TRUNCATE ' || table_name || ' CASCADE';
        ELSE
            EXECUTE 'DELETE FROM ' || table_name;
        END IF;
    END LOOP;
END $$
"""


def pytest_configure():
    from django.conf import settings

    if str(settings.VAR_DIR) != os.environ["MODELSTATION_VAR"]:
        raise pytest.UsageError("Settings were loaded too early: unset DJANGO_SETTINGS_MODULE.")
    if "DATABASE_URL" not in os.environ:
        _be_careless()


def pytest_collection_modifyitems(items):
    """`--dist loadfile` hands out whole files in this order: those with slow tests begin.

    Of xdist's ways this one makes what a file shares once, in one worker. Its groups by mark are no
    way: xdist 3.8 writes them where pytest 9.2 no longer reads (pytest-xdist issue 1386).
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _be_careless():
    """Let the embedded server of the tests not wait for the disk."""
    import psycopg
    from django.conf import settings

    from modelstation.core.database import database_url

    url = database_url(settings.VAR_DIR / "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in CARELESS:
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(autouse=True, scope="session")
def _quick_settings():
    from django.test import override_settings

    quick = override_settings(
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        STORAGES={
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        },
    )
    with quick:
        yield


@pytest.fixture(autouse=True, scope="session")
def _quick_emptying():
    """Empty table by table what a transactional test filled."""
    from django.db import connection
    from django.test import TransactionTestCase

    def empty(self):
        with connection.cursor() as cursor:
            cursor.execute(EMPTY_TABLES)

    with pytest.MonkeyPatch.context() as patch:
        if "DATABASE_URL" not in os.environ:  # else it may not be ours to rule
            patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Let tests talk to this machine only; a connection to anywhere else fails at once."""
    real_connect = socket.socket.connect

    def connect(self, address):
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "::1") and not str(host).startswith("127."):
            raise ConnectionRefusedError(f"Tests have no network: no connection to {host}.")
        return real_connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(autouse=True)
def _fresh_cache():
    """Empty rate limits and caches between tests."""
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def artifacts_dir(settings, tmp_path):
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    return settings.ARTIFACTS_DIR


@pytest.fixture
def uploads_dir(settings, tmp_path):
    settings.UPLOADS_DIR = tmp_path / "uploads"
    return settings.UPLOADS_DIR


@pytest.fixture
def alice(db):
    return testing.make_user("alice@example.org")


@pytest.fixture
def bob(db):
    return testing.make_user("bob@example.org")


@pytest.fixture
def charlie(db):
    """Return a stranger to alice and bob, with an organisation of his own."""
    user = testing.make_user("charlie@example.org")
    testing.make_org("Elsewhere", owner=user)
    return user


@pytest.fixture
def org(alice, bob):
    """Acme: alice owns it, bob is a member."""
    org = testing.make_org("Acme", owner=alice)
    testing.join(org, bob)
    return org


def _logged_in(user):
    from django.test import Client

    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def as_alice(alice):
    return _logged_in(alice)


@pytest.fixture
def as_bob(bob):
    return _logged_in(bob)


@pytest.fixture
def as_charlie(charlie):
    return _logged_in(charlie)


@pytest.fixture
def api_for(org):
    """`api_for(user)`: an API client with a token of that user, of Acme unless another is given."""
    from rest_framework.test import APIClient

    from accounts.services import create_token

    def make(user, org=org):
        _, secret = create_token(actor=user, org=org, name="test")
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return make


@pytest.fixture
def api(api_for, alice):
    return api_for(alice)


@pytest.fixture
def stranger(api_for, charlie):
    """Return an API client of another organisation."""
    return api_for(charlie, charlie.organizations.get())


@pytest.fixture
def sdk_for(live_server):
    """`sdk_for(user, org)`: OpenAI's own client, with a token of that user."""
    import openai

    from accounts.services import create_token

    def make(user, org, max_retries=0):
        _, secret = create_token(actor=user, org=org, name="sdk")
        url = f"{live_server.url}/v1"
        return openai.OpenAI(base_url=url, api_key=secret, max_retries=max_retries)

    return make


@pytest.fixture
def sdk(sdk_for, alice, org):
    with sdk_for(alice, org) as client:
        yield client


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    from modelstation.lm.testing import make_tiny_llama

    return make_tiny_llama(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture(scope="session")
def tiny_bases(tiny_llama, tmp_path_factory):
    """Return a models folder that holds the tiny llama under the name of a base."""
    from modelstation.lm.gguf.export import export_gguf

    folder = tmp_path_factory.mktemp("bases")
    shutil.copytree(tiny_llama, folder / "tiny")
    export_gguf(folder / "tiny", folder / "tiny" / "model-q8_0.gguf")
    return folder
