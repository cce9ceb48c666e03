"""Does with wsgi.input what the request asks for, so that the test can do the same with io.BytesIO.

The calls are a JSON list in the field X-Calls: ["read", 10], ["readline"], ["next"], ["readinto", 7], ...;
the answer is the list of their results, see perform().
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    calls = json.loads(environ.get("HTTP_X_CALLS", '[["read"]]'))
    answer = json.dumps([perform(environ["wsgi.input"], *call) for call in calls]).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer]


def perform(stream: Any, name: str, *arguments: Any) -> Any:
    """The result of one call on a file-like `stream`, in terms of JSON."""
    if name == "next":
        return summary(next(stream, b"<end>"))
    if name == "list":
        return [summary(line) for line in stream]
    if name == "readinto":
        buffer = bytearray(b"." * arguments[0])
        return [stream.readinto(buffer), summary(bytes(buffer))]
    result = getattr(stream, name)(*arguments)
    return [summary(line) for line in result] if name == "readlines" else summary(result)


def summary(data: bytes) -> str:
    assert type(data) is bytes, type(data)
    if len(data) <= 1000:
        return data.decode("latin-1")
    return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"
