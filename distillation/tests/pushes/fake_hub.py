"""A small hub on this machine: what huggingface_hub 2.4 calls to push a dataset or a
model, and no more.

It checks tokens and namespaces, knows private repositories, takes small files in the commit and
large ones over LFS, refuses commits on a stale parent, and fails on request.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
KIND = r"(datasets|models)"  # in the API; pages and files of a model have no such prefix
ROUTES = [
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "validate"),
    ("GET", rf"/api/{KIND}/{REPO}", "info"),
    ("POST", rf"/api/{KIND}/{REPO}/preupload/main", "preupload"),
    ("POST", rf"(/datasets)?/{REPO}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", r"/lfs/(?P<oid>\w{64})", "upload"),
    ("POST", r"/lfs/verify", "verify"),
    ("POST", rf"/api/{KIND}/{REPO}/commit/main", "commit"),
    ("HEAD", rf"(/datasets)?/{REPO}/resolve/(?P<revision>\w+)/(?P<path>.+)", "resolve"),
    ("GET", rf"(/datasets)?/{REPO}/resolve/(?P<revision>\w+)/(?P<path>.+)", "resolve"),
]


class Refused(Exception):
    def __init__(self, status, error, **headers):
        self.status, self.error, self.headers = status, error, headers


class Repository:
    def __init__(self, private):
        self.private = private
        self.files = {".gitattributes": b"*.parquet filter=lfs\n"}
        self.commits = [hashlib.sha1(b"first").hexdigest()]


class FakeHub:
    """`tokens` maps each token to the namespaces that it may write to. `fail(...)` makes the next
    call of a kind end with a status.
    """

    def __init__(self):
        self.tokens, self.repositories, self.stored = {}, {}, {}
        self.calls, self.failures, self.uploaded = [], {}, []
        self.kinds = {}
        self.lfs_from_bytes = 10_000_000
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def fail(self, kind, status, error="no", **headers):
        self.failures[kind] = Refused(status, error, **headers)

    def add(self, repo_id, *, private=True, **files):
        self.repositories[repo_id] = Repository(private)
        self.repositories[repo_id].files.update(files)
        return self.repositories[repo_id]

    # --- what each call does ----------------------------------------------------------------------

    def create(self, call):
        body = call.json()
        repo_id = f"{body['organization']}/{body['name']}"
        kind = body.get("type") or "model"
        assert kind in ("dataset", "model")
        self.kinds[repo_id] = kind
        url = f"{self.url}/datasets/{repo_id}" if kind == "dataset" else f"{self.url}/{repo_id}"
        self._may_write(call, repo_id)
        if repo_id in self.repositories:
            return 409, {"error": "You already created this dataset repo", "url": url}
        self.repositories[repo_id] = Repository(body["visibility"] == "private")
        return 200, {"url": url}

    def validate(self, call):
        head = call.json()["content"].split("---\n")[1]
        assert isinstance(yaml.safe_load(head), dict)
        return 200, {"errors": [], "warnings": []}

    def info(self, call, repo):
        repository = self._readable(call, repo)
        siblings = [{"rfilename": name} for name in repository.files]
        facts = {"id": repo, "sha": repository.commits[-1], "private": repository.private}
        return 200, {**facts, "siblings": siblings}

    def preupload(self, call, repo):
        self._may_write(call, repo)
        return 200, {"files": [self._mode(file) for file in call.json()["files"]]}

    def _mode(self, file):
        large = file["size"] >= self.lfs_from_bytes or file["path"].endswith(".parquet")
        mode = "lfs" if large else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def batch(self, call, repo):
        self._may_write(call, repo)
        body = call.json()
        assert body["operation"] == "upload"
        return 200, {"transfer": "basic", "objects": [self._action(o) for o in body["objects"]]}

    def _action(self, wanted):
        known = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] in self.stored:
            return known
        upload = {"href": f"{self.url}/lfs/{wanted['oid']}"}
        return {
            **known,
            "actions": {"upload": upload, "verify": {"href": f"{self.url}/lfs/verify"}},
        }

    def upload(self, call, oid):
        assert hashlib.sha256(call.body).hexdigest() == oid
        assert call.token is None, "a token went along to the storage"
        self.stored[oid] = call.body
        self.uploaded.append(oid)
        return 200, {}

    def verify(self, call):
        assert len(self.stored[call.json()["oid"]]) == call.json()["size"]
        return 200, {}

    def commit(self, call, repo):
        self._may_write(call, repo)
        repository = self.repositories[repo]
        header, *operations = [json.loads(line) for line in call.body.splitlines()]
        if header["value"].get("parentCommit", repository.commits[-1]) != repository.commits[-1]:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "lfsFile":
                repository.files[value["path"]] = self.stored[value["oid"]]
            else:
                assert operation["key"] == "file"
                repository.files[value["path"]] = base64.b64decode(value["content"])
        oid = hashlib.sha1(call.body + repository.commits[-1].encode()).hexdigest()
        repository.commits.append(oid)
        return 200, {"commitUrl": f"{self.url}/datasets/{repo}/commit/{oid}", "commitOid": oid}

    def resolve(self, call, repo, revision, path):
        repository = self._readable(call, repo)
        if path not in repository.files:
            raise Refused(404, "Entry not found", **{"X-Error-Code": "EntryNotFound"})
        return 200, repository.files[path]

    # --- who may ----------------------------------------------------------------------------------

    def _namespaces(self, call):
        if call.token not in self.tokens:
            said = {"X-Error-Message": "Invalid credentials in Authorization header"}
            raise Refused(401, "Invalid credentials in Authorization header", **said)
        return self.tokens[call.token]

    def _may_write(self, call, repo):
        if repo.split("/")[0] not in self._namespaces(call):
            raise Refused(403, "You don't have the rights to write to this namespace")

    def _readable(self, call, repo):
        namespaces = self._namespaces(call)
        repository = self.repositories.get(repo)
        if repository is None or (repository.private and repo.split("/")[0] not in namespaces):
            raise Refused(404, "Repository not found", **{"X-Error-Code": "RepoNotFound"})
        return repository

    # --- HTTP -------------------------------------------------------------------------------------

    def _handler(hub):
        class Call(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Quiet."""

            def json(self):
                return json.loads(self.body)

            def answer(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                self.token = self.token or None
                try:
                    self.send(*self.act())
                except Refused as refused:
                    self.send(refused.status, {"error": refused.error}, refused.headers)

            def act(self):
                path = self.path.split("?")[0]
                for method, pattern, kind in ROUTES:
                    match = re.fullmatch(pattern, path)
                    if method == self.command and match:
                        hub.calls.append(kind)
                        if kind in hub.failures:
                            raise hub.failures.pop(kind)
                        return getattr(hub, kind)(self, **match.groupdict())
                raise Refused(501, f"the fake hub knows no {self.command} {path}")

            def send(self, status, body, headers=None):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                if not isinstance(body, bytes):
                    self.send_header("Content-Type", "application/json")
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_POST = do_PUT = answer

        return Call
