"""The parsers under test, each as a function from pieces of a stream to the events that tests/cases/README.md
describes."""

from collections.abc import Iterable

from corpus import escaped, unescaped

from fastwsgi.http import (
    Data,
    EndOfMessage,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    Limits,
    ProtocolError,
    Request,
    RequestParser,
)


class Events:
    """Lines of events; data is joined until something else comes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.body = b""

    def say(self, line: str) -> None:
        if self.body:
            self.lines.append(f"data {escaped(self.body)}")
            self.body = b""
        self.lines.append(line)

    def say_bytes(self, label: str, data: bytes) -> None:
        self.say(f"{label} {escaped(data)}" if data else label)

    def say_field(self, label: str, name: bytes, value: bytes) -> None:
        self.say_bytes(f"{label} {escaped(name)}:", value)


def small_names(lines: Iterable[str]) -> list[str]:
    """Events with the names of fields in small letters, as RequestParser gives them."""
    out = []
    for line in lines:
        label, space, rest = line.partition(" ")
        name, colon, value = rest.partition(":")
        if label in ("field", "trailer"):  # in small letters a run of one byte may be longer
            line = label + space + escaped(unescaped(name.encode()).lower()) + colon + value
        out.append(line)
    return out


def with_whole_trailers(lines: list[str]) -> list[str]:
    """What RequestParser gives: names in small letters, and trailers only with the end of their message."""
    lines = small_names(lines)
    while len(lines) > 1 and lines[-1] != "end" and lines[-2].startswith("trailer "):
        del lines[-2]
    return lines


def request_parser(pieces: Iterable[bytes], limits: Limits) -> list[str]:
    """All events. An upgrade is always declined; what stands behind the last request of a connection is shown
    to another parser, because the cases mean each request by itself."""
    events = Events()
    parser = RequestParser(limits)
    try:
        for piece in pieces:
            parser.feed(piece)
            while True:
                for event in parser:
                    say_event(events, event)
                if parser.state == "upgrade":
                    parser.resume()
                elif parser.state == "closed":
                    rest, parser = parser.leftover, RequestParser(limits)
                    parser.feed(rest)
                else:
                    break
    except ProtocolError as error:
        events.say(f"{error.status} {error.code}")
        return events.lines
    try:
        parser.finish()
    except ProtocolError as error:
        assert error.code == "PEER_CLOSED"
        events.say("more")
    return events.lines


def say_event(events: Events, event: Request | Data | EndOfMessage) -> None:
    match event:
        case Request():
            say_request(events, event)
        case Data():
            assert len(event) > 0
            events.body += event.data
        case EndOfMessage(trailers=trailers):
            for name, value in trailers:
                events.say_field("trailer", name, value)
            events.say("end")


def say_request(events: Events, request: Request) -> None:
    minor = request.version.removeprefix(b"1.").decode()
    events.say(f"request {escaped(request.method)} {escaped(request.target)} 1.{minor}")
    if request.method == b"CONNECT":
        events.say("form authority")
    elif request.target == b"*":
        events.say("form asterisk")
    elif not request.target.startswith(b"/"):
        events.say("form absolute")
    if request.path != request.target:
        events.say_bytes("path", request.path)
        events.say_bytes("query", request.query)
    if b"%" in request.path:
        events.say("escaped")
    for name, value in request.headers:
        events.say_field("field", name, value)
    if request.method == b"CONNECT" or request.target[:1] not in (b"/", b"*"):
        events.say_bytes("host", request.host)
    else:
        assert request.host == dict(request.headers).get(b"host", b"")
    if request.content_length is not None:
        events.say(f"body {request.content_length}")
    if request.chunked:
        events.say("body chunked")
    for said, word in (
        (request.expect_continue, "expect"),
        (request.upgrade, "upgrade"),
        (not request.keep_alive, "close"),
    ):
        if said:
            events.say(word)


class Callbacks:
    """The protocol of the callback interface; what it is told as events, but for what the interface cannot
    say."""

    def __init__(self) -> None:
        self.events = Events()
        self.fields: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.parser: object = None
        self.chunks: list[str] = []

    def on_message_begin(self) -> None:
        self.fields = []
        self.url = b""
        self.chunks = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        assert isinstance(self.parser, HttpRequestParser)
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.events.say(f"request {escaped(method)} {escaped(self.url)} {version}")
        for name, value in self.fields:
            self.events.say_field("field", name, value)
        if not self.parser.should_keep_alive():
            self.events.say("close")

    def on_chunk_header(self) -> None:
        self.chunks.append("header")

    def on_body(self, body: bytes) -> None:
        assert body
        self.events.body += body

    def on_chunk_complete(self) -> None:
        self.chunks.append("complete")

    def on_trailer(self, name: bytes, value: bytes) -> None:
        self.events.say_field("trailer", name, value)

    def on_message_complete(self) -> None:
        assert self.chunks == ["header", "complete"] * (len(self.chunks) // 2)
        self.events.say("end")


CALLBACKS_SAY = ("request", "field", "data", "trailer", "end", "close")


def callback_parser(pieces: Iterable[bytes], limits: Limits) -> list[str]:
    """Events of CALLBACKS_SAY, and the refusal. What it does not say of its own accord, whether a request is
    unfinished at the end, is left out."""
    protocol = Callbacks()
    parser = protocol.parser = HttpRequestParser(protocol, limits=limits)
    for piece in pieces:
        rest = piece
        while rest:
            data, rest = rest, b""
            try:
                parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                (offset,) = upgrade.args
                assert 0 < offset <= len(data)
                if not parser.should_keep_alive():
                    # what is behind the last request of a connection is nobody's, even where it was CONNECT
                    return protocol.events.lines
                rest = data[offset:]
            except HttpParserError as error:
                cause = error.__cause__
                assert isinstance(cause, ProtocolError)
                protocol.events.say(f"{cause.status} {cause.code}")
                return protocol.events.lines
    if protocol.events.body:
        protocol.events.lines.append(f"data {escaped(protocol.events.body)}")
    return protocol.events.lines
