"""Applications that break PEP 3333 or fail in other ways: the server must tell, and stay whole."""

import ast
import sys
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

from routing import TEXT, Router, answer, argument, process_id

application = Router()
view = application.view
application.views["/pid"] = process_id


@view
def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"Hello, world!\n")


@view
def start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """start_response with the arguments of the field X-Arguments, a Python literal."""
    start_response(*ast.literal_eval(environ["HTTP_X_ARGUMENTS"]))
    return [b"the body"]


@view
def raises(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("raised before start_response")


@view
def raises_after_start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    raise RuntimeError("raised after start_response")


@view
def raises_at_first_block(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    if environ:
        raise RuntimeError("raised instead of the first block")
    yield b"never"


@view
def raises_in_mid_stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, *length_field(environ)])
    yield b"some"
    yield b" text"
    raise RuntimeError("raised in mid-stream")


@view
def raises_after_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])(b"some text")
    raise RuntimeError("raised after write")


@view
def raises_in_iter(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    class Reluctant:
        def __iter__(self) -> Iterator[bytes]:
            raise RuntimeError("raised in __iter__")

    start_response("200 OK", [TEXT])
    return Reluctant()


@view
def raises_in_close(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    class Sticky(list[bytes]):
        def close(self) -> None:
            raise RuntimeError("raised in close")

    start_response("200 OK", [TEXT])
    return Sticky([b"complete"])


@view
def leaves(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Raises what is not an Exception, when called or, with `late`, instead of the second block."""
    exits = {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit}
    error = exits[argument(environ, "error")]("the application leaves")
    if not argument(environ, "late"):
        raise error

    def blocks() -> Iterator[bytes]:
        yield b"some text"
        raise error

    start_response("200 OK", [TEXT])
    return blocks()


@view
def never_starts(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return [b"a body without a head"]


@view
def never_starts_nor_yields(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return []


@view
def starts_after_a_block(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    yield b"too early"
    start_response("200 OK", [TEXT])


@view
def starts_twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Catches the error that PEP 3333 asks for, and names it."""
    start_response("200 OK", [TEXT])
    try:
        start_response("200 OK", [("Content-Type", "text/html")])
    except Exception as error:
        return [b"refused by " + type(error).__name__.encode()]
    return [b"accepted"]


@view
def starts_again_in_mid_stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Its head is sent: start_response with exc_info must raise the exception again."""
    start_response("200 OK", [TEXT])
    yield b"some text"
    try:
        raise LookupError("the original error")
    except LookupError:
        try:
            start_response("500 Internal Server Error", [TEXT], sys.exc_info())
        except LookupError as error:
            environ["wsgi.errors"].write(f"raised again: {error}\n")
            raise
    yield b" and more"


@view
def returns_none(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return None  # type: ignore[return-value]


@view
def returns_text(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return "text"  # type: ignore[return-value]


@view
def returns_number(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return 7  # type: ignore[return-value]


@view
def yields_text(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    yield "text"  # type: ignore[misc]


@view
def yields_text_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    yield b"bytes"
    yield " text"  # type: ignore[misc]


@view
def writes_text(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])("text")  # type: ignore[arg-type]
    return []


@view
def wrong_length(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ten bytes, in one block or by `write` or in `pieces`, under the Content-Length `length`."""
    write = start_response("200 OK", [TEXT, *length_field(environ)])
    if argument(environ, "by") == "write":
        write(b"01234")
        write(b"56789")
        return []
    return [b"0123456789"] if argument(environ, "by") == "block" else iter([b"0123", b"45", b"6789"])


@view
def body_where_none_may_be(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response(argument(environ, "status"), [TEXT, *length_field(environ)])
    return [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]


@view
def hop_by_hop(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Sends fields that are the server's business: the connection's own (RFC 9110 section 7.6.1)."""
    fields = [
        ("Connection", "keep-alive, X-Private"),
        ("Keep-Alive", "timeout=1000"),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "trailers"),
        ("Trailer", "X-Late"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
    ]
    start_response("200 OK", [TEXT, *fields, ("X-Own", "stays")])
    return [b"the body"]


@view
def connection_close(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"the last", ("Connection", "close"))


def length_field(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    length = argument(environ, "length")
    return [("Content-Length", length)] if length else []
