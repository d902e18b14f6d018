import pytest


@pytest.fixture
def server(monkeypatch):
    """The model server, played. Its client is imported here, since Django is not set up above."""
    from models_app.serving import client
    from models_app.tests.fake_server import FakeServer

    fake = FakeServer()
    monkeypatch.setattr(client, "generate", fake.generate)
    monkeypatch.setattr(client, "stream", fake.stream)
    return fake
