"""Answers that tell which request they belong to: /length/TOKEN, /stream/TOKEN, /body/TOKEN, /last/TOKEN.

The body is the token, a colon, the request's body as it came, and a line end, so that answers which are mixed
up, doubled, cut or run together cannot pass for right ones.
"""

from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, kind, token = environ["PATH_INFO"].split("/")
    body = token.encode() + b":" + environ["wsgi.input"].read() + b"\n"
    fields = [("Content-Type", "text/plain"), ("X-Token", token)]
    if kind != "stream":
        fields.append(("Content-Length", str(len(body))))
    if kind == "last":
        fields.append(("Connection", "close"))
    start_response("200 OK", fields)
    return pieces(body) if kind == "stream" else [body]


def pieces(body: bytes) -> Iterator[bytes]:
    size = len(body) // 3 + 1
    for start in range(0, len(body), size):
        yield body[start : start + size]
