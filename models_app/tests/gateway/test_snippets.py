"""The snippets of a model's page are run as they stand there, against a live server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import playwright
import pytest
from django.urls import reverse

from accounts.services import create_token
from models_app.serving import client
from models_app.serving.client import Completion
from models_app.snippets import snippets_for
from modelstation.testing import make_model, make_version

NODE = shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")
# What breaks a shell, a string of Python or of JavaScript, if it is not quoted.
AWKWARD = 'It\'s "my" card: $HOME `id` \\n {x} ${y}\nwhere is it? 卡 \u2028 %s </script>'


@pytest.fixture
def model(org):
    model = make_model(org, examples=[{"input": AWKWARD, "output": "card_arrival"}])
    model.live_version = make_version(model, state="ready", system_prompt="Label.")
    model.save()
    return model


@pytest.fixture
def asked(monkeypatch):
    """What reached the model server, which is played by a line."""
    asked = []

    def generate(gguf, tokenizer_folder, messages, *rest, **options):
        asked.append(messages)
        return Completion("card_arrival", 9, 3, "stop")

    monkeypatch.setattr(client, "generate", generate)
    return asked


def snippet(model, url, name):
    return {s.name: s.text for s in snippets_for(model, f"{url}/v1")}[name]


@pytest.fixture
def run(model, live_server, alice, asked, tmp_path):
    """Run a snippet as somebody would who copied it; what it prints."""

    def run(name, *command, file):
        (tmp_path / file).write_text(snippet(model, live_server.url, name), encoding="utf-8")
        _, secret = create_token(actor=alice, org=model.org, name="snippet")
        environment = os.environ | {"MODELSTATION_TOKEN": secret, "NO_PROXY": "*"}
        done = subprocess.run(
            [*command, file], cwd=tmp_path, env=environment, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl on this machine")
@pytest.mark.django_db(transaction=True)
def test_the_curl_snippet_works_as_it_stands(run, asked):
    assert '"content":"card_arrival"' in run("curl", "sh", file="snippet.sh")
    assert asked[0][-1] == {"role": "user", "content": AWKWARD}


@pytest.mark.django_db(transaction=True)
def test_the_python_snippet_works_as_it_stands(run, asked):
    assert run("python", sys.executable, file="snippet.py") == "card_arrival\n"
    assert asked[0][-1] == {"role": "user", "content": AWKWARD}


@pytest.mark.skipif(not Path(NODE).exists(), reason="there is no node on this machine")
@pytest.mark.django_db(transaction=True)
def test_the_fetch_snippet_works_as_it_stands(run, asked):
    assert run("fetch", NODE, file="snippet.mjs") == "card_arrival\n"
    assert asked[0][-1] == {"role": "user", "content": AWKWARD}


@pytest.mark.skipif(not Path(NODE).exists(), reason="there is no node on this machine")
@pytest.mark.django_db
def test_the_javascript_snippet_can_be_read(model, tmp_path):
    """Its package is not here; what it does with it is the Python one's."""
    file = tmp_path / "snippet.mjs"
    file.write_text(snippet(model, "http://localhost:8000", "javascript"), encoding="utf-8")
    done = subprocess.run([NODE, "--check", str(file)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.django_db
def test_the_page_shows_them_with_the_real_address_and_name(as_bob, model):
    page = as_bob.get(reverse("model", args=["acme", model.id])).content.decode()
    for title in ("curl", "Python", "JavaScript", "fetch", "Ollama"):
        assert f'data-tab="{title}"' in page
    assert "http://testserver/v1/chat/completions" in page
    assert f"ollama create {model.slug} -f Modelfile" in page
    assert "</script> %s" not in page


@pytest.mark.django_db
def test_a_model_without_examples_is_asked_hello(org):
    assert '"content": "Hello"' in snippet(make_model(org), "http://localhost", "curl")
