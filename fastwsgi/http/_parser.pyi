"""RequestParser: bytes in, events out."""

from collections.abc import Iterator
from typing import Literal, TypeAlias, final

from typing_extensions import Buffer

from fastwsgi.http._events import Data, EndOfMessage, Request
from fastwsgi.http._limits import Limits

_Event: TypeAlias = Request | Data | EndOfMessage

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
