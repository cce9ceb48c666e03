"""fastwsgi/sockets.py: addresses and listeners."""

import contextlib
import errno
import os
import select
import socket
import stat
import time
from pathlib import Path

import pytest

from fastwsgi.errors import ListenError
from fastwsgi.sockets import (
    FdAddress,
    Owner,
    TCPAddress,
    UnixAddress,
    adopt,
    close,
    listen,
    parse_address,
    url,
    waiting,
)

HERE = TCPAddress("127.0.0.1", 0)
NOBODY = 65534


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", TCPAddress("127.0.0.1", 80)),
        ("127.0.0.1", TCPAddress("127.0.0.1", 8000)),
        ("LocalHost:0", TCPAddress("localhost", 0)),
        (":8080", TCPAddress("", 8080)),
        ("[::1]:80", TCPAddress("::1", 80)),
        ("[::1]", TCPAddress("::1", 8000)),
        ("tcp://0.0.0.0:65535", TCPAddress("0.0.0.0", 65535)),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:///run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:x.sock", UnixAddress("x.sock")),
        ("unix:@name", UnixAddress("\0name")),
        ("unix:\0name", UnixAddress("\0name")),
        ("unix:./@name", UnixAddress("./@name")),
        ("tcp://[::1]:80", TCPAddress("::1", 80)),
        ("fd://3", FdAddress(3)),
    ],
)
def test_parse_address(text: str, address: object) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "a:",
        "a:b",
        "a:-1",
        "a:65536",
        "a:1:2",
        "::1",
        "[::1",
        "[::1]80",
        "[::1]:",
        "[a]:1",
        "unix:",
        "unix://",
        "unix:@",
        "unix:a\0b",
        "fd://",
        "fd://x",
        "fd://-1",
        "a:²",
    ],
)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_address(text)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (TCPAddress("", 80), "0.0.0.0:80"),
        (TCPAddress("::1", 80), "[::1]:80"),
        (UnixAddress("/x"), "unix:/x"),
        (UnixAddress("\0x"), "unix:@x"),
        (FdAddress(3), "fd://3"),
    ],
)
def test_addresses_are_written_as_they_are_read(address: object, text: str) -> None:
    assert str(address) == text


def test_a_tcp_listener() -> None:
    with listen(HERE, 16) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not listener.getblocking()
        assert not listener.get_inheritable()
        port = listener.getsockname()[1]
        assert url(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)) as client:
            with pytest.raises(BlockingIOError):
                listener.accept()  # it has said nothing yet
            client.sendall(b"GET")
            assert select.select([listener], [], [], 5)[0]
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(3) == b"GET"
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_ipv6() -> None:
    with listen(TCPAddress("::1", 0), 1) as listener:
        assert url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_a_port_in_use() -> None:
    with listen(HERE, 1) as listener, pytest.raises(OSError, match="in use") as caught:
        listen(TCPAddress("127.0.0.1", listener.getsockname()[1]), 1)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_unix_listener(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = listen(UnixAddress(str(path)), 1)
    assert url(listener) == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o777  # a proxy under another user can connect
    assert not listener.getblocking()
    before = os.umask(0o22)
    os.umask(before)
    assert before != 0  # the process's own was not left changed
    close(listener)
    assert not path.exists()


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    close(listen(UnixAddress(str(path)), 1))


def test_a_socket_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listen(UnixAddress(str(path)), 0) as alive:
        for _ in range(2):  # the second time with a full backlog
            with pytest.raises(OSError, match="in use") as caught:
                listen(UnixAddress(str(path)), 1)
            assert caught.value.errno == errno.EADDRINUSE
        assert path.exists()
        assert alive.fileno() >= 0


def test_a_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="not a socket"):
        listen(UnixAddress(str(path)), 1)
    assert path.read_text() == "precious"


def test_close_when_the_file_is_gone_already(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = listen(UnixAddress(str(path)), 1)
    path.unlink()
    close(listener)
    assert listener.fileno() == -1


def test_the_umask_and_the_owner_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = listen(UnixAddress(str(path)), 1, umask=0o117, owner=Owner(NOBODY, NOBODY))
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY)
    close(listener)
    assert not path.exists()


def test_the_file_can_be_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    close(listen(UnixAddress(str(path)), 1), remove=False)
    assert path.exists()


def test_an_abstract_socket() -> None:
    address = UnixAddress(f"\0fastwsgi-test-{os.getpid()}")
    listener = listen(address, 1, owner=Owner(NOBODY, NOBODY))
    assert url(listener) == f"unix:@fastwsgi-test-{os.getpid()}"
    with pytest.raises(OSError, match="in use"):
        listen(address, 1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)
    close(listener)
    close(listen(address, 1))


def test_sockets_that_share_a_port_do_not_listen_yet() -> None:
    with listen(HERE, 1, reuse_port=True) as first:
        address = TCPAddress("127.0.0.1", first.getsockname()[1])
        with listen(address, 1, reuse_port=True) as second:
            for listener in (first, second):
                assert not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@pytest.mark.parametrize("listening", [True, False])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_socket_of_another_process(family: socket.AddressFamily, listening: bool, tmp_path: Path) -> None:
    path = tmp_path / "s"
    given = socket.socket(family)
    given.set_inheritable(True)
    given.bind({socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}.get(family, str(path)))
    if listening:
        given.listen(1)
    with adopt(given.detach(), 1) as listener:
        assert listener.family == family
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not listener.getblocking()
        assert not listener.get_inheritable()


def test_what_is_no_listener_is_not_adopted() -> None:
    with open(os.devnull) as file, pytest.raises(ListenError, match=f"fd://{file.fileno()}: .*non-socket"):
        adopt(file.fileno(), 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with pytest.raises(ListenError, match="not a stream"):
            adopt(udp.fileno(), 1)
        assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM  # it is still open
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as netlink:
        with pytest.raises(ListenError, match="neither"):
            adopt(netlink.fileno(), 1)
        assert netlink.getsockname()
    with pytest.raises(ListenError, match="Bad file descriptor"):
        listen(FdAddress(1_000_000), 1)


def test_a_connection_is_no_listener() -> None:
    one, other = socket.socketpair()
    with one, other, pytest.raises(ListenError, match="Invalid argument"):
        adopt(one.fileno(), 1)


def test_connections_that_wait_to_be_accepted(tmp_path: Path) -> None:
    with listen(HERE, 16) as listener, contextlib.ExitStack() as clients:
        assert waiting(listener) == 0
        for count in range(1, 4):
            client = clients.enter_context(socket.create_connection(listener.getsockname()))
            client.sendall(b"GET")  # until then the kernel keeps it to itself
            deadline = time.monotonic() + 10
            while waiting(listener) != count:
                assert time.monotonic() < deadline
                time.sleep(0.005)
        listener.accept()[0].close()
        assert waiting(listener) == 2
    with listen(UnixAddress(str(tmp_path / "s")), 1) as unix:
        assert waiting(unix) == 0
