"""What the test applications share: a view for each path, query arguments, and a gate to wait at."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

View = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]

TEXT = ("Content-Type", "text/plain")


class Router:
    """A WSGI application of views; each serves the path of its name."""

    def __init__(self) -> None:
        self.views: dict[str, View] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.views[environ["PATH_INFO"]](environ, start_response)

    def view(self, function: View) -> View:
        self.views["/" + function.__name__] = function
        return function


def argument(environ: WSGIEnvironment, name: str, default: str = "") -> str:
    return parse_qs(environ["QUERY_STRING"]).get(name, [default])[0]


def wait_at_gate(environ: WSGIEnvironment) -> None:
    """Make the file that `gate` names, so that the test knows of us, and wait until it takes it away."""
    gate = Path(argument(environ, "gate"))
    gate.touch()
    end = time.monotonic() + 60
    while gate.exists() and time.monotonic() < end:
        time.sleep(0.002)


def answer(start_response: StartResponse, body: bytes, *fields: tuple[str, str]) -> list[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", str(len(body))), *fields])
    return [body]


def process_id(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"%d" % os.getpid())
