"""Limits: what a peer may send."""

from typing import final

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
