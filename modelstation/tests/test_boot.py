"""What the web process may load, and that settings refuse to start half-configured."""

import os
import subprocess
import sys
from graphlib import TopologicalSorter

import grimp
import pytest

from modelstation.testing import REPOSITORY

PACKAGES = ("modelstation", "accounts", "models_app", "distillation", "training")
HEAVY = ("torch", "transformers", "peft", "sentence_transformers", "xllamacpp", "datasets")


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_web_process_never_imports_torch():
    code = (
        "import sys, modelstation.wsgi; from django.urls import get_resolver;"
        "get_resolver().url_patterns;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["training.runs.child", "training.evaluations.child", "models_app.serving.server"]
)
def test_processes_that_hold_models_never_import_django(module):
    done = run_python(f"import sys, {module}; print('django' in sys.modules)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("missing", ["SECRET_KEY", "MODEL_SERVER_KEY", "FIELD_ENCRYPTION_KEYS"])
def test_production_refuses_to_start_without_its_keys(missing):
    keys = {"SECRET_KEY": "a", "MODEL_SERVER_KEY": "b", "FIELD_ENCRYPTION_KEYS": "c" * 32}
    keys["MODELSTATION_DEVELOPMENT"] = "false"
    del keys[missing]
    done = run_python(
        f"import os; os.environ.pop('{missing}', None); import modelstation.settings", **keys
    )
    assert done.returncode != 0
    assert missing in done.stderr


@pytest.mark.parametrize("keys", ["", "short", "s" * 40])
def test_production_refuses_to_start_with_weak_field_keys(keys):
    environment = {"SECRET_KEY": "s" * 40, "MODEL_SERVER_KEY": "b"}
    done = run_python(
        "import modelstation.settings",
        **environment,
        FIELD_ENCRYPTION_KEYS=keys,
        MODELSTATION_DEVELOPMENT="false",
    )
    assert done.returncode != 0
    assert "at least 32 random characters" in done.stderr


def test_a_sender_of_exports_that_is_none_is_refused():
    done = run_python("import modelstation.settings", EXPORT_SENDER="/artifacts")
    assert done.returncode != 0
    assert "EXPORT_SENDER is x-sendfile, or a location" in done.stderr


def test_migrations_are_complete():
    done = run_python(
        "import sys; from manage import main;"
        "sys.argv = ['manage.py', 'makemigrations', '--check', '--dry-run']; main()"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions count too: a cycle is a room that cannot be read by itself."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    production = {
        module
        for module in graph.modules
        if not {"tests", "migrations", "testing"} & set(module.split("."))
    }
    imports = {
        module: graph.find_modules_directly_imported_by(module) & production
        for module in production
    }
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the cycle
