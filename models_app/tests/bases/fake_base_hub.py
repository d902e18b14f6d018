"""A small hub on this machine: what huggingface_hub asks for to fetch a model, and no more.

It serves one revision of each repository, knows ranges, and misbehaves on request.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INFO = re.compile(r"/api/models/(?P<repo>[\w.-]+/[\w.-]+)/revision/(?P<revision>\w+)")
FILE = re.compile(r"/(?P<repo>[\w.-]+/[\w.-]+)/resolve/(?P<revision>\w+)/(?P<path>.+)")
CHUNK = 1 << 16


class Repository:
    def __init__(self, revision, files):
        self.revision, self.files = revision, files
        self.stated_revision = revision  # what it says that it serves
        self.stated_files = dict(files)  # what sizes and hashes are stated for


class FakeBaseHub:
    def __init__(self):
        self.repositories = {}
        self.requests = []  # (path of the file, Range header)
        self.fail_with = {}  # path of a file, or "info": status
        self.cut_after = {}  # path: bytes after which the connection is closed, once
        self.hold_after = {}  # path: bytes after which it waits for `go_on`
        self.held, self.go_on = threading.Event(), threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def add(self, repo_id, revision, folder):
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self.repositories[repo_id] = Repository(revision, files)
        return self.repositories[repo_id]

    def close(self):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()

    def _info(self, repository):
        return {
            "id": "x/y",
            "sha": repository.stated_revision,
            "siblings": [
                self._sibling(name, data) for name, data in repository.stated_files.items()
            ],
        }

    def _sibling(self, name, data):
        entry = {"rfilename": name, "size": len(data)}
        if name.endswith(".safetensors") or name == "tokenizer.json":
            sha = hashlib.sha256(data).hexdigest()
            return {**entry, "lfs": {"sha256": sha, "size": len(data), "pointerSize": 130}}
        return {**entry, "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}

    def _handler(hub):
        class Call(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Quiet."""

            def do_GET(self):
                path = self.path.split("?")[0]
                assert "Authorization" not in self.headers, "a token went along"
                if match := INFO.fullmatch(path):
                    self.info(match["repo"], match["revision"])
                elif match := FILE.fullmatch(path):
                    self.file(match["repo"], match["revision"], match["path"])
                else:
                    self.status(501)

            def status(self, code, **headers):
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def find(self, repo, revision):
                repository = hub.repositories.get(repo)
                if repository is None or repository.revision != revision:
                    self.status(404, **{"X-Error-Code": "RevisionNotFound"})
                    return None
                return repository

            def info(self, repo, revision):
                if "info" in hub.fail_with:
                    self.status(hub.fail_with["info"])
                    return
                repository = self.find(repo, revision)
                if repository:
                    data = json.dumps(hub._info(repository)).encode()
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def file(self, repo, revision, path):
                repository = self.find(repo, revision)
                if not repository:
                    return
                hub.requests.append((path, self.headers.get("Range")))
                if path in hub.fail_with:
                    self.status(hub.fail_with[path])
                    return
                data = repository.files[path]
                start = int(re.findall(r"\d+", self.headers.get("Range") or "0")[0])
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                self.send_slowly(path, data, start)

            def send_slowly(self, path, data, start):
                cut = hub.cut_after.pop(path, None)
                for at in range(start, len(data), CHUNK):
                    if cut is not None and at >= cut:
                        self.close_connection = True
                        self.connection.close()
                        return
                    if at >= hub.hold_after.get(path, len(data)):
                        hub.held.set()
                        hub.go_on.wait(20)
                    self.wfile.write(data[at : at + CHUNK])

        return Call
