"""HTTP/1.1 on the wire (RFC 9110, RFC 9112): what is served, what is refused, and who waits for whom."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client, request
from .process import Server, Start, eventually

MEBI = 1024 * 1024


@pytest.fixture(scope="session")
def server(servers: Start) -> Server:
    return servers("responses")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.connect() as connection:
        yield connection


class TestKeepAlive:
    def test_1_1_stays(self, client: Client) -> None:
        for _ in range(20):
            assert not client.get("/hello").closes

    def test_1_1_closes_when_asked(self, server: Server) -> None:
        for option in ("close", "Close", "keep-alive, CLOSE", "x,close ,y"):
            with server.connect() as client:
                client.send(request("GET", "/hello", ("Connection", option)) + request("GET", "/hello"))
                response = client.response()
                assert (response.body, response.header("connection")) == (b"Hello, world!\n", "close")
                assert client.at_eof()

    def test_close_is_seen_in_any_of_several_fields(self, server: Server) -> None:
        with server.connect() as client:
            assert client.get("/hello", ("Connection", "keep-alive"), ("Connection", "close")).closes
            assert client.at_eof()

    def test_close_within_another_option_is_not_close(self, client: Client) -> None:
        assert not client.get("/hello", ("Connection", "closed, not-close")).closes
        assert not client.get("/hello").closes

    def test_1_0_closes(self, server: Server) -> None:
        with server.connect() as client:
            response = client.ask("GET", "/hello", version="HTTP/1.0")
            assert (response.status, response.closes) == (200, True)
            assert client.at_eof()

    def test_1_0_stays_when_asked(self, server: Server) -> None:
        with server.connect() as client:
            for option in ("keep-alive", "Keep-Alive", "x, keep-alive"):
                response = client.ask("GET", "/hello", ("Connection", option), version="HTTP/1.0")
                assert (response.status, response.closes) == (200, False)
            assert client.ask("GET", "/hello", version="HTTP/1.0").closes

    def test_idle_connections_are_closed_in_time(self, serve: Start) -> None:
        server = serve("responses", "--keep-alive", "1")
        with server.connect() as client, server.connect() as other:
            assert client.get("/hello").status == 200
            assert other.get("/hello").status == 200
            assert client.at_eof()
            assert other.at_eof()

    def test_keep_alive_0_closes_each(self, serve: Start) -> None:
        server = serve("responses", "--keep-alive", "0")
        with server.connect() as client:
            assert client.get("/hello").closes
            assert client.at_eof()

    def test_more_connections_than_workers(self, server: Server) -> None:
        """An idle connection holds nobody."""
        clients = [server.connect() for _ in range(200)]
        try:
            for _ in range(2):
                for client in clients:
                    assert client.get("/hello").status == 200
        finally:
            for client in clients:
                client.sock.close()


def mixed_requests(count: int) -> tuple[list[bytes], list[bytes]]:
    """Requests of several kinds, and the bodies of their answers."""
    requests, answers = [], []
    for number in range(count):
        body = b"%d." % number * (number * 7 + 1)
        match number % 4:
            case 0:
                requests.append(request("GET", f"/blocks?count=1&size={number + 9}"))
                answers.append((b"00000000 " * (number + 9))[: number + 9])
            case 1:
                requests.append(request("POST", "/echo", body=body))
                answers.append(body)
            case 2:
                requests.append(
                    request("POST", "/echo", chunks=[body[:5], body[5:]] if len(body) > 5 else [body])
                )
                answers.append(body)
            case 3:
                requests.append(request("GET", "/hello"))
                answers.append(b"Hello, world!\n")
    return requests, answers


class TestPipelining:
    def test_answers_come_in_order(self, client: Client) -> None:
        requests, answers = mixed_requests(16)
        client.send(b"".join(requests))
        assert [client.response().body for _ in requests] == answers
        assert client.get("/hello").status == 200

    def test_a_thousand(self, client: Client) -> None:
        requests, answers = mixed_requests(1000)
        sender = threading.Thread(target=client.send, args=[b"".join(requests)])
        sender.start()
        bodies = [client.response().body for _ in requests]
        sender.join()
        assert bodies == answers

    def test_large_answers_in_between(self, client: Client) -> None:
        client.send(
            request("GET", f"/big?size={3 * MEBI}")
            + request("GET", "/hello")
            + request("GET", "/blocks?count=100&size=40000")
            + request("GET", "/hello")
        )
        lengths = [len(client.response().body) for _ in range(4)]
        assert lengths == [3 * MEBI, 14, 4_000_000, 14]

    def test_a_bad_request_behind_good_ones(self, server: Server) -> None:
        """What came before it is answered, it is refused, and what follows is not looked at."""
        with server.connect() as client:
            client.send(request("GET", "/hello") * 3 + b"BAD\r\n\r\n" + request("GET", "/hello"))
            assert [client.response().status for _ in range(4)] == [200, 200, 200, 400]
            assert client.at_eof()

    def test_nothing_follows_a_close(self, server: Server) -> None:
        with server.connect() as client:
            client.send(
                request("GET", "/hello")
                + request("GET", "/hello", ("Connection", "close"))
                + request("GET", "/hello")
            )
            assert [client.response().status for _ in range(2)] == [200, 200]
            assert client.at_eof()

    def test_one_leading_empty_line_is_skipped(self, client: Client) -> None:
        """RFC 9112 section 2.2: clients exist that send CR LF behind a body."""
        client.send(b"\r\n" + request("POST", "/echo", body=b"body") + b"\r\n" + request("GET", "/hello"))
        assert [client.response().body for _ in range(2)] == [b"body", b"Hello, world!\n"]


def let_it_read(other: Client) -> None:
    """Return when the server has read what was sent before, on any connection: it has answered this."""
    assert other.get("/hello").status == 200


class TestArrivalInPieces:
    """However a request is cut up by the network, it is the same request."""

    POST = request("POST", "/echo", ("X-Field", "value"), body=b"the body") + request("GET", "/hello")
    CHUNKED = request("POST", "/echo", chunks=[b"the", b" ", b"body"]) + request("GET", "/hello")

    @pytest.mark.parametrize("requests", [POST, CHUNKED], ids=["length", "chunked"])
    def test_cut_at_every_byte(self, server: Server, requests: bytes) -> None:
        with server.connect() as client, server.connect() as other:
            for cut in range(1, len(requests)):
                client.send(requests[:cut])
                let_it_read(other)
                client.send(requests[cut:])
                assert [client.response().body for _ in range(2)] == [b"the body", b"Hello, world!\n"], cut

    @pytest.mark.parametrize("requests", [POST, CHUNKED], ids=["length", "chunked"])
    def test_byte_by_byte(self, server: Server, requests: bytes) -> None:
        with server.connect() as client, server.connect() as other:
            for position in range(len(requests)):
                client.send(requests[position : position + 1])
                let_it_read(other)
            assert [client.response().body for _ in range(2)] == [b"the body", b"Hello, world!\n"]

    def test_a_refusal_comes_as_soon_as_the_line_is_bad(self, client: Client) -> None:
        client.send(b"GET / HTTP/9.9\r\n")
        assert client.response().status == 505

    def test_the_end_of_the_client(self, server: Server) -> None:
        """Closing in mid-request is nobody's error; the server goes on."""
        for cut in range(0, len(self.CHUNKED), 7):
            with server.connect() as client:
                client.send(self.CHUNKED[:cut])
        with server.connect() as client:
            assert client.get("/hello").status == 200


