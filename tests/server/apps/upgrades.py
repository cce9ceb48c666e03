"""Applications that take the socket of their connection, look at it, or do what they should not."""

import contextlib
import os
import select
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from routing import Router, answer, argument, process_id, wait_at_gate

application = Router()
view = application.view
application.views["/pid"] = process_id
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n"
kept: list[socket.socket] = []


def lines(sock: socket.socket) -> Iterable[bytes]:
    rest = b""
    while block := sock.recv(5):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole


@view
def key(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    both = "gunicorn.socket" in environ, "fastwsgi.socket" in environ
    assert environ.get("gunicorn.socket") is environ.get("fastwsgi.socket")
    return answer(start_response, repr(both).encode())


@view
def look(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What only asks takes nothing."""
    sock = environ["gunicorn.socket"]
    assert isinstance(sock, socket.socket)
    assert sock.fileno() >= 0 and "HandedSocket" in repr(sock)
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    kept.append(sock)
    return answer(start_response, f"{sock.getpeername()} {environ['REMOTE_PORT']}".encode())


@view
def too_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    try:
        kept[0].send(b"from another request")
    except OSError as error:
        return answer(start_response, os.strerror(error.errno or 0).encode())
    return answer(start_response, b"sent")


@view
def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Lines back in capitals; `end` says how it ends."""
    sock = environ["gunicorn.socket"]
    assert environ["wsgi.input"].read() == argument(environ, "body").encode()
    sock.sendall(SWITCHING)
    for line in lines(sock):
        if line == b"end":
            break
        sock.sendall(line.upper() + b"\n")
    return ENDS[argument(environ, "end", "list")](environ, start_response)


def close(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["gunicorn.socket"].close()
    return []


def stop(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise StopIteration


def fail(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise LookupError("after the handshake")


def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As if nothing had happened."""
    environ["wsgi.early_hints"]([("Link", "x")])
    write = start_response("200 OK", [("Content-Length", "5")])
    try:
        write(b"never")
    except ConnectionError:
        return [b"x" * 100_000]
    raise AssertionError("it was written")


def generate(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    yield b"never"


ENDS: dict[str, Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]] = {
    "list": lambda environ, start_response: [],
    "close": close,
    "stop": stop,
    "fail": fail,
    "respond": respond,
    "generate": generate,
}


@view
def while_iterated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("X-Never", "sent")])
    environ["gunicorn.socket"].sendall(b"raw")
    yield b"never"


@view
def after_the_head(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [("Content-Length", "5")])
    write(b"12")
    try:
        environ["gunicorn.socket"].send(b"raw")
    except RuntimeError:
        return [b"345"]
    return [b"xxx"]


@view
def readiness(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Wait for each line by another way of waiting; say how, and what came."""
    sock = environ["gunicorn.socket"]
    sock.sendall(SWITCHING)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    waits: list[tuple[bytes, Callable[[float], object]]] = [
        (b"select", lambda seconds: select.select([sock], [], [], seconds)[0]),
        (b"poll", lambda seconds: poll.poll(seconds * 1000)),
        (b"selectors", lambda seconds: selector.select(seconds)),
    ]
    for name, wait in waits * 2:
        assert wait(20), name
        sock.sendall(name + sock.recv(1))
    for name, wait in waits:
        assert not wait(0), name
    selector.unregister(sock)
    selector.close()
    return []


@view
def reading(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Thirty bytes, three at a time by each way of reading, and the last six by one that waits for them."""
    sock = environ["gunicorn.socket"]
    sock.sendall(SWITCHING)
    buffer = bytearray(3)

    def into(read: Callable[[], int]) -> bytes:
        return bytes(buffer[: read()])

    got = [sock.recv(3, socket.MSG_PEEK)]
    file = sock.makefile("rb", buffering=0)
    for read in (
        lambda: sock.recv(3),
        lambda: sock.recvfrom(3)[0],
        lambda: into(lambda: sock.recv_into(buffer)),
        lambda: into(lambda: sock.recv_into(buffer, 3)),
        lambda: into(lambda: sock.recvfrom_into(buffer)[0]),
        lambda: into(lambda: sock.recvmsg_into([buffer])[0]),
        lambda: sock.recvmsg(3)[0],
        lambda: file.read(3),
    ):
        got.append(read())
        assert len(got[-1]) == 3
    file.close()
    got.append(sock.recv(6, socket.MSG_WAITALL))
    sock.settimeout(0.001)
    try:
        sock.recv(1)
    except TimeoutError:
        got.append(b"timeout")
    sock.sendall(b",".join(got))
    sock.shutdown(socket.SHUT_WR)
    return []


@view
def leave_a_thread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A thread is still in recv when the application returns, as simple-websocket's may be."""
    sock = environ["gunicorn.socket"]
    sock.sendall(SWITCHING)
    reading = threading.Event()

    def read() -> None:
        reading.set()
        while sock.recv(100):
            pass

    def quietly() -> None:
        with contextlib.suppress(OSError):
            read()

    threading.Thread(target=quietly).start()
    reading.wait()
    return []


@view
def threads(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"%d" % threading.active_count())


@view
def hold(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["gunicorn.socket"].sendall(SWITCHING)
    wait_at_gate(environ)
    return []
