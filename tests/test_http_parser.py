"""fastwsgi.http.RequestParser: what is not a matter of protocol (that is in test_http_cases.py)."""

import gc
import mmap
import tracemalloc
from array import array

import pytest

from fastwsgi.http import Data, EndOfMessage, Limits, ProtocolError, Request, RequestParser

GET = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
WEBSOCKET = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"
LAST = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def one_request(data: bytes, limits: Limits | None = None) -> Request:
    event = next(RequestParser(limits).feed(data))
    assert isinstance(event, Request)
    return event


def body_of(parser: RequestParser) -> bytes:
    return b"".join(bytes(event) for event in parser if isinstance(event, Data))


def test_a_request() -> None:
    request, end = RequestParser().feed(GET)
    assert isinstance(request, Request)
    assert (request.method, request.target, request.version) == (b"GET", b"/a?b", b"1.1")
    assert request.headers == ((b"host", b"h"), (b"x-one", b"1"))
    assert (request.path, request.query, request.host) == (b"/a", b"b", b"h")
    assert (request.content_length, request.chunked) == (None, False)
    assert (request.keep_alive, request.expect_continue, request.upgrade) == (True, False, False)
    assert isinstance(end, EndOfMessage)
    assert end.trailers == ()


def test_flags_are_true_or_false() -> None:
    request = one_request(WEBSOCKET)
    for flag in (request.chunked, request.keep_alive, request.expect_continue, request.upgrade):
        assert type(flag) is bool


def test_events_do_not_change() -> None:
    request, end = RequestParser().feed(GET)
    for event, name in ((request, "method"), (request, "headers"), (end, "trailers")):
        with pytest.raises(AttributeError):
            setattr(event, name, None)


@pytest.mark.parametrize("kind", [Request, Data, EndOfMessage])
def test_only_the_parser_makes_events(kind: type) -> None:
    with pytest.raises(TypeError):
        kind()


def test_they_can_be_read_in_a_log() -> None:
    request, data, end = RequestParser().feed(POST)
    assert repr(request) == "<Request b'POST' b'/', 2 headers>"
    assert repr(data) == "<Data of 5 bytes>"
    assert repr(end) == "<EndOfMessage, 0 trailers>"


def test_trailers_come_with_the_end() -> None:
    *_, end = RequestParser().feed(CHUNKED + b"0\r\nX-Sum: 1\r\nY: 2\r\n\r\n")
    assert isinstance(end, EndOfMessage)
    assert end.trailers == ((b"x-sum", b"1"), (b"y", b"2"))


def test_trailers_are_of_one_request() -> None:
    events = list(RequestParser().feed(CHUNKED + b"0\r\nX: 1\r\n\r\n" + CHUNKED + b"0\r\n\r\n"))
    assert [event.trailers for event in events if isinstance(event, EndOfMessage)] == [((b"x", b"1"),), ()]


# ---- headers that are used again ----


def headers_of(*fields: str) -> bytes:
    return "".join(["GET / HTTP/1.1\r\n", *(f"{field}\r\n" for field in fields), "\r\n"]).encode()


@pytest.mark.parametrize(
    "second",
    [
        ["Host: h", "Accept: a", "Cookie: c", "X-Own: x"],
        ["Host: h", "Accept: a", "Cookie: other", "X-Own: x"],
        ["Host: h", "Cookie: c", "X-Own: x"],
        ["Host: h", "Range: r", "Accept: a", "Cookie: c", "X-Own: x"],
        ["Cookie: c", "Accept: a", "Host: h"],
        ["Host: h", "Host2: h", "X-Own: y", "x-oWN: x"],
        ["Host: h"],
    ],
)
def test_a_request_has_its_own_headers_whatever_came_before(second: list[str]) -> None:
    parser = RequestParser()
    list(parser.feed(headers_of("Host: h", "Accept: a", "Cookie: c", "X-Own: x")))
    data = headers_of(*second)
    request = next(parser.feed(data))
    assert isinstance(request, Request)
    assert request.headers == one_request(data).headers
    assert [name.decode() for name, _ in request.headers] == [field.split(":")[0].lower() for field in second]


