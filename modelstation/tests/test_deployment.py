"""There may be no Docker engine at hand: what the compose files name is checked against the code
instead.
"""

import re
import shlex

import pytest
import yaml
from django.core.management import get_commands
from honcho.environ import parse_procfile

from modelstation.testing import REPOSITORY

COMPOSE_FILES = ("compose.yaml", "compose.dev.yaml", "compose.prod.yaml")
VARIABLE = re.compile(r"\$\{([A-Z_]+)")
SERVICES = {"postgres", "setup", "web", "models", "default", "distil", "gpu"}


def load(name):
    return yaml.safe_load((REPOSITORY / name).read_text())


def services():
    return load("compose.yaml")["services"]


def variables_read_by_the_code():
    """Every name that settings and the roof read from the environment."""
    text = "".join(
        path.read_text()
        for folder in ("modelstation", "models_app/serving")
        for path in (REPOSITORY / folder).rglob("*.py")
        if "tests" not in path.parts
    )
    pattern = re.compile(
        r"""(?:env\.\w+\(|environ\.get\(|environ\[|["'])\s*["']?([A-Z][A-Z_]{3,})["']"""
    )
    return set(pattern.findall(text))


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_name_only_known_services(name):
    assert set(load(name)["services"]) <= SERVICES


def test_every_process_of_the_procfile_has_its_service():
    procfile = parse_procfile((REPOSITORY / "Procfile").read_text())
    assert set(procfile.processes) == SERVICES - {"postgres", "setup"}


@pytest.mark.parametrize("service", ["setup", "web", "models", "default", "distil", "gpu"])
def test_each_command_exists(service):
    words = shlex.split(services()[service]["command"])
    if words[:2] == ["python", "manage.py"]:
        assert words[2] in get_commands()
    elif words[:2] == ["python", "-m"]:
        assert (REPOSITORY / (words[2].replace(".", "/") + ".py")).is_file()
    else:
        assert words[:2] == ["gunicorn", "modelstation.wsgi"]
        assert (REPOSITORY / "modelstation/wsgi.py").is_file()


@pytest.mark.parametrize("queue", ["default", "distil", "gpu"])
def test_workers_listen_to_the_queues_that_jobs_use(queue):
    service = services()[queue]
    assert shlex.split(service["command"])[2:] == ["run_worker", queue]
    assert service["healthcheck"]["test"][3:] == ["check_queue", queue]
    assert "check_queue" in get_commands()


def test_the_model_server_is_reached_where_it_listens():
    service = services()["models"]
    port = shlex.split(service["command"])[-1]
    assert service["environment"]["MODEL_SERVER_URL"] == f"http://models:{port}"


def test_published_web_ports_lead_to_the_port_that_gunicorn_binds():
    bound = re.search(r"--bind [\d.]+:(\d+)", services()["web"]["command"]).group(1)
    for name in ("compose.dev.yaml", "compose.prod.yaml"):
        [port] = load(name)["services"]["web"]["ports"]
        assert port.rsplit(":", 1)[1] == bound


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_variables_taken_from_the_environment_are_in_the_example(name):
    example = (REPOSITORY / ".env.example").read_text()
    for variable in VARIABLE.findall((REPOSITORY / name).read_text()):
        assert re.search(rf"^#?{variable}=", example, re.MULTILINE), variable


def test_variables_of_the_example_are_read_by_the_code_or_by_compose():
    known = variables_read_by_the_code()
    for name in COMPOSE_FILES:
        known |= set(VARIABLE.findall((REPOSITORY / name).read_text()))
    named = re.findall(r"^#?([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    assert set(named) <= known


def test_production_refuses_to_start_without_its_secrets():
    text = (REPOSITORY / "compose.prod.yaml").read_text()
    for secret in ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "MODEL_SERVER_KEY", "POSTGRES_PASSWORD"):
        assert f"${{{secret}:?" in text


def test_each_path_that_the_dockerfile_copies_exists():
    for line in (REPOSITORY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            *sources, _ = line.split()[1:]
            for source in sources:
                assert (REPOSITORY / source).exists(), source


def test_volumes_are_declared():
    compose = load("compose.yaml")
    used = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service["volumes"]
    }
    assert used == set(compose["volumes"])


def test_targets_that_ci_and_readme_name_exist():
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert {"up", "setup", "test", "lint", "format", "down"} <= targets
    assert "make test" in (REPOSITORY / ".ci/run").read_text()
