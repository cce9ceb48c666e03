"""What both parsers raise."""


class ProtocolError(Exception):
    """The peer has sent what HTTP does not allow, or more than the limits do.

    The connection is of no use any more: answer with `status` and close it. The rules and their names are in
    docs/http.md.
    """

    code: str
    """Name of the refusal, a row of the table in csrc/fw_error.h: ``"CHUNK_SIZE"``."""
    status: int
    """HTTP status to answer with; 0 where nobody is left to read an answer."""
    reason: str
    """One English sentence without a full stop. It never repeats what the peer has sent."""
    offset: int
    """Where the refused line begins, in bytes from the first that the parser was ever fed. For what the
    fields of a head mean together, the empty line behind them."""

    def __init__(self, code: str, status: int, reason: str, offset: int) -> None:
        super().__init__(code, status, reason, offset)
        self.code = code
        self.status = status
        self.reason = reason
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.code} at byte {self.offset}: {self.reason}"


class HttpParserError(Exception):
    """As httptools' exception of that name. What HttpRequestParser refuses has the ProtocolError as
    `__cause__`."""


class HttpParserCallbackError(HttpParserError):
    """A callback has raised; its exception is the `__cause__`."""


class HttpParserInvalidStatusError(HttpParserError):
    """Raised by nothing here, since there are no responses to parse; for code that names it."""


class HttpParserInvalidMethodError(HttpParserError):
    """The method is refused: RFC 9110 section 9.1."""


class HttpParserInvalidURLError(HttpParserError):
    """The request target, or a URL given to parse_url, is refused: RFC 9112 section 3.2."""


class HttpParserUpgrade(Exception):  # noqa: N818 (httptools' name)
    """A request for an upgrade, or CONNECT, is whole. The one argument is where, in the data just fed, what
    comes behind it begins."""
