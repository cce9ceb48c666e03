"""Answers with the environ as JSON: {key: [name of the value's type, the value or its repr]}."""

import json
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    assert type(environ) is dict, type(environ)
    plain = (str, bool, int, tuple)
    seen = {
        key: [type(value).__name__, value if isinstance(value, plain) else repr(value)]
        for key, value in environ.items()
    }
    # What one request leaves behind must not be seen by the next.
    environ["left.behind"] = "yes"
    environ["wsgi.url_scheme"] = "changed"
    environ.pop("REQUEST_METHOD")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
