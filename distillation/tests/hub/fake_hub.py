"""A hub of data sets on this machine: what huggingface_hub 2.4 calls to find and read them.

It lists by words of names and by tags, as the real one does, pins revisions, serves ranges, knows
gated data sets, and lies on request.
"""

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
ROUTES = [
    (r"/api/datasets", "list"),
    (rf"/api/datasets/{REPO}", "info"),
    (rf"/api/datasets/{REPO}/revision/(?P<revision>[\w.-]+)", "info"),
    (rf"/datasets/{REPO}/resolve/(?P<revision>[\w.-]+)/(?P<path>.+)", "resolve"),
]


@dataclass
class Repo:
    id: str
    files: dict
    card: dict = field(default_factory=dict)
    tags: list = field(default_factory=list)
    gated: object = False
    downloads: int = 0
    description: str = ""

    @property
    def sha(self):
        digest = hashlib.sha1(self.id.encode())
        for name in sorted(self.files):
            digest.update(name.encode() + hashlib.sha1(self.files[name]).digest())
        return digest.hexdigest()

    @property
    def all_tags(self):
        own = [f"license:{name}" for name in _list(self.card.get("license"))]
        return [*self.tags, *own, *(f"language:{x}" for x in _list(self.card.get("language")))]


def _list(value):
    return value if isinstance(value, list) else [value] if value else []


class FakeDataHub:
    """`faults` maps a route or a data set's id to what goes wrong there."""

    def __init__(self):
        self.repos, self.calls, self.faults = {}, [], {}
        self.token = "hf_" + "t" * 30
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def add(self, repo_id, files, *, license="mit", language="en", card=None, **fields):
        stated = {"license": license, "language": language} | (card or {})
        stated = {key: value for key, value in stated.items() if value is not None}
        self.repos[repo_id] = Repo(repo_id, files, stated, **fields)
        return self.repos[repo_id]

    # --- what each call does ----------------------------------------------------------------------

    def list(self, query):
        wanted = [word.lower() for word in query.get("search", [])]
        tags = set(query.get("filter", []))
        found = [
            repo
            for repo in self.repos.values()
            if all(word in repo.id.lower() for word in wanted) and tags <= set(repo.all_tags)
        ]
        found.sort(key=lambda repo: (-repo.downloads, repo.id))
        limit = int(query.get("limit", ["1000"])[0])
        return [self._facts(repo) for repo in found[:limit]]

    def info(self, query, repo, revision=""):
        found = self.repos.get(repo)
        if found is None or revision not in ("", "main", found.sha):
            raise Refused(404, "Repository not found")
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": "0" * 40, **_lfs(name, data)}
            for name, data in found.files.items()
        ]
        return self._facts(found) | {"siblings": siblings, "cardData": found.card}

    def _facts(self, repo):
        return {
            "id": repo.id,
            "sha": repo.sha,
            "gated": repo.gated,
            "private": False,
            "tags": repo.all_tags,
            "downloads": repo.downloads,
            "description": repo.description,
        }

    def file(self, repo, revision, path, token):
        found = self.repos.get(repo)
        if found is None or revision != found.sha or path not in found.files:
            raise Refused(404, "Entry not found")
        if found.gated and token != self.token:
            raise Refused(403, "Access to this dataset is restricted")
        return found.files[path]

    # --- HTTP -------------------------------------------------------------------------------------

    def _handler(hub):
        class Call(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Quiet."""

            def do_GET(self):
                try:
                    self.act()
                except Refused as refused:
                    self.answer(refused.status, json.dumps({"error": refused.error}).encode())
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def act(self):
                parts = urlsplit(self.path)
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                for pattern, kind in ROUTES:
                    if match := re.fullmatch(pattern, unquote(parts.path)):
                        hub.calls.append((kind, self.path, token))
                        said = match.groupdict()
                        fault = hub.faults.get(kind) or hub.faults.get((kind, said.get("repo")))
                        if fault is not None:
                            return fault(self)
                        if kind == "resolve":
                            return self.serve(hub.file(**said, token=token))
                        query = parse_qs(parts.query)
                        return self.answer(
                            200, json.dumps(getattr(hub, kind)(query, **said)).encode()
                        )
                raise Refused(501, f"the fake hub knows no {self.path}")

            def serve(self, data):
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                if wanted is None:
                    return self.answer(200, data)
                part = data[int(wanted[1]) : int(wanted[2]) + 1]
                return self.answer(206, part)

            def answer(self, status, data, **headers):
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

        return Call


class Refused(Exception):
    def __init__(self, status, error):
        self.status, self.error = status, error


def _lfs(name, data):
    if not name.endswith((".parquet", ".gz")):
        return {}
    sha256 = hashlib.sha256(data).hexdigest()
    return {"lfs": {"size": len(data), "sha256": sha256, "pointerSize": 130}}


# --- what may go wrong ----------------------------------------------------------------------------


def html(call):
    call.answer(200, b"<html>Please log in</html>", Content_Type="text/html")


def endless(call):
    """Send for ever, fast."""
    call.send_response(200)
    call.end_headers()
    while True:
        call.wfile.write(b"x" * 65536)


def slow(call):
    """Send a byte now and then, so that no single wait is long."""
    call.send_response(200)
    call.end_headers()
    while True:
        call.wfile.write(b" ")
        call.wfile.flush()
        time.sleep(0.1)


def status(code):
    return lambda call: call.answer(code, b'{"error": "no"}')


def redirect(url):
    return lambda call: call.answer(302, b"", Location=url)


def packed(call):
    call.answer(200, b"\x1f\x8b", Content_Encoding="gzip")
