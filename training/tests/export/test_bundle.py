"""What is handed out: papers, scripts that really run, a signature, always the same zip."""

import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from training.export import child as exporter
from training.export.bundle.bundle import public_key_hex, seal_bundle, write_zip
from training.progress import Channel
from training.tests.export.exported import PROMPT, make_version_files, spec_of

SECRET = "s" * 48


@pytest.fixture(scope="module")
def made(tiny_llama, tmp_path_factory):
    """The bundle, made by the child as a worker starts it."""
    folder, work = tmp_path_factory.mktemp("version"), tmp_path_factory.mktemp("work")
    license_file = work / "licence.txt"
    license_file.write_text("Apache License")
    make_version_files(tiny_llama, folder)
    spec = spec_of(
        folder,
        tiny_llama,
        work,
        artifacts=["adapter", "gguf-q8_0"],
        base_license_file=str(license_file),
    )
    (work / "spec.json").write_text(json.dumps(spec.to_json()))
    child = subprocess.run(
        [sys.executable, "-m", "training.export.child", str(work / "spec.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.returncode == 0, child.stderr
    result = json.loads(child.stdout.splitlines()[-1])
    assert result["event"] == "result"
    return work / "bundle"


@pytest.fixture
def bundle(made, tmp_path):
    copied = shutil.copytree(made, tmp_path / "bundle")
    seal_bundle(copied, SECRET, {"made_by": "ModelStation"})
    return copied


def run(bundle, script, *args):
    return subprocess.run(
        [sys.executable, "-I", str(bundle / script), *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_bundle_holds_what_was_chosen_and_its_papers(bundle):
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert {
        "adapter/adapter_model.safetensors", "adapter/tokenizer.json", "gguf/model-q8_0.gguf",
        "Modelfile", "client.py", "run.sh", "verify.py", "README.md", "MODEL_CARD.md", "NOTICE",
        "LICENSES/apache-2.0.txt", "certificate.json", "system_prompt.txt", "manifest.json",
        "manifest.sig", "public_key.txt",
    } <= files  # fmt: skip
    assert not any("merged" in name for name in files)
    listed = {
        entry["path"] for entry in json.loads((bundle / "manifest.json").read_text())["files"]
    }
    assert listed == files - {"manifest.json", "manifest.sig"}


def test_the_card_says_requirement_scores_data_and_certificate(bundle):
    card = (bundle / "MODEL_CARD.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["base_model"] == "acme/tiny"
    assert front["license"] == "apache-2.0"
    assert "gguf" in front["tags"]
    for text in (
        "Label each message.", PROMPT, "At least 50 %.", "0.900", "0.800 to 1.000", "CC-BY-4.0",
        "credit the authors of `own`",
        "tf-idf and a linear layer (0.4 ms, 3 MB) | 0.700", "not held to the simpler ways",
        "types Q8_0 (", "d" * 64, "Parity certificate", "gguf/model-q8_0.gguf",
    ):  # fmt: skip
        assert text in card
    notice = (bundle / "NOTICE").read_text()
    assert "derived from acme/tiny" in notice
    assert "own: CC-BY-4.0" in notice


def test_the_modelfile_says_template_system_stops_and_greedy(bundle):
    modelfile = (bundle / "Modelfile").read_text()
    assert modelfile.startswith("FROM ./gguf/model-q8_0.gguf\n")
    assert (bundle / "gguf/model-q8_0.gguf").is_file()
    assert (
        '{{ if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n{{ end }}' in modelfile
    )
    assert '{{ end }}<|im_start|>assistant\n"""' in modelfile
    assert f'SYSTEM """{PROMPT}"""' in modelfile
    for line in (
        'PARAMETER stop "<|im_end|>"', "PARAMETER num_ctx 512", "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
    ):  # fmt: skip
        assert line in modelfile.splitlines()


def test_the_bundle_verifies_itself_offline(bundle):
    ran = run(bundle, "verify.py", "--key", public_key_hex(SECRET))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Verified")
    assert run(bundle, "verify.py").returncode == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gguf/model-q8_0.gguf", "gguf/model-q8_0.gguf has changed since it was signed"),
        ("MODEL_CARD.md", "MODEL_CARD.md has changed"),
        ("client.py", "client.py has changed"),
        ("manifest.json", "manifest.json is not what this key signed"),
    ],
)
def test_whatever_is_changed_is_refused(bundle, name, says):
    with (bundle / name).open("a") as stream:
        stream.write(" ")
    ran = run(bundle, "verify.py")
    assert ran.returncode == 1
    assert says in ran.stdout


def test_a_file_added_or_taken_away_is_refused(bundle):
    (bundle / "NOTICE").unlink()
    (bundle / "extra.py").write_text("print()")
    ran = run(bundle, "verify.py").stdout
    assert "NOTICE is missing" in ran
    assert "extra.py is not in the manifest" in ran


def test_another_key_and_another_signature_are_refused(bundle):
    assert run(bundle, "verify.py", "--key", public_key_hex("t" * 48)).returncode == 1
    seal_bundle(bundle, "t" * 48, {})  # somebody else signs it anew, with a key of his own in it
    assert run(bundle, "verify.py").returncode == 0
    assert run(bundle, "verify.py", "--key", public_key_hex(SECRET)).returncode == 1


def test_the_client_sends_system_prompt_and_question_and_prints_the_answer(bundle):
    received = {}

    class Server(BaseHTTPRequestHandler):
        def do_POST(self):
            received["path"] = self.path
            received["body"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = json.dumps({"choices": [{"message": {"content": "card_arrival"}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args):
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        ran = run(bundle, "client.py", "--url", url, "where is my card")
    finally:
        server.shutdown()
        server.server_close()
    assert (ran.stdout, ran.stderr) == ("card_arrival\n", "")
    assert received["path"] == "/v1/chat/completions"
    assert received["body"]["messages"] == [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": "where is my card"},
    ]
    assert received["body"]["temperature"] == 0


def test_the_client_gets_an_answer_from_llama_cpp_itself(bundle):
    """The bundle's GGUF, llama.cpp's own server with the template in the file, and the client."""
    from modelstation.lm.gguf.check import llama_cpp

    with llama_cpp(bundle / "gguf" / "model-q8_0.gguf") as server:
        ran = run(
            bundle, "client.py", "--url", f"{server.address}/v1", "--key", server.key,
            "--max-tokens", "4", "hello",
        )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")


def test_run_sh_serves_the_file_that_is_served_here(bundle, tmp_path):
    """A stand-in for llama-server prints its arguments."""
    stand_in = tmp_path / "bin" / "llama-server"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\necho "$@"\n')
    stand_in.chmod(0o755)
    ran = subprocess.run(
        ["sh", str(bundle / "run.sh"), "--verbose"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{stand_in.parent}:/usr/bin:/bin"},
    ).stdout
    assert ran.startswith("--model gguf/model-q8_0.gguf --port 8080 --ctx-size 512 --jinja")
    assert ran.endswith("--verbose\n")


def test_a_server_that_is_down_gives_a_sentence_and_no_traceback(bundle):
    ran = run(bundle, "client.py", "--url", "http://127.0.0.1:9/v1", "hello")
    assert ran.returncode == 1
    assert "does not answer" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_same_files_give_the_same_zip_stored_and_whole(bundle, tmp_path):
    first = write_zip(bundle, tmp_path / "a.zip", "bank-v1", lambda: None)
    for path in bundle.rglob("*"):
        os.utime(path)
    assert write_zip(bundle, tmp_path / "b.zip", "bank-v1", lambda: None) == first
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert all(name.startswith("bank-v1/") for name in archive.namelist())


def test_a_zip_that_is_interrupted_leaves_nothing(bundle, tmp_path):
    def cancelled():
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_zip(bundle, tmp_path / "out" / "a.zip", "bank", cancelled)
    assert not list((tmp_path / "out").iterdir())


def test_only_weights_for_transformers_bring_no_modelfile(tiny_llama, made, tmp_path):
    version = tmp_path / "version"
    make_version_files(tiny_llama, version)
    with open(os.devnull, "w") as stream:
        exporter.run_export(
            spec_of(version, tiny_llama, tmp_path, artifacts=["merged"]), Channel(stream)
        )
    files = {path.name for path in (tmp_path / "bundle").iterdir()}
    assert "Modelfile" not in files
    assert "run.sh" not in files
    assert {"merged", "client.py", "verify.py"} <= files