def test_what_all_send_is_there_already_and_nothing_else_is_shared() -> None:
    names = [b"connection", b"accept", b"accept-encoding", b"sec-fetch-mode", b"cookie", b"x-own"]
    values = [b"keep-alive", b"*/*", b"gzip, deflate, br, zstd", b"navigate", b"a=1", b"1"]
    expected = tuple(zip(names, values, strict=True))
    head = headers_of("Host: h", *(f"{name.decode()}: {value.decode()}" for name, value in expected))
    one, other = (one_request(head).headers for _ in range(2))
    assert one[-6:] == other[-6:] == expected
    same = [ours is theirs for ours, theirs in zip(one[-6:], other[-6:], strict=True)]
    assert same == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    "field",
    ["Connection: Keep-Alive", "Connection: close", "Accept: */", "Accept: */*x", "DNT: 1", "DNT: 11", "TE:"],
)
def test_a_first_request_has_its_own_values(field: str) -> None:
    name, _, value = field.partition(":")
    request = one_request(headers_of("Host: h", field))
    assert request.headers[-1] == (name.lower().encode(), value.strip().encode())


def test_headers_that_stay_are_not_made_again() -> None:
    parser = RequestParser()
    first, _ = parser.feed(headers_of("Host: h", "Accept: a", "X-Own: x"))
    second, _ = parser.feed(headers_of("Host: h", "X-Own: x"))
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert second.headers[0] is first.headers[0]
    assert second.headers[1] is first.headers[2]


# ---- what may be fed ----


@pytest.mark.parametrize(
    "kind",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: array("B", data),
        lambda data: array("b", data),
        lambda data: memoryview(data + data)[: len(data)],
        lambda data: memoryview(bytes(byte for pair in zip(data, data, strict=True) for byte in pair))[::2],
        lambda data: memoryview(data).cast("B", (len(data), 1)),
    ],
)
def test_any_buffer(kind) -> None:  # type: ignore[no-untyped-def]
    parser = RequestParser()
    request, data, end = parser.feed(kind(POST))
    assert isinstance(request, Request)
    assert request.target == b"/"
    assert isinstance(data, Data)
    assert data.data == b"hello"
    assert data.data.format == "B"
    assert isinstance(end, EndOfMessage)


@pytest.mark.parametrize("thing", ["GET", 3, None, [b"a"]])
def test_anything_else_is_a_type_error_and_changes_nothing(thing: object) -> None:
    parser = RequestParser()
    parser.feed(GET[:10])
    with pytest.raises(TypeError):
        parser.feed(thing)  # type: ignore[arg-type]
    assert len(list(parser.feed(GET[10:]))) == 2


def test_nothing_is_well_too() -> None:
    assert list(RequestParser().feed(b"")) == []


def test_data_keeps_what_it_is_a_view_of() -> None:
    parser = RequestParser()
    source = bytearray(POST)
    data = list(parser.feed(source))[1]
    assert isinstance(data, Data)
    with pytest.raises(BufferError):
        source.clear()
    del parser
    source[-5:] = b"HELLO"
    assert bytes(data) == b"HELLO"
    del data
    gc.collect()
    source.clear()


def test_the_parser_lets_go_of_what_was_fed() -> None:
    source = bytearray(GET + GET[:20])
    parser = RequestParser()
    list(parser.feed(source))
    source.clear()
    assert len(list(parser.feed(GET[20:]))) == 2


def test_data_is_not_copied() -> None:
    size = 1 << 24
    parser = RequestParser()
    list(parser.feed(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (2 * size)))
    block = bytes(size)
    tracemalloc.start()
    try:
        events = list(parser.feed(block))
        assert tracemalloc.get_traced_memory()[1] < size // 16
    finally:
        tracemalloc.stop()
    assert sum(len(event) for event in events if isinstance(event, Data)) == size


def test_more_bytes_at_once_than_the_core_has_offsets_for() -> None:
    size = 5 << 30
    parser = RequestParser()
    list(parser.feed(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size))
    # its pages are never touched
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ) as zeros:
        events = list(parser.feed(memoryview(zeros)))
        assert isinstance(events[-1], EndOfMessage)
        assert sum(len(event) for event in events if isinstance(event, Data)) == size
        del events


