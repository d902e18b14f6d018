"""A small OpenAI-compatible teacher on loopback: it writes rows, answers and judges by rules that a
test can change, counts what it was sent, and plays what is asked of `plays` first."""

import json
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LABELS = {"plumbing": ("drain", "tap", "pipe"), "electrical": ("lamp", "socket", "fuse")}
KEY = "sk-averysecretkeyofacme"
PLACES = (
    "kitchen",
    "bath",
    "cellar",
    "attic",
    "hall",
    "garage",
    "office",
    "shed",
    "garden",
    "loft",
)
WHAT = (
    "is broken since Monday", "makes a strange noise at night", "needs a new cover",
    "was fitted wrongly by your man", "stopped when we came back from holiday",
    "should be looked at before winter", "is older than my grandmother", "smells burnt",
    "does not do a thing", "leaks or sparks, I cannot tell",
)  # fmt: skip


def label_of(text):
    return next((label for label, words in LABELS.items() if any(w in text for w in words)), "")


def rows_of_all():
    """A hundred rows and more, none like another."""
    number = 0
    for what in WHAT:
        for place in PLACES:
            for label, words in LABELS.items():
                word = words[number % len(words)]
                number += 1
                text = f"The {word} of the {place} {number * 7} {what} {place[::-1]}{number}"
                yield {"input": text, "output": label}


class FakeTeacher:
    def __init__(self):
        self.requests, self.keys, self.plays = [], [], deque()
        self.left = deque(rows_of_all())
        self.tokens = 0
        self.delay = 0.0
        self.verdict = lambda row: True
        self.output = label_of

    def of(self, purpose):
        return [r for r in self.requests if _name(r) == purpose]

    def reply(self, body):
        name = _name(body)
        last = body["messages"][-1]["content"]
        if name == "rows":
            schema = body["response_format"]["json_schema"]["schema"]["properties"]["rows"]
            count = schema["minItems"]
            return {"rows": [self.left.popleft() for _ in range(min(count, len(self.left)))]}
        data = json.loads(last[last.index("[") :])
        if name == "outputs":
            return {"outputs": [self.output(text) for text in data]}
        return {"verdicts": [self.verdict(row) for row in data]}


def _name(body):
    return body.get("response_format", {}).get("json_schema", {}).get("name", "")


def handler_of(teacher):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def send(self, status, body, **headers):
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            with suppress(OSError):  # the client has read enough
                self.wfile.write(body)

        def do_GET(self):
            self.send(200, json.dumps({"data": [{"id": "fake-large"}]}).encode())

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            teacher.requests.append(body)
            teacher.keys.append(self.headers.get("authorization"))
            time.sleep(teacher.delay)
            self.most = body.get("max_tokens", 600)
            play = teacher.plays.popleft() if teacher.plays else None
            if play:
                play(self, body)
            else:
                self.answer(json.dumps(teacher.reply(body)))

        def answer(self, text):
            said = min(600, self.most)
            teacher.tokens += 300 + said
            usage = {"prompt_tokens": 300, "completion_tokens": said}
            message = {"role": "assistant", "content": text}
            self.send(200, json.dumps({"choices": [{"message": message}], "usage": usage}).encode())

    return Handler


@contextmanager
def fake_teacher():
    teacher = FakeTeacher()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(teacher))
    server.daemon_threads = True
    teacher.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield teacher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- what a teacher may play instead of an answer -------------------------------------------------


def refuses(status, **headers):
    return lambda handler, body: handler.send(status, b'{"error": {"message": "no"}}', **headers)


def says(text):
    return lambda handler, body: handler.answer(text)


def sends(raw):
    return lambda handler, body: handler.send(200, raw)


def hangs_up(handler, body):
    handler.close_connection = True
    handler.connection.close()


def fences(teacher):
    return lambda handler, body: handler.answer(f"```json\n{json.dumps(teacher.reply(body))}\n```")
