"""fastwsgi.http.HttpRequestParser: the interface of httptools, beside httptools itself."""

import sys
from typing import Any

import httptools
import pytest

import fastwsgi.http

GET = b"GET /a?b HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nuser-agent: u\r\nuSER-aGENT: u\r\nX-Own: \r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n"
)
OLD = b"GET / HTTP/1.0\r\n\r\n"
KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
WEBSOCKET = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"
LAST = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


class Protocol:
    """Writes down every call, and what the parser says meanwhile."""

    def __init__(self, library: Any) -> None:
        self.parser = library.HttpRequestParser(self)
        self.library = library
        self.calls: list[tuple[object, ...]] = []

    def feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except self.library.HttpParserUpgrade as upgrade:
            self.calls.append(("upgrade", *upgrade.args))

    def on_message_begin(self) -> None:
        self.calls.append(("begin",))

    def on_url(self, url: bytes) -> None:
        self.calls.append(("url", url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.calls.append(("header", name, value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        self.calls.append(
            (
                "headers complete",
                parser.get_method(),
                parser.get_http_version(),
                parser.should_keep_alive(),
                parser.should_upgrade(),
            )
        )

    def on_body(self, body: bytes) -> None:
        self.calls.append(("body", body))

    def on_chunk_header(self) -> None:
        self.calls.append(("chunk header",))

    def on_chunk_complete(self) -> None:
        self.calls.append(("chunk complete",))

    def on_message_complete(self) -> None:
        self.calls.append(("complete",))


@pytest.mark.parametrize("data", [GET, POST, CHUNKED, GET + POST + CHUNKED + GET, OLD, KEPT + GET, LAST])
def test_the_calls_are_those_of_httptools(data: bytes) -> None:
    ours, theirs = Protocol(fastwsgi.http), Protocol(httptools)
    ours.feed(data)
    theirs.feed(data)
    assert ours.calls == theirs.calls


@pytest.mark.parametrize("data", [WEBSOCKET, CONNECT])
def test_an_upgrade_is_told_as_httptools_tells_it(data: bytes) -> None:
    for rest in (b"", b"\x81\x00", GET):
        ours, theirs = Protocol(fastwsgi.http), Protocol(httptools)
        ours.feed(GET + data + rest)
        theirs.feed(GET + data + rest)
        assert ours.calls == theirs.calls
        assert ours.calls[-1] == ("upgrade", len(GET + data))


def test_the_offset_of_an_upgrade_counts_in_what_was_just_fed() -> None:
    protocol = Protocol(fastwsgi.http)
    protocol.feed(WEBSOCKET[:40])
    protocol.feed(WEBSOCKET[40:] + b"rest")
    assert protocol.calls[-1] == ("upgrade", len(WEBSOCKET) - 40)


def test_behind_a_declined_upgrade_is_http() -> None:
    protocol = Protocol(fastwsgi.http)
    protocol.feed(CONNECT)
    protocol.feed(GET)
    assert protocol.calls[-1] == ("complete",)


def test_chunks_are_told_the_same_in_every_cut() -> None:
    whole = Protocol(fastwsgi.http)
    whole.feed(CHUNKED)
    for size in range(1, 12):
        protocol = Protocol(fastwsgi.http)
        for at in range(0, len(CHUNKED), size):
            protocol.feed(CHUNKED[at : at + size])
        without_data = [call for call in protocol.calls if call[0] != "body"]
        assert without_data == [call for call in whole.calls if call[0] != "body"]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_buffer(kind: type) -> None:
    protocol = Protocol(fastwsgi.http)
    protocol.feed(kind(POST))
    assert ("body", b"hello") in protocol.calls


def test_a_protocol_need_not_have_any_callback() -> None:
    fastwsgi.http.HttpRequestParser(object()).feed_data(GET + POST + CHUNKED)


def test_before_a_request() -> None:
    parser = fastwsgi.http.HttpRequestParser(object())
    assert (parser.get_method(), parser.get_http_version()) == (b"", "0.0")
    assert (parser.should_keep_alive(), parser.should_upgrade()) == (False, False)


def test_a_refused_head_calls_nothing() -> None:
    protocol = Protocol(fastwsgi.http)
    with pytest.raises(fastwsgi.http.HttpParserError):
        protocol.parser.feed_data(b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n")
    assert protocol.calls == []


def test_trailers_are_no_headers() -> None:
    protocol = Protocol(fastwsgi.http)
    trailers: list[tuple[bytes, bytes]] = []
    protocol.on_trailer = lambda *trailer: trailers.append(trailer)  # type: ignore[attr-defined]
    parser = fastwsgi.http.HttpRequestParser(protocol)
    parser.feed_data(CHUNKED[:-2] + b"X-Sum: 1\r\n\r\n")
    assert trailers == [(b"X-Sum", b"1")]
    assert ("header", b"X-Sum", b"1") not in protocol.calls


def test_behind_the_last_request_nothing_is_read() -> None:
    protocol = Protocol(fastwsgi.http)
    protocol.feed(LAST + GET)
    protocol.feed(GET)
    assert protocol.calls.count(("complete",)) == 1


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"G\x7f / HTTP/1.1\r\n", "HttpParserError"),
        (b"get / HTTP/1.1\r\n", "HttpParserInvalidMethodError"),
        (b"GET a HTTP/1.1\r\n", "HttpParserInvalidURLError"),
        (b"GET * HTTP/1.1\r\n", "HttpParserInvalidURLError"),
        (b"GET / HTTP/1.1\r\n x\r\n", "HttpParserError"),
    ],
)
def test_refusals_have_the_names_of_httptools(data: bytes, name: str) -> None:
    parser = fastwsgi.http.HttpRequestParser(object())
    for _ in range(2):
        with pytest.raises(fastwsgi.http.HttpParserError) as caught:
            parser.feed_data(data)
        assert type(caught.value) is getattr(fastwsgi.http, name)
        assert isinstance(caught.value.__cause__, fastwsgi.http.ProtocolError)
        assert str(caught.value) == str(caught.value.__cause__)


@pytest.mark.parametrize("name", [name for name in vars(httptools) if name.startswith("HttpParser")])
def test_exceptions_are_as_in_httptools(name: str) -> None:
    ours, theirs = getattr(fastwsgi.http, name), getattr(httptools, name)
    assert [base.__name__ for base in ours.__mro__] == [base.__name__ for base in theirs.__mro__]


CALLBACKS = [name for name in vars(Protocol) if name.startswith("on_")]


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_that_raises(name: str) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    protocol = Protocol(fastwsgi.http)
    setattr(protocol, name, fail)
    parser = fastwsgi.http.HttpRequestParser(protocol)
    with pytest.raises(fastwsgi.http.HttpParserCallbackError, match=f"`{name}` callback error") as caught:
        parser.feed_data(CHUNKED)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(fastwsgi.http.HttpParserCallbackError, match=name):
        parser.feed_data(GET)


def test_an_interrupt_passes_and_ends_the_parser() -> None:
    class Interrupted:
        def on_body(self, _body: bytes) -> None:
            raise KeyboardInterrupt

    parser = fastwsgi.http.HttpRequestParser(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        parser.feed_data(POST)
    with pytest.raises(fastwsgi.http.HttpParserCallbackError):
        parser.feed_data(GET)


def test_a_callback_must_not_feed() -> None:
    class Feeding:
        def on_url(self, _url: bytes) -> None:
            parser.feed_data(GET)

    parser = fastwsgi.http.HttpRequestParser(Feeding())
    with pytest.raises(fastwsgi.http.HttpParserCallbackError) as caught:
        parser.feed_data(GET)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_callback_may_drop_the_parser_and_the_data() -> None:
    class Dropping:
        def __init__(self) -> None:
            self.parser: Any = fastwsgi.http.HttpRequestParser(self)
            self.bodies: list[bytes] = []

        def on_headers_complete(self) -> None:
            self.parser = None
            source.clear()

        def on_body(self, body: bytes) -> None:
            self.bodies.append(body)

    protocol = Dropping()
    source = bytearray(POST)
    with pytest.raises(fastwsgi.http.HttpParserCallbackError) as caught:
        protocol.parser.feed_data(source)
    assert isinstance(caught.value.__cause__, BufferError)


def test_nothing_is_lost_or_kept() -> None:
    source = GET * 3
    protocol = Protocol(fastwsgi.http)
    before = sys.getrefcount(source)
    for _ in range(10):
        protocol.feed(source)
    assert sys.getrefcount(source) == before


def test_limits() -> None:
    parser = fastwsgi.http.HttpRequestParser(object(), limits=fastwsgi.http.Limits(fields=1))
    parser.feed_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    with pytest.raises(fastwsgi.http.HttpParserError, match="FIELDS_TOO_MANY"):
        parser.feed_data(GET)


def test_a_parser_is_made_once() -> None:
    parser = fastwsgi.http.HttpRequestParser(object())
    with pytest.raises(RuntimeError, match="made once"):
        parser.__init__(object())  # type: ignore[misc]


def test_a_parser_that_was_never_made_calls_nothing() -> None:
    parser = fastwsgi.http.HttpRequestParser.__new__(fastwsgi.http.HttpRequestParser)
    parser.feed_data(GET)
    assert parser.get_method() == b"GET"


def test_there_are_no_leniencies() -> None:
    parser = fastwsgi.http.HttpRequestParser(object())
    parser.set_dangerous_leniencies(lenient_data_after_close=True, lenient_headers=False)
    with pytest.raises(ValueError, match="no leniencies"):
        parser.set_dangerous_leniencies(lenient_headers=True)
