"""fastwsgi.http.HttpRequestParser: the interface of httptools, beside httptools itself."""

import gc
import inspect
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


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_of_httptools_only_its_responses_are_missing() -> None:
    missing = {name for name in httptools.__all__ if not hasattr(fastwsgi.http, name)}
    assert missing == {"HttpResponseParser", "parser", "__version__"}
    assert missing.isdisjoint(fastwsgi.http.__all__)


@pytest.mark.parametrize("name", ["HttpRequestParser", "HTTPProtocol"])
def test_each_method_of_httptools_is_there(name: str) -> None:
    ours, theirs = getattr(fastwsgi.http, name), getattr(httptools, name)
    assert len(public(theirs)) >= 6
    assert public(ours) - public(theirs) == ({"on_trailer"} if name == "HTTPProtocol" else set())
    for method in public(theirs):
        parameters = list(inspect.signature(getattr(theirs, method)).parameters)
        assert list(inspect.signature(getattr(ours, method)).parameters) == parameters


def test_a_url_has_what_it_has_in_httptools() -> None:
    theirs = public(httptools.parse_url(b"/"))
    assert public(fastwsgi.http.parse_url(b"/")) == theirs and "userinfo" in theirs


def test_a_parser_may_be_subclassed_and_a_protocol_be_typed() -> None:
    class Own(fastwsgi.http.HttpRequestParser):
        def __init__(self, name: str, protocol: object) -> None:
            super().__init__(protocol, limits=fastwsgi.http.Limits(fields=2))
            self.name = name

    class Typed(fastwsgi.http.HTTPProtocol):
        def on_url(self, url: bytes) -> None:
            self.url = url

    protocol = Typed()
    parser = Own("one", protocol)
    parser.feed_data(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (parser.name, protocol.url) == ("one", b"/a")
    with pytest.raises(fastwsgi.http.HttpParserError, match="FIELDS_TOO_MANY"):
        parser.feed_data(GET)


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


class Headers:
    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self.found = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name, value))


def head_of(*fields: tuple[bytes, bytes]) -> bytes:
    return b"GET / HTTP/1.0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in fields)


KEPT_OPEN = (b"Connection", b"keep-alive")


def test_each_request_has_its_own_headers_whatever_came_before() -> None:
    requests = [
        [KEPT_OPEN, (b"Cookie", b"a=1"), (b"X-Own", b"1")],
        [KEPT_OPEN, (b"Cookie", b"a=1"), (b"X-Own", b"2")],
        [KEPT_OPEN, (b"Cookie", b"a=2"), (b"cookie", b"b=1")],
        [(b"cookie", b"b=1"), (b"Cookie", b"a=2"), KEPT_OPEN],
        [KEPT_OPEN, (b"Cookie", b"b=")],
        [KEPT_OPEN, (b"Cookie", b"")],
        [KEPT_OPEN, (b"Cookie", b"c" * 5000)],
        [KEPT_OPEN, (b"Cookie", b"c" * 5000), (b"Referer", b"b=1")],
        [KEPT_OPEN],
    ]
    protocol = Headers()
    parser = fastwsgi.http.HttpRequestParser(protocol)
    for fields in requests + requests[::-1]:
        parser.feed_data(head_of(*fields))
        assert protocol.found == fields


def test_short_values_are_kept_from_the_second_request_on() -> None:
    protocol = Headers()
    parser = fastwsgi.http.HttpRequestParser(protocol)
    fields = (KEPT_OPEN, (b"Cookie", b"a" * 256), (b"Referer", b"b" * 257), (b"X-Own", b"secret"))
    found = []
    for _ in range(4):
        parser.feed_data(head_of(*fields))
        found.append([value for _, value in protocol.found])
    same = [[ours is theirs for ours, theirs in zip(found[0], later, strict=True)] for later in found[1:]]
    assert same == [[False] * 4] * 3
    same = [[ours is theirs for ours, theirs in zip(found[1], later, strict=True)] for later in found[2:]]
    assert same == [[True, True, False, False]] * 2
    value = found[1][1]
    del found
    before = sys.getrefcount(value)
    del parser
    assert sys.getrefcount(value) == before - 1


@pytest.mark.parametrize("count", [1, 23, 24, 25, 26, 99, 100])
def test_any_number_of_fields(count: int) -> None:
    fields = [KEPT_OPEN, *((b"X-%d" % number, b"%d" % number) for number in range(1, count))]
    data = head_of(*fields)
    for size in (len(data), 7):
        protocol = Headers()
        parser = fastwsgi.http.HttpRequestParser(protocol)
        for _ in range(2):
            for at in range(0, len(data), size):
                parser.feed_data(data[at : at + size])
            assert protocol.found == fields
    exactly = fastwsgi.http.Limits(fields=count)
    fastwsgi.http.HttpRequestParser(protocol, limits=exactly).feed_data(data)
    with pytest.raises(fastwsgi.http.HttpParserError, match="FIELDS_TOO_MANY"):
        fastwsgi.http.HttpRequestParser(protocol, limits=exactly).feed_data(head_of(*fields, (b"A", b"b")))


def test_a_parser_and_its_protocol_do_not_keep_each_other() -> None:
    class Whole:
        def __init__(self) -> None:
            self.parser = fastwsgi.http.HttpRequestParser(self)

        def on_url(self, _url: bytes) -> None: ...

    gc.collect()
    protocol = Whole()
    protocol.parser.feed_data(GET)
    del protocol
    assert gc.collect() >= 2


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
