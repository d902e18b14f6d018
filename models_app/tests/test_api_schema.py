import re
from io import StringIO

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command


@pytest.fixture(scope="module")
def schema():
    import yaml

    out = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    return yaml.safe_load(out.getvalue())


def test_the_schema_is_valid_and_describes_every_address_of_the_api(schema):
    assert {
        "/api/v1/models",
        "/api/v1/intents",
        "/api/v1/models/{model_id}/events",
        "/api/v1/datasets/{dataset_id}/export",
        "/api/v1/imports/{import_id}/confirm",
        "/api/v1/runs/{run_id}",
        "/api/v1/evaluations/{evaluation_id}/rows",
        "/api/v1/usage",
        "/api/v1/webhooks/{webhook_id}/deliveries",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/files/{file_id}/content",
        "/v1/fine_tuning/jobs/{job_id}/checkpoints",
    } <= schema["paths"].keys()


def test_an_upload_is_described_as_a_form_with_a_file(schema):
    body = schema["paths"]["/v1/files"]["post"]["requestBody"]["content"]
    name = body["multipart/form-data"]["schema"]["$ref"].rsplit("/", 1)[-1]
    form = schema["components"]["schemas"][name]

    assert form["properties"]["file"]["format"] == "binary"
    assert set(form["required"]) == {"file", "purpose"}


def test_every_operation_of_ours_names_the_one_error_shape(schema):
    shape = {"$ref": "#/components/schemas/Error"}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if not path.startswith("/v1/"):
                answer = operation["responses"]["default"]
                assert answer["content"]["application/json"]["schema"] == shape, path


def test_making_a_model_needs_a_name_and_a_requirement_only(schema):
    assert schema["components"]["schemas"]["NewModel"]["required"] == ["name", "requirement"]


@pytest.mark.django_db
def test_the_documentation_works_without_a_network(client):
    page = client.get("/api/docs/").content.decode()

    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    for source in sources:
        assert source.startswith("/static/"), source
        assert finders.find(source.removeprefix("/static/")), source
