"""The socket that an application may take over, without a server around it."""

import gc
import os
import select
import socket
from collections.abc import Iterator

import pytest

from fastwsgi.handover import HandedSocket


class Connection:
    """What the gateway does with one: `sock` has the server's end of a pair, `client` is the other."""

    def __init__(self, ahead: bytes = b"") -> None:
        server, self.client = socket.socketpair()
        server.setblocking(False)
        self.descriptor = server.detach()
        self.ahead = ahead
        self.taken = 0
        self.sock = HandedSocket(self.descriptor, self.take, bool(ahead))

    def take(self) -> bytes:
        self.taken += 1
        return self.ahead

    def close(self) -> None:
        descriptor = self.sock.release()
        if descriptor >= 0:
            socket.close(descriptor)
        self.client.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.close()


@pytest.fixture
def with_bytes() -> Iterator[Connection]:
    made = Connection(b"ahead")
    yield made
    made.close()


def test_what_only_asks_takes_nothing(connection: Connection) -> None:
    sock = connection.sock
    assert sock.fileno() == connection.descriptor
    assert sock.gettimeout() is None
    assert sock.getpeername() == sock.getsockname() == ""
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
    assert "HandedSocket" in repr(sock)
    assert connection.taken == 0


@pytest.mark.parametrize(
    "use",
    [
        lambda sock: sock.recv(1),
        lambda sock: sock.recv_into(bytearray(1)),
        lambda sock: sock.recvfrom(1),
        lambda sock: sock.recvfrom_into(bytearray(1)),
        lambda sock: sock.recvmsg(1),
        lambda sock: sock.recvmsg_into([bytearray(1)]),
        lambda sock: sock.send(b"x"),
        lambda sock: sock.sendall(b"x"),
        lambda sock: sock.sendmsg([b"x"]),
        lambda sock: sock.settimeout(1),
        lambda sock: sock.setblocking(True),
        lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        lambda sock: sock.shutdown(socket.SHUT_WR),
        lambda sock: sock.dup().close(),
        lambda sock: sock.close(),
        lambda sock: socket.close(sock.detach()),
        lambda sock: sock.makefile("rb", buffering=0).read(1),
    ],
)
def test_what_does_something_takes_it_once(connection: Connection, use: object) -> None:
    connection.client.sendall(b"x")
    assert callable(use)
    use(connection.sock)
    assert connection.taken == 1
    if connection.sock.fileno() >= 0:
        connection.sock.settimeout(2)
        assert connection.taken == 1


def test_it_blocks_once_it_is_taken(connection: Connection) -> None:
    connection.sock.send(b"x")
    assert connection.sock.getblocking()
    descriptor = connection.sock.release()
    with socket.socket(fileno=descriptor) as again:
        assert connection.taken == 1
        with pytest.raises(BlockingIOError):
            again.recv(1)
    assert connection.sock.fileno() == -1


def test_released_unused(connection: Connection) -> None:
    """Whoever keeps it cannot reach what has its descriptor afterwards."""
    descriptor = connection.sock.release()
    assert descriptor == connection.descriptor
    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.sock.send(b"x")
    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.sock.recv(1)
    connection.sock.close()
    assert connection.taken == 0
    socket.close(descriptor)


def test_released_after_its_user_has_closed_it(connection: Connection) -> None:
    connection.sock.close()
    assert connection.client.recv(1) == b""
    assert connection.sock.release() == -1


def test_bytes_ahead_come_first(with_bytes: Connection) -> None:
    sock = with_bytes.sock
    with_bytes.client.sendall(b"behind")
    assert sock.recv(2, socket.MSG_PEEK) == b"ah"
    assert sock.recv(2) == b"ah"
    assert sock.recv(100) == b"ead"
    assert sock.recv(100) == b"behind"


def test_all_of_them_at_once(with_bytes: Connection) -> None:
    with_bytes.client.sendall(b"behind")
    assert with_bytes.sock.recv(11, socket.MSG_WAITALL) == b"aheadbehind"


def test_a_descriptor_that_tells_of_them(with_bytes: Connection) -> None:
    sock = with_bytes.sock
    first = sock.fileno()
    assert first != with_bytes.descriptor

    def is_readable() -> bool:
        return bool(select.select([sock], [], [], 0)[0])

    assert is_readable()
    assert sock.recv(4) == b"ahea"
    assert is_readable()
    assert sock.recv(4) == b"d"
    assert not is_readable()
    with_bytes.client.sendall(b"x")
    assert is_readable()
    assert sock.recv(4) == b"x"
    with_bytes.client.close()
    assert is_readable()
    assert sock.fileno() == first


def test_a_descriptor_asked_for_late(with_bytes: Connection) -> None:
    assert with_bytes.sock.recv(100) == b"ahead"
    assert not select.select([with_bytes.sock], [], [], 0)[0]
    with_bytes.client.sendall(b"x")
    assert select.select([with_bytes.sock], [], [], 20)[0]


def test_bytes_ahead_are_not_left_behind(with_bytes: Connection) -> None:
    for leave in (with_bytes.sock.detach, with_bytes.sock.dup):
        with pytest.raises(ValueError, match="read ahead"):
            leave()
    assert with_bytes.sock.recv(100) == b"ahead"
    with with_bytes.sock.dup() as copy:
        copy.sendall(b"x")
    assert with_bytes.client.recv(1) == b"x"


def test_no_descriptor_stays() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for ahead in (b"", b"ahead"):
        for end in ("close", "release", "detach"):
            made = Connection(ahead)
            made.sock.fileno()
            if end != "release":
                made.sock.recv(100) if ahead else made.sock.send(b"x")
                left = getattr(made.sock, end)()
                if left is not None:
                    socket.close(left)
            made.close()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_take_that_fails_leaves_it_untaken() -> None:
    made = Connection()

    def refuse() -> bytes:
        raise RuntimeError("too late")

    made.sock._take = refuse
    for _ in range(2):
        with pytest.raises(RuntimeError, match="too late"):
            made.sock.send(b"x")
    assert made.sock.release() == made.descriptor
    socket.close(made.descriptor)
    made.client.close()
