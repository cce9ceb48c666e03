"""Whom the application takes for its client, with nginx, HAProxy and Apache in front; nobody can feign it."""

import json
import shlex
from collections.abc import Iterator

import pytest

from .front import KINDS, PAGE, PLAIN, Front, Fronted, block
from .process import Start

PEER = "127.0.0.2"
"""Where the client comes from; the fronts are at 127.0.0.1."""

LIES = {
    "Forwarded": "for=6.6.6.6",
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Protocol": "ssl",
    "X-Forwarded-Ssl": "on",
    "X_Forwarded_For": "6.6.6.6",
    # gunicorn's defaults let a trusted front say where the application is mounted
    "SCRIPT_NAME": "/6.6.6.6",
    "PATH_INFO": "/6.6.6.6",
}
HAPROXY_SERVER = "    server example unix@/run/example/http.sock\n"
V2 = block("/etc/haproxy/haproxy.cfg, PROXY protocol")
PROXY_LINES = {"v1": V2.replace("send-proxy-v2", "send-proxy"), "v2": V2}


def environs(front: Front, count: int = 3) -> Iterator[dict[str, str]]:
    """What the application sees in requests of one connection from PEER, with lies in them."""
    with front.connect(source=PEER) as client:
        for _ in range(count):
            response = client.get("/environ?a=%20b", ("Host", "example.com"), *LIES.items())
            assert response.status == 200, response
            yield json.loads(response.body)


def assert_told_by_header(environ: dict[str, str]) -> None:
    assert environ["QUERY_STRING"] == "a=%20b"
    assert environ["HTTP_HOST"] == "example.com"
    assert environ["HTTP_X_FORWARDED_FOR"] == PEER
    assert environ["HTTP_X_FORWARDED_PROTO"] == environ["wsgi.url_scheme"] == "https"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/environ"
    assert not any("6.6.6.6" in value for value in environ.values())
    assert not {"HTTP_X_FORWARDED_PROTOCOL", "HTTP_X_FORWARDED_SSL", "HTTP_FORWARDED"} & set(environ)


def test_without_a_word_it_is_the_front(fronted: Fronted, transport: str) -> None:
    for environ in environs(fronted("fronted").front):
        assert_told_by_header(environ)
        assert environ["REMOTE_ADDR"] == ("127.0.0.1" if transport == "tcp" else "")


def test_forwarded_for(fronted: Fronted) -> None:
    for environ in environs(fronted("fronted", "--forwarded-for", "x-forwarded-for").front):
        assert_told_by_header(environ)
        assert environ["REMOTE_ADDR"] == PEER


def test_a_front_that_is_not_trusted(serve: Start) -> None:
    flags = "--forwarded-for", "x-forwarded-for", "--forwarded-allow-ips", "10.0.0.1"
    server = serve("fronted", *flags)
    front = Front(KINDS["nginx"], server.url)
    try:
        for environ in environs(front.ready()):
            assert environ["REMOTE_ADDR"] == "127.0.0.1"
            assert environ["wsgi.url_scheme"] == "http"
    finally:
        front.stop()


class TestProxyProtocol:
    @pytest.mark.parametrize("version", PROXY_LINES)
    def test_haproxy(self, serve: Start, version: str) -> None:
        server = serve("fronted", "--proxy-protocol", version, "--access-logfile", "-")
        more = {HAPROXY_SERVER: PROXY_LINES[version]}
        front = Front(KINDS["haproxy"], server.url, more)
        try:
            for environ in environs(front.ready()):
                assert_told_by_header(environ)
                assert environ["REMOTE_ADDR"] == PEER
                assert environ["PROXY_PROTOCOL"] == "TCP4"
        finally:
            front.stop()
        assert server.stop() == 0
        lines = [line for line in server.output.splitlines() if "/environ" in line]
        assert len(lines) == 3
        assert all(line.startswith(f"{PEER} ") for line in lines)

    @pytest.mark.parametrize("kind", PLAIN)
    def test_tcp(self, serve: Start, kind: str) -> None:
        flags = "--proxy-protocol", "auto", "--forwarded-allow-ips", ""
        assert shlex.join(flags) in PAGE.read_text()
        server = serve("fronted", *flags)
        front = Front(PLAIN[kind], server.url)
        try:
            for environ in environs(front.ready()):
                assert environ["wsgi.url_scheme"] == "http"
                assert environ["SCRIPT_NAME"] == ""
                assert environ["REMOTE_ADDR"] == PEER
                assert environ["PROXY_PROTOCOL"] == "TCP4"
            with server.connect() as client:  # without the header it is who it is
                assert json.loads(client.get("/environ").body)["REMOTE_ADDR"] == "127.0.0.1"
        finally:
            front.stop()

    def test_who_may_not(self, serve: Start) -> None:
        server = serve("fronted", "--proxy-protocol", "auto", "--proxy-allow-from", "10.0.0.1")
        front = Front(PLAIN["nginx-stream"], server.url)
        try:
            with front.ready().connect() as client:
                assert client.get("/environ").status == 403
        finally:
            front.stop()
