"""A real HTTP server on loopback that remembers what it was sent."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Listener:
    port: int
    status: int
    body: bytes
    headers: dict
    requests: list = field(default_factory=list)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"


@dataclass
class Received:
    body: bytes
    headers: dict


@contextmanager
def listening(status=200, body=b"", headers=None):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            given = {name.lower(): value for name, value in self.headers.items()}
            length = int(given.get("content-length", 0))
            listener.requests.append(Received(self.rfile.read(length), given))
            self.send_response(listener.status)
            for name, value in listener.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(listener.body)))
            self.end_headers()
            try:
                self.wfile.write(listener.body)
            except OSError:
                return  # the client has read enough

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener = Listener(server.server_address[1], status, body, headers or {})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
