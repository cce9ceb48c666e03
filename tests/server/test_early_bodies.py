"""--stream-request-body: the application is called when the head is there, and reads the body as it comes."""

import hashlib
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .apps.inputs import perform
from .client import Client, request
from .process import Server, Start, eventually
from .test_wsgi import bodies, calls

MEBI = 1024 * 1024
HEAD = b"POST %b HTTP/1.1\r\nHost: test\r\n"


@pytest.fixture
def server(servers: Start) -> Server:
    return servers("early", "--stream-request-body", "--limit-request-body", str(32 * MEBI))


def head(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: test", *fields, "", ""]).encode()


def test_the_application_is_told(server: Server, servers: Start) -> None:
    with server.connect() as client:
        client.send(head("/streamed", "Content-Length: 5") + b"ab")
        response = client.response()
        assert response.body == b"True 5"
    with server.connect() as client:
        client.send(head("/streamed", "Transfer-Encoding: chunked"))
        assert client.response().body == b"True None"
    with server.connect() as client:
        # what is here whole is as it ever was
        assert client.ask("POST", "/streamed", body=b"whole").body == b"None 5"
        assert client.ask("POST", "/streamed", chunks=[b"whole"]).body == b"None 5"
        assert client.get("/streamed").body == b"None None"
    with servers("early").connect() as client:
        assert client.ask("POST", "/streamed", body=b"x" * 300_000).body == b"None 300000"


@pytest.mark.parametrize(
    ("target", "streamed"),
    [
        ("/streamed", True),
        ("/streamed?x=1", True),
        ("http://test/streamed", True),
        ("/streamed?path=/below/", True),
        ("/%73treamed", False),
        ("/streamed%3f", False),
        ("/other?/streamed", False),
    ],
)
def test_only_some_paths(servers: Start, target: str, streamed: bool) -> None:
    """What is not among them is collected before the application is called: it is not called here."""
    server = servers("paths", "--stream-request-path", "/streamed", "--stream-request-path", "/below/")
    with server.connect() as client:
        client.send(head(target, "Content-Length: 5", "Expect: 100-continue"))
        if not streamed:
            assert client.response().status == 100
            client.send(b"whole")
        response = client.response()
        assert (response.status, response.body) == (200, b"True" if streamed else b"None")


def test_a_path_and_what_is_below_it(servers: Start) -> None:
    server = servers("paths", "--stream-request-path", "/streamed", "--stream-request-path", "/below/")
    found = {}
    for target in ("/streamed/x", "/streamedx", "/stream", "/", "/below/", "/below/x", "/below", "/belowx"):
        with server.connect() as client:
            client.send(head(target, "Content-Length: 5", "Expect: 100-continue"))
            found[target] = client.response().status == 200  # without 100 Continue before it
    assert [target for target, streamed in found.items() if streamed] == [
        "/streamed/x",
        "/below/",
        "/below/x",
    ]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_it_is_read_as_it_comes(server: Server, framing: str) -> None:
    pieces = [b"first", b"the second piece", b"x" * 200_000, b"last"]
    length = sum(map(len, pieces))
    field = f"Content-Length: {length}" if framing == "length" else "Transfer-Encoding: chunked"
    with server.connect() as client:
        client.send(head("/mirror", field))
        received = b""
        for piece in pieces:
            client.send(piece if framing == "length" else b"%x\r\n%b\r\n" % (len(piece), piece))
            expected = len(received) + len(piece)
            while len(received) < expected:  # nothing of the next piece was sent
                received += next_chunk(client)
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert received == b"".join(pieces)
        assert next_chunk(client) == b""
        assert client.get("/hello").status == 200


def next_chunk(client: Client) -> bytes:
    """The next chunk of a chunked answer, b"" for the last one."""
    while client.buffer.startswith(b"HTTP/1.1 200 OK\r\n"):
        end = client.buffer.find(b"\r\n\r\n")
        if end >= 0:
            client.buffer = client.buffer[end + 4 :]
        else:
            assert client.receive()
    while b"\r\n" not in client.buffer or client.buffer.startswith(b"HTTP"):
        assert client.receive()
        if client.buffer.startswith(b"HTTP"):
            return next_chunk(client)
    size_line, _, rest = client.buffer.partition(b"\r\n")
    size = int(size_line, 16)
    while len(rest) < size + 2:
        assert client.receive()
        _, _, rest = client.buffer.partition(b"\r\n")
    client.buffer = rest[size + 2 :]
    return rest[:size]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=bodies, calls=calls, chunked=st.booleans(), cut=st.integers(0, 2000))
def test_it_behaves_as_bytes_io(
    server: Server, pieces: list[bytes], calls: list[list[object]], chunked: bool, cut: int
) -> None:
    stream = io.BytesIO(b"".join(pieces))
    expected = [perform(stream, *call) for call in calls]
    how = {"chunks": [piece for piece in pieces if piece]} if chunked else {"body": b"".join(pieces)}
    sent = request("POST", "/calls", ("X-Calls", json.dumps(calls)), **how)
    at = sent.find(b"\r\n\r\n") + 4 + cut
    with server.connect() as client:
        client.send(sent[:at])
        client.send(sent[at:])
        response = client.response()
        assert response.status == 200
        assert json.loads(response.body) == expected
        # Whatever was left unread is not taken for the next request.
        client.send(request("GET", "/hello"))
        assert client.receive() is False or client.response().body == b"Hello, world!\n"


