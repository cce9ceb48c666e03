"""wsgi.early_hints: 103 answers (RFC 8297), by gunicorn's contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client
from .process import Server, Start, eventually

REFUSED = {
    "callable": b"RuntimeError: early_hints was called after its request had ended",
    "environ": b"TypeError: 'NoneType' object is not callable",
}
STYLE = ("link", "</style.css>; rel=preload; as=style")


@pytest.fixture(scope="session")
def server(servers: Start) -> Server:
    return servers("hints")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.connect() as connection:
        yield connection


def test_they_come_before_the_answer(client: Client) -> None:
    for _ in range(3):
        hints = client.get("/once")
        assert (hints.version, hints.status, hints.headers) == ("1.1", 103, [STYLE])
        assert client.response().body == b"done"


def test_they_come_at_once(client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    assert client.get(f"/at_once?gate={gate}").status == 103
    eventually(gate.exists, lambda: "the application went on")
    gate.unlink()
    assert client.response().body == b"done"


def test_several_and_beside_a_head(client: Client) -> None:
    assert client.get("/several").headers == [STYLE]
    assert client.response().headers == [("link", "</a.js>"), ("x-two", "caf\xe9")]
    assert client.response().headers == [("link", "</b.js>")]
    assert client.response().headers == []
    response = client.response()
    assert (response.status, response.body) == (200, b"begun, done")
    assert response.header("too") is None


def test_no_framing(client: Client) -> None:
    assert client.get("/framing").headers == [STYLE]
    response = client.response()
    assert (response.body, response.closes) == (b"done", False)


def test_not_on_1_0(client: Client) -> None:
    response = client.ask("GET", "/once", version="HTTP/1.0")
    assert (response.status, response.body) == (200, b"done")


def test_to_head(client: Client) -> None:
    assert client.ask("HEAD", "/once").status == 103
    assert client.response("HEAD").status == 200


def test_behind_a_pipelined_request(client: Client) -> None:
    """What was answered before goes out before."""
    one = b"GET /once HTTP/1.1\r\nHost: a\r\n\r\n"
    client.send(one * 3)
    assert [client.response().status for _ in range(6)] == [103, 200] * 3


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("crlf", "ValueError: header value has a control character: 'Link'"),
        ("lf", "ValueError"),
        ("nul", "ValueError"),
        ("bytes", "ValueError"),
        ("name", "ValueError: header name is not a token"),
        ("no-name", "ValueError"),
        ("name-crlf", "ValueError"),
        ("wide", "ValueError: header value has a character that is not in latin-1"),
        ("number", "TypeError: header value must be a str"),
        ("pairs", "ValueError"),
        ("long", "ValueError: early hints of more than 65536 bytes"),
        ("many", "ValueError: early hints of more than 65536 bytes"),
        ("none", "TypeError"),
    ],
)
def test_what_must_not_be_sent(client: Client, what: str, error: str) -> None:
    response = client.get(f"/wrong?what={what}")
    assert response.status == 200
    assert response.body.decode().startswith(error)
    assert client.get("/once").status == 103


def test_a_client_that_reads_nothing(server: Server, tmp_path: Path) -> None:
    """It gets no more of them than its socket takes, and the application does not wait for it."""
    sent = tmp_path / "sent"
    with server.connect(receive_buffer=4096) as client:
        client.send(f"GET /flood?sent={sent} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        eventually(sent.exists, lambda: "the application waits for its client")
        with server.connect() as other:
            assert other.get("/once").status == 103
        count = 0
        while (response := client.response()).status == 103:
            count += 1
        assert response.body == b"done"
        assert 0 < count < 2000


@pytest.mark.parametrize("what", ["callable", "environ"])
def test_after_the_end_of_the_request(serve: Start, what: str) -> None:
    """Whoever keeps it reaches no later request with it, though all share one environ's template."""
    with serve("hints").connect() as client:
        for _ in range(4):
            assert client.get("/once").status == 103
            assert client.response().status == 200
        assert client.get(f"/keep?what={what}").body == b"kept"
        for _ in range(3):
            assert client.get("/use_kept").body == REFUSED[what]
            assert client.get("/once").status == 103
            assert client.response().status == 200
