"""A download that a proxy sends, and one whose certificate failed. Its link is the key to both."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from models_app.models import ModelVersion
from modelstation import testing
from training.export import links as export_links
from training.export import services as exports
from training.models import Export

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(250)) * 4
ACCEPT = {"accept_failed_certificate": "true"}


@pytest.fixture
def made(org, artifacts_dir):
    model = testing.make_model(org, status="ready")
    version = ModelVersion.objects.create(
        org=org, model=model, number=1, base=model.base, folder=f"{model.id}/v1"
    )
    export = Export.objects.create(
        org=org,
        version=version,
        artifacts=["adapter"],
        file_name="bank-intents-v1.zip",
        file_bytes=1000,
        sha256="a" * 64,
        certificate=certificate("pass"),
        expires_at=timezone.now() + timedelta(days=1),
    )
    export.folder = f"{export.pk}/files/1"
    export.save()
    file = exports.file_of(export)
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return export


def certificate(verdict):
    line = {"file": "adapter", "verdict": verdict, "sentence": "The chat template is another."}
    return {"verdict": verdict, "artifacts": [line], "reference": {"what": "it"}, "rows": 4}


@pytest.fixture
def link(made):
    return export_links.link_path(made)


@pytest.fixture
def failed(made):
    made.certificate = certificate("fail")
    made.save()
    return made


def body(response):
    return b"".join(response.streaming_content)


# --- Sent by a proxy ------------------------------------------------------------------------------


def test_nginx_is_given_a_place_within_its_own_location(made, link, client, settings):
    settings.EXPORT_SENDER = "/artifacts/"

    response = client.get(link, headers={"Range": "bytes=5-9"})

    place = f"/artifacts/{made.folder}/bank-intents-v1.zip"
    assert (response.status_code, response["X-Accel-Redirect"]) == (200, place)
    assert response.content == b""
    assert "Content-Range" not in response  # the proxy answers the range, with a length of its own
    assert "bank-intents-v1.zip" in response["Content-Disposition"]
    assert response["Content-Type"] == "application/zip"


def test_apache_is_given_the_file_and_keeps_our_tag(made, link, client, settings):
    settings.EXPORT_SENDER = "x-sendfile"

    response = client.get(link)

    assert response["X-Sendfile"] == str(exports.file_of(made))
    assert response["ETag"] == f'"{made.sha256}"'
    assert "X-Accel-Redirect" not in response


@pytest.mark.parametrize("sender", ["/artifacts/", "x-sendfile"])
def test_a_proxy_is_given_nothing_by_a_link_that_opens_nothing(
    made, link, client, settings, sender
):
    settings.EXPORT_SENDER = sender
    settings.EXPORT_LINK_HOURS = -1

    response = client.get(link)

    assert response.status_code == 403
    assert not {"X-Accel-Redirect", "X-Sendfile"} & response.headers.keys()


def test_without_a_proxy_nothing_is_said_of_where_files_lie(link, client):
    response = client.get(link)

    assert not {"X-Accel-Redirect", "X-Sendfile"} & response.headers.keys()
    assert body(response) == CONTENT


# --- A certificate that failed --------------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"accept_failed_certificate": "false"}])
def test_what_failed_is_not_handed_out_unasked(failed, link, client, query):
    response = client.get(link, query)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (409, "not_certified")
    assert error["param"] == "accept_failed_certificate"
    assert "?accept_failed_certificate=true" in error["hint"]
    assert response["x-should-retry"] == "false"
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("sender", ["", "/artifacts/"])
def test_no_proxy_hands_out_what_failed_either(failed, link, client, settings, sender):
    settings.EXPORT_SENDER = sender
    assert client.get(link).status_code == 409


def test_a_yes_gives_the_file_and_is_audited_with_who_gave_it(failed, link, client, as_bob, bob):
    assert body(client.get(link, ACCEPT)) == CONTENT
    assert body(as_bob.get(link, ACCEPT)) == CONTENT

    entries = AuditEntry.objects.filter(action="export.download_uncertified").order_by("created_at")
    assert [entry.actor for entry in entries] == [None, bob]
    assert {entry.org for entry in entries} == {failed.org}
    assert entries[0].data == {"certificate": "fail"}


def test_one_download_in_pieces_is_audited_once(failed, link, client):
    client.head(link, ACCEPT)
    got = body(client.get(link, ACCEPT, headers={"Range": "bytes=0-499"}))
    got += body(client.get(link, ACCEPT, headers={"Range": "bytes=500-"}))

    assert got == CONTENT
    assert AuditEntry.objects.filter(action="export.download_uncertified").count() == 1


def test_what_passed_needs_no_yes_and_leaves_no_entry(link, client):
    assert body(client.get(link)) == CONTENT
    assert not AuditEntry.objects.exists()


def test_the_page_needs_the_yes_where_it_failed_and_only_there(made, as_bob, org):
    page = reverse("version_export", args=[org.slug, made.version_id])
    assert "accept_failed_certificate" not in as_bob.get(page).content.decode()

    made.certificate = certificate("fail")
    made.save()

    text = as_bob.get(page).content.decode()
    assert 'name="accept_failed_certificate"' in text
    assert "?accept_failed_certificate=true'</code></pre>" in text
    assert "required" in text


def test_the_api_gives_the_link_with_the_certificate_beside_it(failed, api_for, bob, client):
    shown = api_for(bob).get(f"/api/v1/exports/{failed.pk}").json()

    assert shown["certificate"]["verdict"] == "fail"
    assert client.get(shown["url"]).status_code == 409
