"""Requests to addresses that users gave: what is refused, and where a connection really goes."""

import socket
import threading
from contextlib import contextmanager

import httpcore
import pytest

from modelstation.core import outbound
from modelstation.core.errors import UserFacingError
from modelstation.core.tests.jobs.listeners import listening

FORBIDDEN = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254",
    "100.100.100.200", "192.0.0.192", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    "168.63.129.16", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::",
    "2002:a00:1::", "64:ff9b::7f00:1", "2001:0:7f00:1::", "2001:db8::1", "fe80::1%lo",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_address_within_the_house_is_public(address):
    assert not outbound.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_the_internet_is_public(address):
    assert outbound.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "https://localhost:8000/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "javascript:alert(1)",
        "//8.8.8.8/",
        "8.8.8.8",
        "",
        "http://",
        "http://user@8.8.8.8/",
        "http://user:word@8.8.8.8/",
        "http://8.8.8.8/#here",
        "http://8.8.8.8/a b",
        "http://8.8.8.8/\r\nHost: x",
        "http://8.8.8.8:99999/",
        "http://[8.8.8.8/",
        "http://8.8.8.8/" + "a" * 500,
    ],
)
def test_a_url_that_leads_inwards_or_nowhere_is_refused(url):
    with pytest.raises(UserFacingError) as refused:
        outbound.check_url(url)
    assert (refused.value.code, refused.value.param) == ("url_refused", "url")


def test_a_url_of_the_internet_is_taken():
    outbound.check_url("https://8.8.8.8/hook?a=b")
    outbound.check_url("http://[2606:4700:4700::1111]:8080/hook")


def test_a_name_that_does_not_resolve_is_refused(monkeypatch):
    def nobody(*args, **kwargs):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", nobody)

    with pytest.raises(UserFacingError, match=r"hooks\.example\.org cannot be resolved"):
        outbound.check_url("https://hooks.example.org/")


def test_one_forbidden_address_among_those_of_a_name_is_enough(monkeypatch):
    resolve_to(monkeypatch, [["8.8.8.8", "10.0.0.1"]])

    with pytest.raises(UserFacingError, match="not on the public internet"):
        outbound.check_url("https://hooks.example.org/")


def resolve_to(monkeypatch, answers):
    """Each look-up takes the next answer; the last one stays."""

    def resolve(host, port, **kwargs):
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_the_operator_may_allow_private_addresses(settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True

    outbound.check_url("http://127.0.0.1:8000/hook")
    with pytest.raises(UserFacingError):
        outbound.check_url("file:///etc/passwd")


def test_a_name_that_changes_after_it_was_checked_is_judged_again(monkeypatch):
    """DNS rebinding: public when the URL was stored, within the house when it is sent to."""
    resolve_to(monkeypatch, [["8.8.8.8"], ["127.0.0.1"]])
    outbound.check_url("http://rebinding.example.org/")

    with listening() as server, pytest.raises(outbound.Unreachable, match="public internet"):
        outbound.post(f"http://rebinding.example.org:{server.port}/", content=b"", headers={})
    assert server.requests == []


def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch):
    """One look-up, and what it said is connected to: a second one would say something else."""
    asked = []
    resolve_to(monkeypatch, [["8.8.8.8"], ["127.0.0.1"]])

    def connect(self, host, port, *args, **kwargs):
        asked.append(host)
        raise httpcore.ConnectError("no network in tests")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)

    with pytest.raises(outbound.Unreachable, match="no network"):
        outbound.post("http://rebinding.example.org/", content=b"", headers={})
    assert asked == ["8.8.8.8"]


@pytest.fixture
def private(settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True


def test_what_is_sent_arrives_with_its_headers(private):
    with listening(body=b"thanks") as server:
        answer = outbound.post(server.url, content=b'{"a":1}', headers={"webhook-id": "evt_1"})

    assert (answer.status, answer.body) == (200, b"thanks")
    (request,) = server.requests
    assert request.body == b'{"a":1}'
    assert request.headers["webhook-id"] == "evt_1"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_a_redirect_is_not_followed(private):
    with listening() as inner, listening(status=307, headers={"location": inner.url}) as server:
        assert outbound.post(server.url, content=b"", headers={}).status == 307
    assert inner.requests == []


def test_only_the_beginning_of_a_long_answer_is_read(private):
    with listening(body=b"x" * 5_000_000) as server:
        assert len(outbound.post(server.url, content=b"", headers={}).body) == 1024


def test_no_proxy_of_the_environment_is_asked(private, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    with listening() as server:
        assert outbound.post(server.url, content=b"", headers={}).status == 200


def test_a_server_that_dribbles_is_left_at_the_deadline(private, monkeypatch):
    monkeypatch.setattr(outbound, "SECONDS", 0.3)

    with dribbling() as port, pytest.raises(outbound.Unreachable, match="no answer within"):
        outbound.post(f"http://127.0.0.1:{port}/", content=b"", headers={})


@contextmanager
def dribbling():
    """Return a server that sends a header line for ever, a byte at a time."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()


def test_nobody_who_listens_is_told_in_a_few_words(private):
    with pytest.raises(outbound.Unreachable, match="refused"):
        outbound.post("http://127.0.0.1:9/", content=b"", headers={})
