"""What the tests ask for through nginx, HAProxy and Apache."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

from routing import Router, answer, argument, wait_at_gate

application = Router()
view = application.view


@view
def environ(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The strings of the environ, as JSON."""
    strings = {key: value for key, value in environ.items() if isinstance(value, str)}
    return answer(start_response, json.dumps(strings).encode())


@view
def digest(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Length and SHA-256 of the request's body."""
    sha, length = hashlib.sha256(), 0
    while block := environ["wsgi.input"].read(1 << 20):
        sha.update(block)
        length += len(block)
    return answer(start_response, f"{length} {sha.hexdigest()}".encode())


@view
def events(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Two events; the second when the gate is open."""
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")])
    yield b"data: before the gate\n\n"
    wait_at_gate(environ)
    yield b"data: after the gate\n\n"


@view
def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`count` blocks of 64 KiB."""

    def blocks() -> Iterator[bytes]:
        for number in range(int(argument(environ, "count"))):
            yield number.to_bytes(4, "big") * (1 << 14)

    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return blocks()