# ---- pieces ----


def test_events_that_were_not_taken_come_first() -> None:
    parser = RequestParser()
    assert isinstance(next(parser.feed(POST + POST[:9])), Request)
    parser.feed(POST[9:])
    assert [type(event) for event in parser] == [Data, EndOfMessage, Request, Data, EndOfMessage]


def test_a_long_body_behind_an_unfinished_line() -> None:
    size = 300_000
    data = CHUNKED + b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"
    for cut in (len(CHUNKED) - 1, len(CHUNKED) + 1, len(data) - 6):
        parser = RequestParser()
        body = body_of(parser.feed(data[:cut]))
        assert len(body + body_of(parser.feed(data[cut:]))) == size
        parser.finish()


def test_memory_of_an_unfinished_head_is_given_back() -> None:
    parsers = [RequestParser() for _ in range(10)]
    half = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: %b\r\n" % (b"x" * 8000) * 10
    tracemalloc.start()
    try:
        for parser in parsers:
            list(parser.feed(half))
        assert tracemalloc.get_traced_memory()[0] > 10 * 80_000
        for parser in parsers:
            list(parser.feed(b"\r\n"))
            list(parser.feed(GET))
        assert tracemalloc.get_traced_memory()[0] < 10 * 8_000
    finally:
        tracemalloc.stop()


# ---- faults ----


def test_a_fault_comes_behind_what_was_well() -> None:
    parser = RequestParser()
    parser.feed(GET + b"GET / HTTP/1.1\r\nHost: h\r\nbad\r\n\r\n")
    assert isinstance(next(parser), Request)
    assert isinstance(next(parser), EndOfMessage)
    with pytest.raises(ProtocolError) as caught:
        next(parser)
    error = caught.value
    assert (error.code, error.status, error.offset) == ("FIELD_NAME", 400, len(GET) + 25)
    assert error.reason == "field name is not a token directly followed by a colon"
    assert str(error) == f"FIELD_NAME at byte {len(GET) + 25}: {error.reason}"


def test_a_parser_that_failed_says_the_same_again() -> None:
    parser = RequestParser()
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            list(parser.feed(b"\x16\x03\x01"))
        assert caught.value.code == "NOT_HTTP"
    assert parser.state == "failed"
    with pytest.raises(ProtocolError, match="NOT_HTTP"):
        parser.finish()


@pytest.mark.parametrize(
    ("data", "code", "offset"),
    [
        (b"GET / HTTP/1.1\r\nA: \x00\r\n", "FIELD_VALUE", 16),
        (b"GET / HTTP/1.1\r\nAccept: a\r\n b\r\n", "FIELD_FOLDED", 27),
        (b"GET / HTTP/1.1\r\nAccept: a\r\n\r\n", "HOST_MISSING", 27),
        (b"GET  / HTTP/1.1\r\n", "REQUEST_LINE", 0),
        (CHUNKED + b"3\r\nabc\r\nx\r\n", "CHUNK_SIZE", len(CHUNKED) + 8),
        (CHUNKED + b"3\r\nabcd\r\n", "CHUNK_END", len(CHUNKED) + 6),
        (CHUNKED + b"0\r\nA: b\r\nHost: h\r\n", "TRAILER_FORBIDDEN", len(CHUNKED) + 9),
    ],
)
def test_the_offset_is_where_the_refused_line_begins(data: bytes, code: str, offset: int) -> None:
    for size in (len(data), 1, 2, 3):
        parser = RequestParser()
        with pytest.raises(ProtocolError) as caught:
            for at in range(0, len(data), size):
                list(parser.feed(data[at : at + size]))
        assert (caught.value.code, caught.value.offset) == (code, offset)


@pytest.mark.parametrize("data", [GET[:1], GET[:-1], POST[:-1], CHUNKED, CHUNKED + b"0\r\n\r", b"\r"])
def test_finish_says_that_a_request_is_unfinished(data: bytes) -> None:
    parser = RequestParser()
    list(parser.feed(data))
    with pytest.raises(ProtocolError) as caught:
        parser.finish()
    assert (caught.value.code, caught.value.status) == ("PEER_CLOSED", 0)
    assert caught.value.offset == len(data)


