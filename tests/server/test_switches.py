"""gunicorn's strict switches on a live server: what each lets through, and what none does.

The rules themselves are cases of tests/cases/switches.md.
"""

import json

import pytest

from .client import Client
from .process import Server, Start

SWITCHES = {
    "permit_obsolete_folding": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\t2\r\n\r\n",
    "strip_header_spaces": b"GET / HTTP/1.1\r\nHost: a\r\nX-A : 1 2\r\n\r\n",
    "permit_unconventional_http_method": b"Do#it / HTTP/1.1\r\nHost: a\r\nX-A: 1 2\r\n\r\n",
    "permit_unconventional_http_version": b"GET / HTTP/1.2\r\nHost: a\r\nX-A: 1 2\r\n\r\n",
}
FLAGS = {name: f"--{name.replace('_', '-')}" for name in (*SWITCHES, "casefold_http_method")}


def environ_of(client: Client, sent: bytes) -> dict[str, str]:
    client.send(sent)
    response = client.response()
    assert response.status == 200, response
    assert not response.closes
    return {key: value for key, (_, value) in json.loads(response.body).items()}


@pytest.fixture(scope="session")
def lenient(servers: Start) -> Server:
    return servers("show_environ", *FLAGS.values())


@pytest.mark.parametrize("name", SWITCHES)
def test_each_alone(servers: Start, name: str) -> None:
    server = servers("show_environ", FLAGS[name])
    assert "no effect" not in server.log
    with server.connect() as client:
        assert environ_of(client, SWITCHES[name])["HTTP_X_A"] == "1 2"
    for other, sent in SWITCHES.items():
        if other != name:
            with server.connect() as client:
                client.send(sent)
                assert client.response().status in (400, 505)


def test_a_method_in_small_letters(servers: Start, lenient: Server) -> None:
    sent = b"get /a HTTP/1.1\r\nHost: a\r\n\r\n"
    with lenient.connect() as client:
        assert environ_of(client, sent)["REQUEST_METHOD"] == "GET"
        client.send(b"head / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response("HEAD").status == 200
    with servers("show_environ", FLAGS["permit_unconventional_http_method"]).connect() as client:
        assert environ_of(client, sent)["REQUEST_METHOD"] == "get"
    with servers("show_environ", FLAGS["casefold_http_method"]).connect() as client:
        client.send(sent)
        assert client.response().status == 400


@pytest.mark.parametrize(("version", "served_as"), [("1.9", "1.1"), ("2.0", "1.1"), ("0.9", "1.0")])
def test_versions(lenient: Server, version: str, served_as: str) -> None:
    with lenient.connect() as client:
        sent = f"GET / HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".encode()
        assert environ_of(client, sent)["SERVER_PROTOCOL"] == f"HTTP/{served_as}"


def test_the_log_has_what_was_meant(serve: Start) -> None:
    server = serve(
        "show_environ", *FLAGS.values(), "--access-logfile", "-", "--access-logformat", "%(m)s %(f)s"
    )
    with server.connect() as client:
        environ_of(client, b"get / HTTP/1.1\r\nHost: a\r\nReferer: one\r\n two\r\n\r\n")
    assert server.stop() == 0
    assert server.output == "GET one two\n"


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length:\r\n 5",
        b"Content-Length : 5",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding : chunked",
        b"Connection : close",
        b"X-Forwarded-For : 192.0.2.1",
        b"X-Forwarded-Proto:\r\n https",
    ],
)
def test_what_no_switch_opens(lenient: Server, field: bytes) -> None:
    with lenient.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
        response = client.response()
        assert (response.status, response.closes) == (400, True)
        assert client.at_eof()
