"""Long bodies both ways: a file by wsgi.file_wrapper, an upload whose application does not read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

BINARY = ("Content-Type", "application/octet-stream")


def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The file that BENCH_FILE names."""
    stream = open(os.environ["BENCH_FILE"], "rb")  # noqa: SIM115 - the server closes it
    length = os.fstat(stream.fileno()).st_size
    start_response("200 OK", [BINARY, ("Content-Length", str(length))])
    blocks: Iterable[bytes] = environ["wsgi.file_wrapper"](stream)
    return blocks


def upload(environ: Environ, start_response: StartResponse) -> list[bytes]:
    body = environ["CONTENT_LENGTH"].encode()
    start_response("200 OK", [BINARY, ("Content-Length", str(len(body)))])
    return [body]
