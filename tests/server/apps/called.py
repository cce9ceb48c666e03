"""The application `tokens`, which also writes down every call: its token, in the file $CALLS.

The query is how many milliseconds the call takes.
"""

import os
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import tokens

# Lines that are appended at once stay whole, whoever else appends.
CALLS = os.open(os.environ["CALLS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    os.write(CALLS, environ["PATH_INFO"].rpartition("/")[2].encode() + b"\n")
    if environ["QUERY_STRING"]:
        time.sleep(int(environ["QUERY_STRING"]) / 1000)
    return tokens.application(environ, start_response)
