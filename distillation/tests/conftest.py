"""Files sent to the upload page, by bob of Acme."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from distillation.tests.imports.files import lines, pairs


@pytest.fixture
def upload(as_bob, org):
    def upload(content=None, name="tickets.jsonl", client=as_bob, **said):
        content = lines(pairs(3)) if content is None else content
        file = SimpleUploadedFile(name, content if isinstance(content, bytes) else lines(content))
        fields = {"file": file, "license": "own data"} | said
        return client.post(reverse("source_new", args=[org.slug]), fields)

    return upload


@pytest.fixture
def uploaded(upload):
    """Return the resulting import; rows are imported here, since Django is not set up above."""
    from distillation.models import ImportRun

    def uploaded(*args, **said):
        response = upload(*args, **said)
        assert response.status_code == 302, response.content.decode()
        return ImportRun.objects.first()

    return uploaded
