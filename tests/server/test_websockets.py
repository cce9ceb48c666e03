"""Websockets with the libraries that people use: Flask-Sock (simple-websocket) and Flask-SocketIO
(python-engineio) on the server's side; websocket-client, simple-websocket, python-socketio on the client's.
"""

import queue

import pytest
import simple_websocket
import socketio
import websocket

from .client import request
from .process import Server, Start, eventually

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.2, with the answer that it has there
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
)


@pytest.fixture(scope="session")
def server(servers: Start) -> Server:
    return servers("echo_sockets")


def url(server: Server, path: str) -> str:
    return server.url.replace("http", "ws", 1) + path


def frame(text: str) -> bytes:
    """A masked text frame: RFC 6455 section 5.2. The mask is zeros."""
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


def test_messages_both_ways(server: Server) -> None:
    client = websocket.create_connection(url(server, "/echo"), timeout=20)
    for message in ("one", "", "\u20ac" * 100_000, "last"):
        client.send(message)
        assert client.recv() == message
    client.send_binary(b"\0\xff" * 50_000)
    assert client.recv() == b"\0\xff" * 50_000
    client.send("end")
    opcode, _ = client.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    client.shutdown()
    assert "Traceback" not in server.news


def test_pings_while_nothing_is_said(servers: Start) -> None:
    """With an interval simple-websocket waits by a selector."""
    server = servers("echo_sockets", "--env", "PING_INTERVAL=0.2")
    client = websocket.create_connection(url(server, "/echo"), timeout=20)
    for _ in range(2):
        opcode, _ = client.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_PING
    client.send("still here")
    assert client.recv() == "still here"
    client.shutdown()


def test_the_servers_reason(server: Server) -> None:
    client = simple_websocket.Client.connect(url(server, "/close"))
    client.send("please")
    with pytest.raises(simple_websocket.ConnectionClosed) as closed:
        client.receive(timeout=20)
    assert (closed.value.reason, closed.value.message) == (4000, "enough")
    client.thread.join()


def test_many_messages_at_once(server: Server) -> None:
    client = websocket.create_connection(url(server, "/push/500"), timeout=20)
    assert [client.recv() for _ in range(500)] == [f"{number} " * 500 for number in range(500)]
    client.shutdown()


def test_frames_behind_the_handshake(server: Server) -> None:
    """No client may send them so early (RFC 6455 section 4.1), and none is lost."""
    with server.connect() as client:
        client.send(request("GET", "/echo", *HANDSHAKE) + frame("one") + frame("two"))
        response = client.response()
        assert (response.status, response.header("sec-websocket-accept")) == (101, ACCEPT)
        assert client._take(10) == b"\x81\x03one\x81\x03two"


def test_an_error_in_the_middle(server: Server) -> None:
    client = websocket.create_connection(url(server, "/fail"), timeout=20)
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionResetError)):
        # what Flask answers by then has no place on this connection
        while client.recv():
            raise AssertionError("there was a message")
        raise websocket.WebSocketConnectionClosedException
    server.wait_for_log("LookupError: in the middle")


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
def test_a_client_that_goes(server: Server, how: str) -> None:
    with server.connect() as client:
        client.send(request("GET", "/echo", *HANDSHAKE))
        assert client.response().status == 101
        if how == "close":
            client.sock.close()
        else:
            getattr(client, how)()
        with server.connect() as other:
            assert other.get("/").status == 200


def test_an_ordinary_request_for_a_websocket(server: Server) -> None:
    with server.connect() as client:
        assert client.get("/echo").status in (400, 500)
        assert client.get("/").status == 200


def test_no_thread_stays(server: Server) -> None:
    with server.connect() as other:
        before = int(other.get("/").body.split()[0])
        for _ in range(5):
            client = websocket.create_connection(url(server, "/echo"), timeout=20)
            client.send("end")
            client.recv_data()
            client.shutdown()
        eventually(lambda: int(other.get("/").body.split()[0]) <= before, server.explain)


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
def test_socketio(server: Server, transports: list[str]) -> None:
    heard: queue.Queue[str] = queue.Queue()
    client = socketio.Client(reconnection=False)
    client.on("echo", lambda data: heard.put(data["text"]))
    client.connect(server.url, transports=transports, wait_timeout=20)
    try:
        for word in ("one", "two"):
            client.emit("shout", {"text": word})
            assert heard.get(timeout=20) == word.upper()
        assert client.transport() == "websocket"
    finally:
        client.disconnect()
        client.wait()
