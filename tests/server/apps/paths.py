"""Answers every path with whether the body may still be coming, and reads none of it."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from routing import answer


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, str(environ.get("fastwsgi.input_streamed")).encode())
