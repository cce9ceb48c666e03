"""Applications that read a request's body while it comes (--stream-request-body)."""

import os
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

import inputs
from responses import application as responses
from routing import TEXT, Router, answer, argument, wait_at_gate

application = Router()
application.views.update(responses.views)
view = application.view
application.views["/calls"] = inputs.application


@view
def streamed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Whether the server says that the body may still be coming; and what length it says it has."""
    told = f"{environ.get('fastwsgi.input_streamed')} {environ.get('CONTENT_LENGTH')}"
    return answer(start_response, told.encode())


@view
def mirror(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Answers with each piece of the body as it comes."""
    start_response("200 OK", [TEXT])
    while block := environ["wsgi.input"].read1(100_000):
        yield block


@view
def unread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Reads the first `size` bytes only."""
    size = int(argument(environ, "size", "0"))
    return answer(start_response, environ["wsgi.input"].read(size) if size else b"nothing")


@view
def gated_unread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    wait_at_gate(environ)
    return answer(start_response, b"nothing")


@view
def gated_read(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Reads when it is let."""
    wait_at_gate(environ)
    return answer(start_response, environ["wsgi.input"].read())


@view
def forgiving(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers even if the body does not come whole."""
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        return answer(start_response, f"{type(error).__name__}: {error}".encode())
    return answer(start_response, b"whole")


@view
def written(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Keeps the body as the file `path`, unless it is not whole."""
    path = argument(environ, "path")
    with open(path + ".part", "wb") as file:
        while block := environ["wsgi.input"].read(65_536):
            file.write(block)
    os.rename(path + ".part", path)
    return answer(start_response, b"kept")
