"""Request, Data, EndOfMessage: what RequestParser tells."""

from typing import final

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
