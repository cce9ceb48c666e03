"""The bare WSGI applications: one callable a case, so that no case pays for another's dispatch.

Each says its Content-Length where it knows it, as frameworks do: some servers fall back to chunks or to
closing without one, and that is not what these cases ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

HELLO = b"Hello, world!"
LARGE = bytes(range(32, 96)) * 1024
BLOCK = bytes(range(32, 96)) * 64
BLOCKS = 16


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response(
        "200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))]
    )
    return [body]


def large(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "65536")])
    return [LARGE]


def stream(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """A generator of no announced length: the server has to chunk it, or to close."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(BLOCKS):
        yield BLOCK
