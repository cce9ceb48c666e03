"""Websockets as people have them under gunicorn: Flask-Sock, and Flask-SocketIO with threads."""

import os
import threading
from typing import Any

import flask
import simple_websocket
from flask_sock import Sock
from flask_socketio import SocketIO, emit

application = flask.Flask(__name__)
application.config["SECRET_KEY"] = "not one"
application.config["SOCK_SERVER_OPTIONS"] = {
    "ping_interval": float(os.environ.get("PING_INTERVAL", "0")) or None
}
sock = Sock(application)
socketio = SocketIO(application, async_mode="threading")


@application.route("/")
def index() -> str:
    return f"{threading.active_count()} threads"


@sock.route("/echo")
def echo(ws: simple_websocket.Server) -> None:
    while (message := ws.receive()) != "end":
        ws.send(message)


@sock.route("/close")
def close(ws: simple_websocket.Server) -> None:
    ws.receive()  # simple-websocket's client misses what comes in one packet with the handshake
    ws.close(4000, "enough")


@sock.route("/fail")
def fail(ws: simple_websocket.Server) -> None:
    raise LookupError("in the middle")


@sock.route("/push/<int:count>")
def push(ws: simple_websocket.Server, count: int) -> None:
    for number in range(count):
        ws.send(f"{number} " * 500)


@socketio.on("shout")
def shout(data: dict[str, Any]) -> None:
    emit("echo", {"text": data["text"].upper()})
