"""fastwsgi/systemd.py."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastwsgi.systemd import Notifier, listen_fds

PID = str(os.getpid())


@pytest.mark.parametrize(
    ("environ", "fds"),
    [
        ({"LISTEN_PID": PID, "LISTEN_FDS": "2"}, [3, 4]),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "0"}, []),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "-1"}, []),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "x"}, []),
        ({"LISTEN_PID": PID}, []),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, []),
        ({"LISTEN_FDS": "2"}, []),
        ({}, []),
    ],
)
def test_listen_fds(environ: dict[str, str], fds: list[int]) -> None:
    assert listen_fds(environ) == fds


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def told(self) -> list[list[str]]:
        """The messages since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.sock.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def notify_socket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@fastwsgi-test-{os.getpid()}"


@pytest.fixture
def manager(notify_socket: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(notify_socket.replace("@", "\0"))
        sock.setblocking(False)
        yield Manager(sock)


def test_a_life(manager: Manager, notify_socket: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": notify_socket})
    notifier.beat(1.0, None)
    notifier.reloading()
    assert manager.told() == []  # it is not ready yet
    notifier.beat(2.0, "Serving")
    notifier.beat(3.0, "Serving")
    assert manager.told() == [["READY=1", "STATUS=Serving", f"MAINPID={PID}"]]
    assert notifier.next_beat(3.0) is None
    notifier.reloading()
    (message,) = manager.told()
    assert message[0] == "RELOADING=1"
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", message[1])
    notifier.ready("Serving again")
    assert manager.told() == [["READY=1", "STATUS=Serving again", f"MAINPID={PID}"]]
    notifier.stopping()
    notifier.stopping()
    notifier.ready("too late")
    notifier.reloading()
    notifier.beat(4.0, "too late")
    assert manager.told() == [["STOPPING=1", "STATUS=Shutting down"]]


def test_another_process_goes_on(manager: Manager, notify_socket: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": notify_socket})
    notifier.stopping(successor=4711)
    assert manager.told() == [["MAINPID=4711"]]


@pytest.mark.parametrize("pid", [{}, {"WATCHDOG_PID": PID}], ids=["anybody", "us"])
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(
    manager: Manager, notify_socket: str, pid: dict[str, str]
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": notify_socket, "WATCHDOG_USEC": "3000000", **pid})
    notifier.beat(10.0, "Serving")
    assert ["WATCHDOG=1"] in manager.told()
    assert notifier.next_beat(10.0) == 11.5
    notifier.beat(11.0, "Serving")
    assert manager.told() == []
    notifier.beat(11.5, "Serving")
    assert manager.told() == [["WATCHDOG=1"]]


@pytest.mark.parametrize(
    "environ",
    [{"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}],
)
def test_no_watchdog_of_ours(manager: Manager, notify_socket: str, environ: dict[str, str]) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": notify_socket, **environ})
    notifier.beat(10.0, None)
    assert manager.told() == []


def test_nobody_listens(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "3000000"})
    notifier.beat(1.0, "Serving")
    notifier.stopping()


def test_nobody_asked() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "3000000"})
    notifier.beat(1.0, "Serving")
    assert notifier.next_beat(1.0) is None
