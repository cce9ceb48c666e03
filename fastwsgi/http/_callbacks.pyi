"""HttpRequestParser: the callback interface of httptools."""

from typing_extensions import Buffer

from fastwsgi.http._limits import Limits
from fastwsgi.http.protocol import HTTPProtocol

class HttpRequestParser:
    """Calls `protocol` for what the bytes of one connection say, as httptools' class of that name does.

    Those of these methods that `protocol` has are called, in this order::

        on_message_begin()
        on_url(target: bytes)
        on_header(name: bytes, value: bytes)        for each field, the name in the sender's letters
        on_headers_complete()
        on_chunk_header()                           of a chunked body, before each chunk, the last one too
        on_body(data: bytes)
        on_chunk_complete()
        on_trailer(name: bytes, value: bytes)       here only
        on_message_complete()

    What differs from httptools:

    - It is as strict as RequestParser: docs/http.md says what is refused. There are limits.
    - A head is told when it is whole, and then all of it; of one that is refused, nothing. A name, a value or
      a target never comes in pieces.
    - Trailers go to `on_trailer`, never to `on_header`: RFC 9110 section 6.5.1.
    - What stands behind the last request of a connection is ignored, not refused: RFC 9112 section 9.6.
    - The body of a request that asks for an upgrade is told like any other: RFC 9110 section 7.8.
    - A callback that raises what is no Exception (KeyboardInterrupt) has it passed on as it is.

    From the second request of a connection on the parser keeps the last value of each field that it knows the
    name of, up to 256 bytes long, to use it again where the next request repeats it; with the parser it goes.
    """

    def __init__(self, protocol: HTTPProtocol | object, *, limits: Limits | None = None) -> None: ...
    def feed_data(self, data: Buffer) -> None:
        """Parse what the peer has sent next. Raises

        - HttpParserInvalidMethodError, HttpParserInvalidURLError, HttpParserError for what is refused, with
          the ProtocolError as `__cause__`
        - HttpParserCallbackError where a callback has raised, with its exception as `__cause__`
        - HttpParserUpgrade behind CONNECT or a request that asks for an upgrade; its argument is where in
          `data` what comes behind the request begins. What is fed next is taken as HTTP again.
        - RuntimeError if it is called in a callback.

        After any of these but the last two, each further call raises the same again.
        """

    def get_method(self) -> bytes:
        """Of the last request, empty before one."""

    def get_http_version(self) -> str:
        """``"1.1"`` or ``"1.0"``, ``"0.0"`` before a request."""

    def should_keep_alive(self) -> bool:
        """The client of the last request lets the connection stay: RFC 9112 section 9.3."""

    def should_upgrade(self) -> bool:
        """The last request is CONNECT or asks for an upgrade; known in `on_headers_complete`."""

    def set_dangerous_leniencies(
        self,
        lenient_headers: bool | None = None,
        lenient_chunked_length: bool | None = None,
        lenient_keep_alive: bool | None = None,
        lenient_transfer_encoding: bool | None = None,
        lenient_version: bool | None = None,
        lenient_data_after_close: bool | None = None,
        lenient_optional_lf_after_cr: bool | None = None,
        lenient_optional_cr_before_lf: bool | None = None,
        lenient_optional_crlf_after_chunk: bool | None = None,
        lenient_spaces_after_chunk_size: bool | None = None,
    ) -> None:
        """There are none: ValueError for any that is true. Only `lenient_data_after_close` may be, and
        changes nothing, since data after the last request is no error here."""