def test_a_large_body(server: Server) -> None:
    body = random.Random(7).randbytes(20 * MEBI)
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    with server.connect() as client:
        assert client.ask("POST", "/digest", body=body).body == expected
        pieces = [body[start : start + 300_007] for start in range(0, len(body), 300_007)]
        assert client.ask("POST", "/digest", chunks=pieces).body == expected
        assert client.get("/hello").status == 200


def test_others_are_read_while_it_waits(server: Server) -> None:
    """A call that waits for its body serves everybody's sockets: refusals go out at once."""
    with server.connect() as client, server.connect() as other:
        assert other.get("/hello").status == 200
        client.send(head("/echo", "Content-Length: 5", "Expect: 100-continue"))
        assert client.response().status == 100
        other.send(b"BAD\r\n\r\n")
        assert other.response().status == 400
        client.send(b"12345")
        assert client.response().body == b"12345"


class TestContinue:
    def test_when_it_is_read(self, server: Server, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with server.connect() as client:
            client.send(head(f"/gated_read?gate={gate}", "Content-Length: 4", "Expect: 100-continue"))
            eventually(gate.exists, lambda: "the application never came to the gate")
            assert client.buffer == b""
            client.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.receive()
            client.sock.settimeout(20)
            gate.unlink()
            assert client.response().status == 100
            client.send(b"body")
            assert client.response().body == b"body"
            assert client.get("/hello").status == 200

    def test_not_to_a_client_that_does_not_wait(self, server: Server, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with server.connect() as client:
            client.send(head(f"/gated_read?gate={gate}", "Content-Length: 4", "Expect: 100-continue"))
            eventually(gate.exists, lambda: "the application never came to the gate")
            client.send(b"body")
            gate.unlink()
            assert client.response().body == b"body"

    def test_not_where_it_is_not_read(self, server: Server) -> None:
        with server.connect() as client:
            client.send(head("/unread", "Content-Length: 4", "Expect: 100-continue"))
            response = client.response()
            assert (response.status, response.body, response.closes) == (200, b"nothing", True)
            assert client.at_eof()

    def test_not_where_it_is_too_long(self, server: Server) -> None:
        with server.connect() as client:
            client.send(head("/echo", f"Content-Length: {32 * MEBI + 1}", "Expect: 100-continue"))
            assert client.response().status == 413


class TestNotWhole:
    """No application may take a part of a body for the whole."""

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_cut(self, server: Server, tmp_path: Path, framing: str) -> None:
        path = tmp_path / "kept"
        how = {"body": b"x" * 300_000} if framing == "length" else {"chunks": [b"x" * 300_000]}
        with server.connect() as client:
            client.send(request("POST", f"/written?path={path}", **how)[:-3])
            client.half_close()
            client.rest()
        eventually(Path(f"{path}.part").exists, lambda: "the application was not called")
        with server.connect() as client:
            assert client.get("/hello").status == 200
        assert not path.exists()

    @pytest.mark.parametrize(
        ("sent", "status", "reason"),
        [
            (b"5\r\nhalloX\r\n", 400, "chunk data is not followed by CR LF"),
            (b"g\r\n", 400, "chunk size is not a hexadecimal number"),
            (b"2000001\r\n", 413, "request body is longer than the limit"),
        ],
    )
    def test_wrong(self, server: Server, sent: bytes, status: int, reason: str) -> None:
        for target in ("/digest", "/forgiving"):
            with server.connect() as client:
                client.send(head(target, "Transfer-Encoding: chunked", "Expect: 100-continue"))
                assert client.response().status == 100
                client.send(sent)
                response = client.response()
                if target == "/digest":
                    assert (response.status, response.closes) == (status, True)
                else:
                    assert (response.status, response.body) == (200, f"OSError: {reason}".encode())
                assert client.at_eof()
        server.wait_for_log(rf"\[WARNING\] The body of /digest could not be read: {reason}")

    def test_the_client_may_still_be_answered(self, server: Server) -> None:
        with server.connect() as client:
            client.send(head("/forgiving", "Content-Length: 10") + b"half")
            client.half_close()
            assert client.response().body == b"ClientGone: client closed the connection in mid-request"


class TestUnread:
    def test_what_is_here_is_thrown_away(self, server: Server, tmp_path: Path) -> None:
        """So that a body which nobody wants costs no connection."""
        gate = tmp_path / "gate"
        with server.connect() as client:
            client.send(head(f"/gated_unread?gate={gate}", "Content-Length: 100000") + b"x")
            eventually(gate.exists, lambda: "the application never came to the gate")
            client.send(b"x" * 99_999 + request("GET", "/hello"))
            gate.unlink()
            assert client.response().body == b"nothing"
            assert client.response().body == b"Hello, world!\n"

    def test_what_does_not_come_ends_the_connection(self, server: Server) -> None:
        with server.connect() as client:
            client.send(head("/unread?size=2", "Content-Length: 100") + b"xxx")
            response = client.response()
            assert response.body == b"xx"
            client.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")  # is body
            assert client.at_eof()

    def test_what_is_long_ends_the_connection(self, server: Server) -> None:
        """The client goes on sending, and can read its answer all the same."""
        with server.connect() as client:
            client.send(head("/unread?size=2", f"Content-Length: {8 * MEBI}") + b"x" * 8 * MEBI)
            assert client.response().body == b"xx"
