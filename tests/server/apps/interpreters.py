"""Each request makes an interpreter, runs code in it and ends it; the answer is what the code wrote."""

import os
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

interpreters: Any
try:
    import _interpreters as interpreters  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # before Python 3.13
    import _xxsubinterpreters as interpreters  # type: ignore[import-not-found,unused-ignore,no-redef]

COUNT = b"import os; os.write(%d, b'%%d' %% sum(range(1000)))"
IMPORT = b"""
import importlib, os
try:
    importlib.import_module("fastwsgi._loop")
    os.write(%d, b"imported")
except ImportError:
    os.write(%d, b"refused")
"""


def create(own_gil: bool) -> Any:
    if interpreters.__name__ == "_interpreters":
        return interpreters.create("isolated" if own_gil else "legacy")
    return interpreters.create(isolated=own_gil)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, kind, what = environ["PATH_INFO"].split("/")
    reader, writer = os.pipe()
    code = {"count": COUNT % writer, "import": IMPORT % (writer, writer)}[what].decode()
    interpreter = create(kind == "own")
    try:
        failure = interpreters.run_string(interpreter, code)
        assert failure is None, failure
    finally:
        interpreters.destroy(interpreter)
        os.close(writer)
    with open(reader, "rb") as file:
        body = file.read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
