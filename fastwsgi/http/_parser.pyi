"""RequestParser, its events and its limits."""

from collections.abc import Iterator
from typing import Literal, TypeAlias, final

from typing_extensions import Buffer

_Event: TypeAlias = Request | Data | EndOfMessage

@final
class Limits:
    """What a peer may send. Lengths are bytes. Immutable.

    ValueError names a limit that is out of its range; no limit but `body` may be above 2**28, `fields` not
    above 2**16.
    """

    def __init__(
        self,
        *,
        line: int | None = None,
        fields: int | None = None,
        field_size: int | None = None,
        head: int | None = None,
        chunk_line: int | None = None,
        trailer: int | None = None,
        body: int | None = None,
        any_method: bool = False,
        refuse_underscore: bool = False,
    ) -> None: ...
    @property
    def line(self) -> int:
        """Request line without its CR LF; 4094 by default, 0: only `head` counts. Refused with 414."""

    @property
    def fields(self) -> int:
        """Field lines of a head, and of a trailer section; 100 by default. Refused with 431."""

    @property
    def field_size(self) -> int:
        """One field line with its CR LF; 8190 by default, 0: only `head` counts. Refused with 431."""

    @property
    def head(self) -> int:
        """Request line and fields together; 128 KiB by default. Refused with 431."""

    @property
    def chunk_line(self) -> int:
        """Size line of a chunk with its extensions and CR LF; 1024 by default. Refused with 400."""

    @property
    def trailer(self) -> int:
        """Trailer section; 8192 by default. Refused with 431."""

    @property
    def body(self) -> int:
        """Body without its framing; 0, no limit, by default. Refused with 413: a Content-Length above it at
        once, with the head; chunks as soon as their sizes add up to more."""

    @property
    def any_method(self) -> bool:
        """Any token is a method (RFC 9110 section 9.1), not only 3 to 20 bytes without small letters."""

    @property
    def refuse_underscore(self) -> bool:
        """A field name with an underscore is refused: as a CGI variable it is the same as one with a
        hyphen."""

@final
class Request:
    """A head, and what it means: RFC 9112 sections 3, 5, 6, 9. All bytes are copies and stay as long as they
    are kept."""

    @property
    def method(self) -> bytes:
        """As sent; methods are case-sensitive (RFC 9110 section 9.1)."""

    @property
    def target(self) -> bytes:
        """As sent (RFC 9112 section 3.2): a path and query, a whole URL, ``host:port`` for CONNECT, or
        ``*``."""

    @property
    def path(self) -> bytes:
        """Path of the target, escapes left as they are; empty for CONNECT and for a URL without one."""

    @property
    def query(self) -> bytes:
        """What stands behind the target's ``?``, without a fragment; empty as well where there is no
        ``?``."""

    @property
    def host(self) -> bytes:
        """Host and perhaps port that are meant (RFC 9110 section 7.2): the target's authority if it has one,
        else Host; empty if that is, or if HTTP/1.0 sent none. It is valid by RFC 3986 section 3.2.2."""

    @property
    def version(self) -> bytes:
        """``b"1.1"`` or ``b"1.0"``."""

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """(name in lower case, value without the white space around it), in the order they came, repeated
        ones too."""

    @property
    def content_length(self) -> int | None:
        """Length of the body in bytes, None without the field: then there is a body only if it is
        `chunked`."""

    @property
    def chunked(self) -> bool:
        """The body comes in chunks, its length is not known yet."""

    @property
    def keep_alive(self) -> bool:
        """The client lets the connection stay (RFC 9112 section 9.3). Otherwise this is its last request."""

    @property
    def expect_continue(self) -> bool:
        """The client waits for ``100 Continue`` before it sends the body (RFC 9110 section 10.1.1)."""

    @property
    def upgrade(self) -> bool:
        """The client asks for another protocol (RFC 9110 section 7.8): see RequestParser.state."""

@final
class Data:
    """A piece of the body, one byte at least, without its framing."""

    @property
    def data(self) -> memoryview:
        """A view of what was fed, not a copy. It keeps that object, so it never dangles; of a bytearray that
        is filled again, or of any buffer that changes, it shows the change, and while it lives a bytearray
        cannot be resized. Take ``bytes(event)`` to keep what is there now."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...

@final
class EndOfMessage:
    """The request is whole."""

    @property
    def trailers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The fields behind a chunked body (RFC 9112 section 7.1.2), as `Request.headers`. They are not
        headers and must not become such (RFC 9110 section 6.5.1); those that would be dangerous there are
        refused."""

@final
class RequestParser:
    """The requests of one connection: bytes in, events out.

        parser = RequestParser()
        for event in parser.feed(data):
            match event:
                case Request(): ...
                case Data(): ...
                case EndOfMessage(): ...

    Events come in the order Request, any number of Data, EndOfMessage, and again. A fault is raised where it
    stands in the stream, behind the events of what came before it. The events depend on the bytes alone, not
    on the pieces in which they are fed, but for where Data is cut.

    One parser is for one connection and for one thread at a time. It keeps the headers of the last request,
    to use those again that the next one repeats, and at most one unfinished head or line.
    """

    def __init__(self, limits: Limits | None = None) -> None: ...
    def feed(self, data: Buffer) -> RequestParser:
        """Add what the peer has sent next, and return the parser, to take events from.

        Parsed where it lies if it is bytes, or a contiguous buffer of unsigned bytes; anything else is
        copied. Events of earlier data that were not taken yet come first. In the states closed and failed,
        data is dropped. TypeError if `data` is no buffer.
        """

    def __iter__(self) -> Iterator[_Event]: ...
    def __next__(self) -> _Event:
        """The next event; StopIteration if it takes more data, or if `state` is not running; ProtocolError
        for a fault, and again at each further call."""

    @property
    def state(self) -> Literal["running", "upgrade", "closed", "failed"]:
        """running: takes requests.

        upgrade: CONNECT, or a request that asks for an upgrade, is whole. What comes behind it is in another
        protocol if the server agrees (it is `leftover`), and more HTTP if it does not (then call `resume`).

        closed: the last request of the connection is whole. What comes behind it must not be served (RFC 9112
        section 9.6) and is not looked at.

        failed: a ProtocolError was raised.
        """

    @property
    def leftover(self) -> bytes:
        """What was fed and belongs to no event yet. For an upgrade: the first bytes of the other protocol."""

    def resume(self) -> RequestParser:
        """The upgrade was declined: go on with `leftover` as HTTP. RuntimeError in another state than
        upgrade."""

    def finish(self) -> None:
        """The peer has closed the connection. ProtocolError (PEER_CLOSED, status 0) if a request is
        unfinished, or the one that was raised before."""
