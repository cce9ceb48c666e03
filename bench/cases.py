"""What is asked of every server: the table of cases, and the bytes each one sends and expects.

The check and the load send the same bytes: both take them from `Case.requests`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.apps import plain

# Prime, so that the changing requests never fall into step with the connections.
_VARIANTS: Final = 1021


@dataclass(frozen=True)
class Case:
    """One row of the comparison.

    `head` is the request as sent, lines apart by a newline, with {host} and (where it changes from request to
    request) {n}. `depth` requests travel together; `close`: the client asks for the connection to be closed;
    `streamed`: the application yields blocks of no announced length, which PEP 3333 wants sent as they come;
    `framework`: an answer has a close() with work in it, which PEP 3333 has the server call. Such an
    application has two more paths: /closing, whose answer counts when it is closed, and /closed, the count.
    """

    name: str
    title: str
    app: str
    connections: int
    head: str
    expected: bytes
    body: bytes = b""
    variants: int = 1
    depth: int = 1
    close: bool = False
    streamed: bool = False
    framework: bool = False

    def requests(self, host: str) -> list[bytes]:
        """The requests as bytes, each complete; a load takes them in turn, again and again."""
        return [self._request(host, n) for n in range(self.variants)]

    def _request(self, host: str, n: int) -> bytes:
        # Digits of one length and little order: what a session's timestamp or a product's number looks like.
        head = self.head.format(host=host, n=1_000_000_007 * (n + 1) % 10_000_000_000)
        return head.strip().replace("\n", "\r\n").encode("ascii") + b"\r\n\r\n" + self.body


_HELLO = """
GET / HTTP/1.1
Host: {host}
"""

# What a browser sends on a click inside a shop: 12 fields, of which two change with every request.
_BROWSER = """
GET /catalogue/shoes?page=3&sort=price&item={n:010d} HTTP/1.1
Host: {host}
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Accept-Language: en-GB,en;q=0.9,de;q=0.7
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
Referer: http://{host}/catalogue/shoes?page=2&sort=price&item={n:010d}
Cookie: sessionid=5m2k9q7x1c8v4b6n3a0s; csrftoken=Zt3VqJx8Rk; seen={n:010d}; consent=all
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: same-origin
"""

_POST = """
POST /upload HTTP/1.1
Host: {host}
Content-Type: application/octet-stream
Content-Length: 16384
"""

_ITEM = """
GET /items/42 HTTP/1.1
Host: {host}
Accept: application/json
User-Agent: bench
"""

CASES = (
    Case("hello", "Hello, 32 keep-alive connections", "plain:hello", 32, _HELLO, plain.HELLO),
    Case(
        "browser",
        "Browser-sized headers (12 fields, about 700 bytes, some changing), 32 connections",
        "plain:hello",
        32,
        _BROWSER,
        plain.HELLO,
        variants=_VARIANTS,
    ),
    Case(
        "pipelined",
        "Hello pipelined 16 deep, 32 connections",
        "plain:hello",
        32,
        _HELLO,
        plain.HELLO,
        depth=16,
    ),
    Case("hello-512", "Hello, 512 keep-alive connections", "plain:hello", 512, _HELLO, plain.HELLO),
    Case(
        "close",
        "Connection: close, 32 connections at a time",
        "plain:hello",
        32,
        _HELLO + "Connection: close\n",
        plain.HELLO,
        close=True,
    ),
    Case(
        "post-16k",
        "POST of 16 KiB, echoed, 32 connections",
        "plain:echo",
        32,
        _POST,
        plain.LARGE[:16384],
        body=plain.LARGE[:16384],
    ),
    Case(
        "stream",
        "Generator of 16 blocks of 4 KiB, 32 connections",
        "plain:stream",
        32,
        _HELLO,
        plain.BLOCK * plain.BLOCKS,
        streamed=True,
    ),
    Case("large-64k", "Answer of 64 KiB, 32 connections", "plain:large", 32, _HELLO, plain.LARGE),
    Case(
        "flask",
        "Flask JSON view, 32 connections",
        "flask_json:application",
        32,
        _ITEM,
        b'{"id":42,"name":"fast","tags":["a","b"]}\n',
        framework=True,
    ),
    Case(
        "django",
        "Django JSON view, 32 connections",
        "django_json:application",
        32,
        _ITEM,
        b'{"id": 42, "name": "fast", "tags": ["a", "b"]}',
        framework=True,
    ),
)