class TestExpect:
    """RFC 9110 section 10.1.1."""

    HEAD = b"POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-Continue\r\n"

    @pytest.mark.parametrize(
        ("framing", "body"),
        [(b"Content-Length: 4\r\n", b"body"), (b"Transfer-Encoding: chunked\r\n", b"4\r\nbody\r\n0\r\n\r\n")],
        ids=["length", "chunked"],
    )
    def test_continue(self, client: Client, framing: bytes, body: bytes) -> None:
        for _ in range(2):
            client.send(self.HEAD + framing + b"\r\n")
            assert client.response().status == 100
            client.send(body)
            response = client.response()
            assert (response.status, response.body) == (200, b"body")

    def test_no_continue_once_the_body_is_coming(self, client: Client) -> None:
        client.send(self.HEAD + b"Content-Length: 4\r\n\r\nbody")
        response = client.response()
        assert (response.status, response.body) == (200, b"body")

    def test_no_continue_without_a_body(self, client: Client) -> None:
        assert client.get("/hello", ("Expect", "100-continue")).status == 200

    def test_no_continue_on_1_0(self, client: Client) -> None:
        client.send(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        client.send(b"body")
        assert client.response().status == 200

    def test_no_continue_for_a_refused_request(self, client: Client) -> None:
        client.send(self.HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.response().status == 400

    def test_other_expectations_fail(self, client: Client) -> None:
        client.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nExpect: a-miracle\r\nContent-Length: 4\r\n\r\n")
        assert client.response().status == 417
        assert client.at_eof()


HOST = b"Host: test\r\n"
GET = b"GET /hello HTTP/1.1\r\n" + HOST
CHUNKED = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def line(text: bytes) -> bytes:
    return text + b"\r\n" + HOST + b"\r\n"


def with_field(text: bytes) -> bytes:
    return GET + text + b"\r\n\r\n"


def post(fields: bytes, body: bytes = b"0\r\n\r\n", version: bytes = b"1.1") -> bytes:
    return b"POST /echo HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n\r\n" + body


REFUSED = {
    # request line: RFC 9112 section 3
    "not HTTP": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "a word": (400, line(b"HELLO")),
    "HTTP/0.9": (400, line(b"GET /hello")),
    "two spaces after the method": (400, line(b"GET  /hello HTTP/1.1")),
    "two spaces after the target": (400, line(b"GET /hello  HTTP/1.1")),
    "space before the method": (400, line(b" GET /hello HTTP/1.1")),
    "space at the end": (400, line(b"GET /hello HTTP/1.1 ")),
    "tab for space": (400, line(b"GET\t/hello\tHTTP/1.1")),
    "space in the target": (400, line(b"GET /hel lo HTTP/1.1")),
    "no target": (400, line(b"GET HTTP/1.1")),
    "lower-case method": (400, line(b"get /hello HTTP/1.1")),
    "mixed-case method": (400, line(b"Get /hello HTTP/1.1")),
    "short method": (400, line(b"GE /hello HTTP/1.1")),
    "long method": (400, line(b"G" * 21 + b" /hello HTTP/1.1")),
    "method not a token": (400, line(b"GE(T /hello HTTP/1.1")),
    "method with NUL": (400, line(b"GE\x00T /hello HTTP/1.1")),
    "relative target": (400, line(b"GET hello HTTP/1.1")),
    "asterisk for GET": (400, line(b"GET * HTTP/1.1")),
    "authority for GET": (400, line(b"GET test:80 HTTP/1.1")),
    "8-bit target": (400, line(b"GET /caf\xc3\xa9 HTTP/1.1")),
    "control character in the target": (400, line(b"GET /a\x01b HTTP/1.1")),
    "NUL in the target": (400, line(b"GET /a\x00b HTTP/1.1")),
    "DEL in the target": (400, line(b"GET /a\x7fb HTTP/1.1")),
    "absolute target without a host": (400, line(b"GET http:///hello HTTP/1.1")),
    "absolute target with user information": (400, line(b"GET http://user@test/hello HTTP/1.1")),
    "lower-case version": (400, line(b"GET /hello http/1.1")),
    "version without a dot": (400, line(b"GET /hello HTTP/11")),
    "version with three digits": (400, line(b"GET /hello HTTP/1.10")),
    "other protocol": (400, line(b"GET /hello HTTPS/1.1")),
    "version 1.2": (505, line(b"GET /hello HTTP/1.2")),
    "version 2.0": (505, line(b"GET /hello HTTP/2.0")),
    "version 0.9": (505, line(b"GET /hello HTTP/0.9")),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "line too long": (414, line(b"GET /" + b"x" * 4096 + b" HTTP/1.1")),
    "line much too long": (414, b"GET /" + b"x" * 100_000),
    "line ends in LF": (400, b"GET /hello HTTP/1.1\n" + HOST + b"\r\n"),
    "line ends in CR": (400, b"GET /hello HTTP/1.1\rHost: test\r\n\r\n"),
    "two leading empty lines": (400, b"\r\n\r\n" + GET + b"\r\n"),
    # field lines: RFC 9112 section 5
    "no colon": (400, with_field(b"X-Field value")),
    "empty name": (400, with_field(b": value")),
    "space before the colon": (400, with_field(b"X-Field : value")),
    "tab before the colon": (400, with_field(b"X-Field\t: value")),
    "space in the name": (400, with_field(b"X Field: value")),
    "8-bit name": (400, with_field(b"X-Fi\xe9ld: value")),
    "name not a token": (400, with_field(b"X(Field): value")),
    "folded line": (400, with_field(b"X-Field: value\r\n folded")),
    "folded with a tab": (400, with_field(b"X-Field: value\r\n\tfolded")),
    "folded before the first field": (400, b"GET /hello HTTP/1.1\r\n Host: test\r\n\r\n"),
    "bare LF after a field": (400, with_field(b"X-Field: value\nX-Other: value")),
    "bare CR in a value": (400, with_field(b"X-Field: a\rb")),
    "NUL in a value": (400, with_field(b"X-Field: a\x00b")),
    "control character in a value": (400, with_field(b"X-Field: a\x0bb")),
    "DEL in a value": (400, with_field(b"X-Field: a\x7fb")),
    "empty line of LF alone": (400, GET + b"X: y\r\n\nrest\r\n\r\n"),
    "field too long": (431, with_field(b"X-Field: " + b"x" * 8200)),
    "field much too long": (431, GET + b"X-Field: " + b"x" * 1_000_000),
    "name too long": (431, with_field(b"X" * 8200 + b": value")),
    "too many fields": (431, GET + b"X-Field: value\r\n" * 101 + b"\r\n"),
    "endless fields": (431, GET + b"X-Field: value\r\n" * 20_000),
    # Host: RFC 9112 section 3.2
    "no Host": (400, b"GET /hello HTTP/1.1\r\n\r\n"),
    "no Host beside an absolute target": (400, b"GET http://test/hello HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, with_field(b"Host: test")),
    "two different Hosts": (400, with_field(b"host: other")),
    "space in Host": (400, b"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "path in Host": (400, b"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "user information in Host": (400, b"GET /hello HTTP/1.1\r\nHost: user@test\r\n\r\n"),
    "list in Host": (400, b"GET /hello HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "bad port in Host": (400, b"GET /hello HTTP/1.1\r\nHost: test:8a\r\n\r\n"),
    "bad address in Host": (400, b"GET /hello HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    # framing: RFC 9112 section 6
    "negative length": (400, post(b"Content-Length: -1")),
    "signed length": (400, post(b"Content-Length: +5")),
    "length not a number": (400, post(b"Content-Length: five")),
    "length with rubbish": (400, post(b"Content-Length: 5x")),
    "hexadecimal length": (400, post(b"Content-Length: 0x5")),
    "length with underscore": (400, post(b"Content-Length: 1_0")),
    "length with a space": (400, post(b"Content-Length: 1 0")),
    "length with a point": (400, post(b"Content-Length: 5.0")),
    "length in other digits": (400, post(b"Content-Length: \xb2")),
    "empty length": (400, post(b"Content-Length:")),
    "length list": (400, post(b"Content-Length: 5, 5")),
    "length overflow": (400, post(b"Content-Length: 18446744073709551621")),
    "length of thousand digits": (400, post(b"Content-Length: " + b"9" * 1000)),
    "two lengths": (400, post(b"Content-Length: 5\r\nContent-Length: 6")),
    "the same length twice": (400, post(b"Content-Length: 5\r\nContent-Length: 5")),
    "length and chunked": (400, post(b"Content-Length: 5\r\nTransfer-Encoding: chunked")),
    "chunked and length": (400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 5")),
    "chunked on 1.0": (400, post(b"Transfer-Encoding: chunked", version=b"1.0")),
    "chunked twice": (400, post(b"Transfer-Encoding: chunked, chunked")),
    "chunked in two fields": (400, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
    "chunked not last": (400, post(b"Transfer-Encoding: chunked, gzip")),
    "unknown coding": (501, post(b"Transfer-Encoding: x-unknown")),
    "unknown coding before chunked": (501, post(b"Transfer-Encoding: x-unknown, chunked")),
    "almost chunked": (501, post(b"Transfer-Encoding: xchunked")),
    "chunked, and more": (501, post(b"Transfer-Encoding: chunkedx")),
    # chunks: RFC 9112 section 7.1
    "no chunk size": (400, CHUNKED + b"\r\n"),
    "chunk size not hexadecimal": (400, CHUNKED + b"g\r\n"),
    "negative chunk size": (400, CHUNKED + b"-1\r\n"),
    "signed chunk size": (400, CHUNKED + b"+1\r\n"),
    "prefixed chunk size": (400, CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n"),
    "space before the chunk size": (400, CHUNKED + b" 1\r\nx\r\n0\r\n\r\n"),
    "chunk size overflow": (400, CHUNKED + b"10000000000000001\r\nx\r\n0\r\n\r\n"),
    "chunk size of many zeros": (400, CHUNKED + b"0" * 100_000),
    "chunk line ends in LF": (400, CHUNKED + b"1\nx\r\n0\r\n\r\n"),
    "chunk longer than its size": (400, CHUNKED + b"1\r\nxx\r\n0\r\n\r\n"),
    "chunk ends in LF": (400, CHUNKED + b"1\r\nx\n0\r\n\r\n"),
    "bare LF in a chunk extension": (400, CHUNKED + b"1;a\nb\r\nx\r\n0\r\n\r\n"),
    "bare CR in a chunk extension": (400, CHUNKED + b"1;a\rb\r\nx\r\n0\r\n\r\n"),
    "chunk extension without a name": (400, CHUNKED + b"1;=b\r\nx\r\n0\r\n\r\n"),
    "endless chunk extension": (400, CHUNKED + b"1;a=" + b"x" * 100_000),
    "length in the trailers": (400, CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n"),
    "Host in the trailers": (400, CHUNKED + b"0\r\nHost: other\r\n\r\n"),
    "bad trailer": (400, CHUNKED + b"0\r\nX Trailer: 5\r\n\r\n"),
    "endless trailers": (431, CHUNKED + b"0\r\n" + b"X-Trailer: value\r\n" * 20_000),
    "expectation": (417, with_field(b"Expect: a-miracle")),
}


def open_descriptors(server: Server) -> int:
    """How many files and sockets its only worker has open."""
    (worker,) = server.workers()
    return len(os.listdir(f"/proc/{worker}/fd"))


class TestRefusal:
    @pytest.mark.parametrize(("status", "sent"), REFUSED.values(), ids=REFUSED.keys())
    def test_refused(self, server: Server, status: int, sent: bytes) -> None:
        """A short whole answer that closes; no other answer behind it, and an orderly end."""
        with server.connect() as client:
            client.send(sent)
            response = client.response()
            assert (response.status, response.complete) == (status, True)
            assert response.reason
            assert response.header("connection") == "close"
            assert response.header("content-length") == str(len(response.body))
            assert len(response.body) < 1000
            assert client.at_eof()

    @pytest.mark.parametrize(
        "status_and_sent", [REFUSED["no colon"], REFUSED["two lengths"], REFUSED["unknown coding"]]
    )
    def test_nothing_behind_it_is_served(self, server: Server, status_and_sent: tuple[int, bytes]) -> None:
        with server.connect() as client:
            client.send(status_and_sent[1] + request("GET", "/hello") * 5)
            assert client.response().status == status_and_sent[0]
            assert client.at_eof()

    def test_it_repeats_nothing_that_was_sent(self, server: Server) -> None:
        with server.connect() as client:
            client.send(b"GET /<script>alert(1)</script> HTTP/1.1\r\nX <script>: 1\r\n\r\n")
            assert b"script" not in client.response().body

    def test_it_is_logged(self, serve: Start) -> None:
        server = serve("responses", "--access-logfile", "-")
        with server.connect() as client:
            client.send(b"GET /hello HTTP/9.9\r\n\r\n")
            assert client.response().status == 505
        server.wait_for_log(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: ")

    @pytest.mark.parametrize(
        "sent", [b"BAD\r\n\r\n", post(b"Content-Length: 5x", b"")], ids=["line", "framing"]
    )
    def test_a_client_that_goes_on_sending_can_read_it(self, server: Server, sent: bytes) -> None:
        """Closing with unread bytes would reset the connection and take the answer away (RFC 9112, 9.6)."""
        with server.connect(receive_buffer=4096) as client, server.connect() as other:
            client.send(sent)
            let_it_read(other)
            for _ in range(50):
                client.send(b"x" * 65_536)
                let_it_read(other)
            assert client.response().status == 400
            client.send(b"x" * 65_536)
            let_it_read(other)
            assert client.at_eof()

    def test_a_refused_upload_of_any_size(self, server: Server) -> None:
        """As above, but sent as fast as it goes, by a client that reads only when all is sent."""
        for size in (1, 10_000, MEBI, 8 * MEBI):
            with server.connect() as client:
                client.send(b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)  # no Host
                client.send(b"x" * size)
                assert client.response().status == 400
                assert client.at_eof()

    def test_lingering_ends(self, serve: Start) -> None:
        """The client has its answer and never closes: the server does not wait for ever."""
        server = serve("responses")
        with server.connect() as other, server.connect() as client:
            let_it_read(other)
            client.send(b"BAD\r\n\r\n")
            assert client.response().status == 400
            assert client.at_eof()
            before = open_descriptors(server)
            eventually(lambda: open_descriptors(server) == before - 1, lambda: "the connection stays open")


class TestAccepted:
    """What is unusual, and right."""

    @pytest.mark.parametrize(
        "sent",
        [
            line(b"GET /hello HTTP/1.1"),
            b"GET /hello HTTP/1.1\r\nhOST:test\r\n\r\n",
            b"GET /hello HTTP/1.1\r\nHost:\r\n\r\n",
            b"GET /hello HTTP/1.1\r\nHost: [2001:db8::1]:8000\r\n\r\n",
            b"GET /hello HTTP/1.1\r\nHost: test:\r\n\r\n",
            b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            with_field(b"X-Field:"),
            with_field(b"X-Field:value"),
            with_field(b"X-Field: \t value \t "),
            with_field(b"!#$%&'*+-.^_`|~0: value"),
            with_field(b'X-Field: \x80\xff\t,;"()'),
            with_field(b"X-Field: " + b"x" * 8000),
            with_field(b"Content-Length: 0"),
            with_field(b"Content-Length: 00"),
            with_field(b"Upgrade: h2c\r\nConnection: upgrade"),
            with_field(b"TE: trailers"),
            GET + b"X-Field: value\r\n" * 99 + b"\r\n",
            b"OPTIONS /hello HTTP/1.1\r\n" + HOST + b"\r\n",
            b"M-SEARCH /hello HTTP/1.1\r\n" + HOST + b"\r\n",
            b"GET http://test/hello HTTP/1.1\r\n" + HOST + b"\r\n",
            b"GET /hello?" + b"x" * 4000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        ],
        ids=lambda sent: sent[:60].decode("latin-1"),
    )
    def test_served(self, client: Client, sent: bytes) -> None:
        for _ in range(2):
            client.send(sent)
            response = client.response()
            assert (response.status, response.body) == (200, b"Hello, world!\n")

    @pytest.mark.parametrize(
        "body",
        [
            b"4\r\nbody\r\n0\r\n\r\n",
            b"04\r\nbody\r\n000\r\n\r\n",
            b"1\r\nb\r\n1\r\no\r\n2\r\ndy\r\n0\r\n\r\n",
            b"4;name\r\nbody\r\n0;last\r\n\r\n",
            b'4;name=value;other="quoted; \\" value"\r\nbody\r\n0\r\n\r\n',
            b"4\r\nbody\r\n0\r\nX-Trailer: value\r\nX-Other: value\r\n\r\n",
        ],
    )
    def test_chunked(self, client: Client, body: bytes) -> None:
        for coding in (b"chunked", b"Chunked", b" chunked "):
            client.send(post(b"Transfer-Encoding: " + coding, body))
            response = client.response()
            assert (response.status, response.body) == (200, b"body")

    def test_a_body_that_looks_like_a_request(self, client: Client) -> None:
        body = request("GET", "/hello") + b"\r\n0\r\n\r\n"
        assert client.ask("POST", "/echo", body=body).body == body
        assert client.ask("POST", "/echo", chunks=[body]).body == body
        assert client.ask("GET", "/echo", body=body).body == body


class TestSlowClients:
    """Nobody waits for somebody else's network."""

    @pytest.mark.parametrize(
        "part",
        [
            b"",
            b"G",
            b"GET /hello HTTP/1.1\r\nHost:",
            b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf",
            b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
            b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 10_000_000,
        ],
        ids=["nothing", "a byte", "half a head", "half a body", "half a chunk", "half of a large body"],
    )
    def test_a_request_that_does_not_come(self, server: Server, part: bytes) -> None:
        slow = [server.connect() for _ in range(8)]
        try:
            for client in slow:
                client.send(part)
            with server.connect() as client:
                for _ in range(10):
                    assert client.get("/hello").status == 200
        finally:
            for client in slow:
                client.sock.close()

    @pytest.mark.parametrize("target", ["/big?size=8000000", "/file?path={}&length=8000000", "/file?path={}"])
    def test_an_answer_that_is_not_read(self, server: Server, tmp_path: Path, target: str) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x" * 8_000_000)
        target = target.format(path)
        slow = [server.connect(receive_buffer=4096) for _ in range(4)]
        try:
            for client in slow:
                client.send(request("GET", target))
            with server.connect() as client:
                for _ in range(10):
                    assert client.get("/hello").status == 200
            for client in slow:
                assert len(client.response().body) == 8_000_000
                assert client.get("/hello").status == 200
        finally:
            for client in slow:
                client.sock.close()

    def test_a_stream_that_is_read_slowly_is_whole(self, server: Server) -> None:
        with server.connect(receive_buffer=4096) as client:
            client.send(request("GET", "/blocks?count=200&size=50000"))
            assert client.receive()
            with server.connect() as other:
                other.send(request("GET", "/hello"))  # answered now or when the stream is through
                response = client.response()
                assert other.response().status == 200
            assert response.body == b"".join((b"%08d " % n * 5556)[:50_000] for n in range(200))


class TestDepartures:
    def test_half_close_after_the_request(self, server: Server) -> None:
        """A client may say that it will send no more and still wait for its answers."""
        for target, length in [
            ("/hello", 14),
            ("/big?size=2000000", 2_000_000),
            ("/blocks?count=50&size=9000", 450_000),
        ]:
            with server.connect() as client:
                client.send(request("GET", target) * 2)
                client.half_close()
                assert [len(client.response().body) for _ in range(2)] == [length, length]
                assert client.at_eof()

    @pytest.mark.parametrize(
        "part", [b"", b"GET /hel", GET, b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nabc"]
    )
    def test_half_close_within_the_request(self, server: Server, part: bytes) -> None:
        with server.connect() as client:
            client.send(part)
            client.half_close()
            assert not client.rest().startswith(b"HTTP/1.1 2")

    def test_reset_while_the_answer_is_sent(self, server: Server) -> None:
        for target in ["/big?size=8000000", "/blocks?count=1000&size=10000"]:
            for _ in range(10):
                with server.connect(receive_buffer=4096) as client:
                    client.send(request("GET", target))
                    assert client.receive()
                    client.reset()
        with server.connect() as client:
            assert client.get("/hello").status == 200
        assert "Traceback" not in server.news, "a client that goes away is no error of ours"

    def test_reset_while_the_application_works(self, server: Server, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with server.connect() as client:
            client.send(request("GET", f"/gated?gate={gate}"))
            eventually(gate.exists, server.explain)
            client.reset()
            gate.unlink()
        with server.connect() as client:
            assert client.get("/hello").status == 200
        assert "Traceback" not in server.news

    def test_nothing_stays_open(self, serve: Start, tmp_path: Path) -> None:
        """However a connection ends, it leaves no socket, no temporary file, no file that was being sent."""
        server = serve("responses")
        path = tmp_path / "file"
        path.write_bytes(b"x" * 8_000_000)
        with server.connect() as other:
            let_it_read(other)
            before = open_descriptors(server)
            for sent in (
                b"",
                GET,
                b"BAD\r\n\r\n",
                request("GET", "/hello"),
                request("GET", f"/file?path={path}&length=8000000"),
                request("GET", "/blocks?count=10&size=50000"),
                request("POST", "/echo", body=b"x" * 1_000_000),
                request("POST", "/echo", body=b"x" * 1_000_000)[:-1],
                request("POST", "/echo", chunks=[b"x" * 1_000_000])[:-1],
            ):
                for leave in (Client.reset, Client.half_close):
                    with server.connect(receive_buffer=4096) as client:
                        client.send(sent)
                        let_it_read(other)
                        # one that says nothing is accepted after a second
                        eventually(
                            lambda: open_descriptors(server) > before,
                            lambda: f"{open_descriptors(server)} descriptors, {before} before",
                        )
                        leave(client)
            let_it_read(other)
            eventually(
                lambda: open_descriptors(server) == before,
                lambda: f"{open_descriptors(server)} descriptors, {before} before",
            )
