"""The application that is served by each configuration file here."""

import os
import random
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

connection: str | None = None
"""What a hook has connected; see forking.conf.py."""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    match environ["PATH_INFO"]:
        case "/pid":
            body = str(os.getpid())
        case "/random":
            body = str(random.random())
        case "/connection":
            body = f"{os.getpid()} has the {connection}"
        case "/slow":
            time.sleep(0.01)
            body = "slow"
        case "/crash":
            os._exit(9)
        case "/multiprocess":
            body = str(environ["wsgi.multiprocess"])
        case _:
            body = "Hello from the shop"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]
