"""uvicorn on our parser: its httptools protocol, unchanged, finds fastwsgi.http where it wants httptools."""

import json
import sys
from collections.abc import Iterator

import pytest

from .client import Client, Response, request
from .process import APPS, Server

RUN = """
import sys
import fastwsgi.http
sys.modules["httptools"] = fastwsgi.http
import uvicorn
from uvicorn.protocols.http import httptools_impl
assert httptools_impl.httptools is fastwsgi.http
uvicorn.run("asgi_site:application", host="127.0.0.1", port=0, http="httptools", lifespan="off")
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where uvicorn listens."""
    server = Server(
        [sys.executable, "-c", RUN], tmp_path_factory.mktemp("uvicorn"), env={"PYTHONPATH": str(APPS)}
    )
    yield server.wait_for_log(r"running on (http://\S+)")[1]
    server.stop()
    assert "Traceback" not in server.log, server.log


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client.open(address) as client:
        yield client


def said(response: Response) -> dict[str, object]:
    assert (response.status, response.complete) == (200, True)
    answer = json.loads(response.body)
    assert isinstance(answer, dict)
    return answer


def test_a_request_reaches_the_application(client: Client) -> None:
    answer = said(client.get("/echo/a%20b?c=d%20e", ("Accept-Language", "en"), ("X-Own", "1")))
    assert (answer["method"], answer["name"], answer["query"]) == ("GET", "a b", "c=d%20e")
    assert answer["host"] == "test"
    headers = answer["headers"]
    assert isinstance(headers, dict)
    assert (headers["Accept-Language"], headers["X-Own"]) == ("en", "1")


def test_bodies_of_either_framing(client: Client) -> None:
    answer = said(client.ask("POST", "/echo/x", body=b"hello"))
    assert (answer["method"], answer["body"]) == ("POST", "hello")
    answer = said(client.ask("PUT", "/echo/x", chunks=[b"hel", b"lo", b"!" * 50]))
    assert (answer["length"], answer["body"]) == (55, "hello" + "!" * 50)


def test_a_body_that_comes_in_many_pieces(client: Client) -> None:
    answer = said(client.ask("POST", "/echo/x", body=b"x" * 3_000_000))
    assert answer["length"] == 3_000_000


def test_a_head_that_comes_byte_by_byte(client: Client) -> None:
    for byte in request("GET", "/echo/slow", ("X-Own", "1")):
        client.send(bytes([byte]))
    assert said(client.response())["name"] == "slow"


def test_the_client_is_told_to_continue(client: Client) -> None:
    client.send(request("POST", "/echo/x", ("Expect", "100-continue"), ("Content-Length", "3")))
    assert client.response().status == 100
    client.send(b"abc")
    assert said(client.response())["body"] == "abc"


def test_pipelined_requests_are_answered_in_their_order(client: Client) -> None:
    client.send(b"".join(request("GET", f"/echo/{number}") for number in range(20)))
    assert [said(client.response())["name"] for _ in range(20)] == [str(number) for number in range(20)]


def test_answers_are_streamed_and_empty_ones_too(client: Client) -> None:
    assert client.get("/stream/100").body.split() == [b"%d" % number for number in range(100)]
    assert client.get("/nothing").status == 204


def test_a_client_that_closes(client: Client) -> None:
    client.send(request("GET", "/echo/last", ("Connection", "close")) + request("GET", "/echo/never"))
    assert said(client.response())["name"] == "last"
    assert client.at_eof()


def test_http_1_0(client: Client) -> None:
    client.send(b"GET /echo/old HTTP/1.0\r\nHost: h\r\n\r\n")
    assert said(client.response())["name"] == "old"
    assert client.at_eof()


def test_an_upgrade_that_it_cannot_do_is_answered_as_http(client: Client) -> None:
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "something"))
    assert said(client.get("/echo/x", *upgrade))["name"] == "x"
    assert said(client.get("/echo/y"))["name"] == "y"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_our_parser_refuses_is_refused(client: Client, data: bytes) -> None:
    client.send(data)
    response = client.response()
    assert (response.status, response.body) == (400, b"Invalid HTTP request received.")
    assert client.at_eof()
