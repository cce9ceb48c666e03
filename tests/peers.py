"""What others make of the same bytes: h11, and llhttp through httptools, beside our own parser.

Each is a function from a stream to its Reading. Where an upgrade is asked for, it is declined.
"""

from dataclasses import dataclass, field

import h11
import httptools

from fastwsgi.http import Data, Limits, ProtocolError, Request, RequestParser

ROOMY = 1 << 20
"""Bytes of a head that h11 may keep; its default is below our limits."""


@dataclass
class Message:
    method: bytes
    target: bytes
    version: bytes
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


@dataclass
class Reading:
    """The messages that were whole, and why the next one was refused; '' if it was not."""

    messages: list[Message] = field(default_factory=list)
    refusal: str = ""


def ours(data: bytes) -> Reading:
    reading = Reading()
    parser = RequestParser(Limits())
    try:
        parser.feed(data)
        while parser.state == "running":
            for event in parser:
                if isinstance(event, Request):
                    message = Message(event.method, event.target, event.version, list(event.headers))
                elif isinstance(event, Data):
                    message.body += bytes(event)
                else:
                    reading.messages.append(message)
            if parser.state != "upgrade":
                break
            parser.resume()
    except ProtocolError as error:
        reading.refusal = error.code
    return reading


class _Protocol:
    def __init__(self) -> None:
        self.reading = Reading()
        self.parser = httptools.HttpRequestParser(self)
        self.message = Message(b"", b"", b"")
        self.last = False

    def on_message_begin(self) -> None:
        self.message = Message(b"", b"", b"")

    def on_url(self, url: bytes) -> None:
        self.message.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.message.version:  # llhttp gives trailers as headers
            self.message.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.message.method = self.parser.get_method()
        self.message.version = self.parser.get_http_version().encode()

    def on_body(self, body: bytes) -> None:
        self.message.body += body

    def on_message_complete(self) -> None:
        if not self.last:
            self.reading.messages.append(self.message)
        self.last = self.last or not self.parser.should_keep_alive()


def llhttp(data: bytes) -> Reading:
    protocol = _Protocol()
    while data and not protocol.last:
        rest = data
        data = b""
        try:
            protocol.parser.feed_data(rest)
        except httptools.HttpParserUpgrade as upgrade:
            data = rest[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if not protocol.last:
                protocol.reading.refusal = str(error)
    return protocol.reading


def of_h11(data: bytes) -> Reading:
    reading = Reading()
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=ROOMY)
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                fields = [(bytes(name), bytes(value)) for name, value in event.headers]
                message = Message(event.method, event.target, event.http_version, fields)
            elif isinstance(event, h11.Data):
                message.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                reading.messages.append(message)
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    break
                connection.start_next_cycle()
            else:
                break
    except h11.RemoteProtocolError as error:
        reading.refusal = str(error)
    return reading


PEERS = {"h11": of_h11, "llhttp": llhttp}
