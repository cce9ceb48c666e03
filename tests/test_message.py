"""fastwsgi/message.py: what hooks and loggers see of a request and its response."""

import io
from typing import Any

import pytest

from fastwsgi.message import Request, Response


def request(**environ: Any) -> Request:
    return Request(
        {
            "REQUEST_METHOD": "GET",
            "RAW_URI": "/a%20b/c?x=1&y=%3F#top",
            "PATH_INFO": "/a b/c",
            "QUERY_STRING": "x=1&y=%3F",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "REMOTE_PORT": "4711",
            "wsgi.url_scheme": "http",
            "HTTP_HOST": "example.org",
            "HTTP_X_FORWARDED_FOR": "10.0.0.1, 10.0.0.2",
            "CONTENT_TYPE": "text/plain",
            "CONTENT_LENGTH": "3",
        }
        | environ
    )


def test_what_the_client_sent() -> None:
    req = request()
    assert (req.method, req.uri) == ("GET", "/a%20b/c?x=1&y=%3F#top")
    assert (req.path, req.query, req.fragment) == ("/a%20b/c", "x=1&y=%3F", "top")
    assert req.version == (1, 1)
    assert req.scheme == "http"
    assert req.headers == [
        ("HOST", "example.org"),
        ("X-FORWARDED-FOR", "10.0.0.1, 10.0.0.2"),
        ("CONTENT-TYPE", "text/plain"),
        ("CONTENT-LENGTH", "3"),
    ]
    assert list(req.trailers) == []
    assert req.proxy_protocol_info is None


def test_what_the_proxy_said_of_the_connection() -> None:
    req = request(PROXY_PROTOCOL="TCP4", PROXY_ADDR="198.51.100.7", PROXY_PORT="443")
    assert req.proxy_protocol_info == {
        "proxy_protocol": "TCP4",
        "client_addr": "192.0.2.7",
        "client_port": 4711,
        "proxy_addr": "198.51.100.7",
        "proxy_port": 443,
    }
    info = request(PROXY_PROTOCOL="LOCAL").proxy_protocol_info
    assert info is not None
    assert info.pop("proxy_protocol") == "LOCAL"
    assert set(info.values()) == {None}


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("/", ("/", "", "")),
        ("//x/y", ("//x/y", "", "")),
        ("*", ("*", "", "")),
        ("/?", ("/", "", "")),
        ("/a?b?c", ("/a", "b?c", "")),
        ("/a?u=http://b/c", ("/a", "u=http://b/c", "")),
        ("http://example.org/a?b", ("/a", "b", "")),
        ("http://example.org", ("", "", "")),
        ("http://example.org?a=/b", ("", "a=/b", "")),
    ],
)
def test_the_parts_of_a_target(uri: str, target: tuple[str, str, str]) -> None:
    req = request(RAW_URI=uri)
    assert (req.path, req.query, req.fragment) == target


def test_who_has_sent_it() -> None:
    assert request().peer_addr == request().remote_addr == ("192.0.2.7", 4711)
    local = request(REMOTE_ADDR="", REMOTE_PORT=None)
    assert local.peer_addr == local.remote_addr == ""


@pytest.mark.parametrize(
    ("protocol", "connection", "closes"),
    [
        ("HTTP/1.1", "", False),
        ("HTTP/1.1", "TE, Close", True),
        ("HTTP/1.0", "", True),
        ("HTTP/1.0", "Keep-Alive", False),
    ],
)
def test_does_the_client_want_to_close(protocol: str, connection: str, closes: bool) -> None:
    assert request(SERVER_PROTOCOL=protocol, HTTP_CONNECTION=connection).should_close() is closes


def test_what_the_application_does_to_its_environ_is_not_seen() -> None:
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/", "HTTP_A": "1"}
    req = Request(environ)
    environ.update(REQUEST_METHOD="POST", HTTP_B="2")
    del environ["HTTP_A"]
    assert req.method == "GET"
    assert req.headers == [("A", "1")]


def test_the_body_is_that_of_the_application() -> None:
    body = io.BytesIO(b"abc")
    assert request(**{"wsgi.input": body}).body is body


def test_hooks_may_keep_things_on_it() -> None:
    req = request()
    req.start_time = 1.0  # type: ignore[attr-defined]
    assert req.start_time == 1.0  # type: ignore[attr-defined]


def test_a_response() -> None:
    headers = [("Content-Type", "text/plain")]
    resp = Response("404 Not Found", headers, sent=9, length=9, headers_sent=True, closes=False)
    assert (resp.status, resp.status_code, resp.headers) == ("404 Not Found", 404, headers)
    assert (resp.sent, resp.response_length, resp.headers_sent) == (9, 9, True)
    assert not resp.should_close()
    assert Response(None, [], sent=0, length=None, headers_sent=False, closes=True).status_code is None
