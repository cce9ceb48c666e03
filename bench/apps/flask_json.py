"""The Flask view: routed by name and id, answered with a small JSON document."""

from __future__ import annotations

from flask import Flask, Response, jsonify

application = Flask(__name__)


@application.get("/items/<int:item>")
def item(item: int) -> Response:
    return jsonify(id=item, name="fast", tags=["a", "b"])


closed = []


@application.get("/closing")
def closing() -> Response:
    response = Response("closing")
    response.call_on_close(lambda: closed.append(True))
    return response


@application.get("/closed")
def count() -> str:
    return str(len(closed))