@pytest.mark.parametrize("data", [b"", GET, POST, GET + POST, CHUNKED + b"0\r\n\r\n", LAST, LAST + b"GE"])
def test_finish_says_nothing_between_requests(data: bytes) -> None:
    parser = RequestParser()
    list(parser.feed(data))
    parser.finish()


# ---- the end of HTTP ----


@pytest.mark.parametrize("data", [WEBSOCKET, CONNECT])
def test_an_upgrade_holds_what_stands_behind_it(data: bytes) -> None:
    parser = RequestParser()
    events = list(parser.feed(data + b"\x81\x00"))
    assert [type(event) for event in events] == [Request, EndOfMessage]
    assert parser.state == "upgrade"
    assert list(parser.feed(b"\x82")) == []
    assert parser.leftover == b"\x81\x00\x82"


def test_an_upgrade_that_is_declined() -> None:
    parser = RequestParser()
    assert len(list(parser.feed(WEBSOCKET + GET[:7]))) == 2
    parser.feed(GET[7:])
    request, _ = parser.resume()
    assert isinstance(request, Request)
    assert request.target == b"/a?b"
    assert parser.leftover == b""
    assert parser.state == "running"


def test_only_an_upgrade_is_resumed() -> None:
    parser = RequestParser()
    with pytest.raises(RuntimeError, match="running"):
        parser.resume()
    list(parser.feed(LAST))
    with pytest.raises(RuntimeError, match="closed"):
        parser.resume()


def test_a_declined_upgrade_may_be_the_last_request() -> None:
    parser = RequestParser()
    list(parser.feed(CONNECT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET))
    assert list(parser.resume()) == []
    assert parser.state == "closed"


def test_nothing_is_served_behind_the_last_request() -> None:
    parser = RequestParser()
    assert len(list(parser.feed(LAST + GET))) == 2
    assert parser.state == "closed"
    assert list(parser.feed(GET)) == []
    assert parser.leftover == GET


def test_leftover_is_what_belongs_to_no_event_yet() -> None:
    parser = RequestParser()
    list(parser.feed(POST + GET[:20]))
    assert parser.leftover == GET[:20]
    list(parser.feed(GET[20:25]))
    assert parser.leftover == GET[:25]


# ---- limits ----


def test_limits_have_defaults() -> None:
    limits = Limits()
    assert (limits.line, limits.fields, limits.field_size, limits.head) == (4094, 100, 8190, 131072)
    assert (limits.chunk_line, limits.trailer, limits.body) == (1024, 8192, 0)
    assert (limits.any_method, limits.refuse_underscore) == (False, False)


def test_limits_can_be_read_in_a_log() -> None:
    assert repr(Limits(line=1, body=2, any_method=True)) == (
        "Limits(line=1, fields=100, field_size=8190, head=131072, chunk_line=1024, trailer=8192, body=2, "
        "any_method=True, refuse_underscore=False)"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("line", -1),
        ("fields", 1 << 17),
        ("field_size", 1 << 29),
        ("head", 0),
        ("chunk_line", 2),
        ("trailer", -5),
        ("body", -1),
    ],
)
def test_a_limit_out_of_range_is_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        Limits(**{name: value})


def test_a_limit_is_a_number() -> None:
    with pytest.raises(TypeError, match="line is a number, not str"):
        Limits(line="4")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RequestParser({"line": 4})  # type: ignore[arg-type]


def test_no_field_at_all_may_be_allowed() -> None:
    assert one_request(b"GET / HTTP/1.0\r\n\r\n", Limits(fields=0)).headers == ()


# ---- misuse ----


def test_a_parser_is_whole_when_it_is_made() -> None:
    parser = RequestParser.__new__(RequestParser, Limits(fields=1))
    list(parser.feed(GET[:20]))
    parser.__init__()  # type: ignore[misc]
    with pytest.raises(ProtocolError, match="FIELDS_TOO_MANY"):
        list(parser.feed(GET[20:-2] + b"A: b\r\n\r\n"))
