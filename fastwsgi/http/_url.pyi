"""parse_url: a request target, or a URL, in its parts."""

from typing import final

from typing_extensions import Buffer

@final
class URL:
    """Parts of a URL as they were sent, escapes included; None for one that is not there. RFC 3986 section
    3"""

    @property
    def schema(self) -> bytes | None: ...
    @property
    def host(self) -> bytes | None:
        """Without the brackets of an IP literal."""

    @property
    def port(self) -> int | None:
        """0 to 65535"""

    @property
    def path(self) -> bytes | None: ...
    @property
    def query(self) -> bytes | None: ...
    @property
    def fragment(self) -> bytes | None: ...
    @property
    def userinfo(self) -> bytes | None: ...

def parse_url(url: Buffer) -> URL:
    """The parts of a URL that begins with a path or ``scheme://``, or of ``*``.

    HttpParserInvalidURLError for a byte outside 0x21-0x7E and where the host, the port, the scheme or the
    user information is not valid by RFC 3986 section 3. As in httptools, CONNECT's ``host:port`` is not a
    URL.
    """
