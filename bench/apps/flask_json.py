"""The Flask view: routed by name and id, answered with a small JSON document."""

from __future__ import annotations

from flask import Flask, Response, jsonify

application = Flask(__name__)


@application.get("/items/<int:item>")
def item(item: int) -> Response:
    return jsonify(id=item, name="fast", tags=["a", "b"])
