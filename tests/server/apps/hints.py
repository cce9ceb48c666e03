"""Applications that send early hints, and some that try to."""

from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

from routing import TEXT, Router, answer, argument, wait_at_gate

application = Router()
view = application.view
STYLE = ("Link", "</style.css>; rel=preload; as=style")
kept = []


@view
def once(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.early_hints"]([STYLE])
    return answer(start_response, b"done")


@view
def at_once(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The hints are with the client while this still works."""
    environ["wsgi.early_hints"]([STYLE])
    wait_at_gate(environ)
    return answer(start_response, b"done")


@view
def several(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Before and after start_response, as a tuple, as bytes."""
    environ["wsgi.early_hints"]([STYLE])
    write = start_response("200 OK", [TEXT])
    environ["wsgi.early_hints"]((("Link", " </a.js> "), ("X-Two", "caf\xe9")))
    environ["wsgi.early_hints"]([(b"Link", b"</b.js>")])
    environ["wsgi.early_hints"]([])
    write(b"begun, ")
    environ["wsgi.early_hints"]([("Too", "late")])
    return [b"done"]


@view
def framing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What would make an interim answer one with a body, or end the connection."""
    environ["wsgi.early_hints"](
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Connection", "close"), STYLE]
    )
    return answer(start_response, b"done")


WRONG: dict[str, object] = {
    "crlf": [("Link", "a\r\nX: b")],
    "lf": [("Link", "a\nb")],
    "nul": [("Link", "a\0b")],
    "bytes": [(b"Link", b"a\r\nX: b")],
    "name": [("Li nk", "a")],
    "no-name": [("", "a")],
    "name-crlf": [("A\r\nB", "a")],
    "wide": [("Link", "\u20ac")],
    "number": [("Link", 5)],
    "pairs": [("Link",)],
    "long": [("Link", "a" * 70000)],
    "many": [("Link", "a" * 50)] * 2000,
    "none": None,
}


@view
def wrong(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    try:
        environ["wsgi.early_hints"](WRONG[argument(environ, "what")])
    except (TypeError, ValueError) as error:
        return answer(start_response, f"{type(error).__name__}: {error}".encode())
    return answer(start_response, b"nothing is wrong")


@view
def flood(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Far more than a client that reads nothing is sent; afterwards the file `sent` is there."""
    for _ in range(2000):
        environ["wsgi.early_hints"]([("Link", "x" * 60000)])
    Path(argument(environ, "sent")).touch()
    return answer(start_response, b"done")


@view
def keep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    hints = environ["wsgi.early_hints"]
    kept.append(hints if argument(environ, "what") == "callable" else lambda headers: later(environ, headers))
    return answer(start_response, b"kept")


def later(environ: WSGIEnvironment, headers: object) -> None:
    environ["wsgi.early_hints"](headers)


@view
def use_kept(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    try:
        kept[0]([STYLE])
    except (RuntimeError, TypeError) as error:
        return answer(start_response, f"{type(error).__name__}: {error}".encode())
    return answer(start_response, b"sent")
