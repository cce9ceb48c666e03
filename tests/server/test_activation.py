"""Sockets that somebody else opens, and what a service manager is told."""

import os
import re
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client
from .process import DEADLINE, Server, eventually, is_gone

APP = """
import os
from pathlib import Path

Path(f"importing-{os.getppid()}").touch()
while Path("gate").exists():
    pass

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = [name for name in os.environ if name.startswith(("LISTEN_", "FASTWSGI_"))]
    return [f"{os.getppid()} {names}".encode()]
"""

# What a service manager does: opens the sockets, puts them where they are expected, and becomes the server.
LAUNCHER = """
import fcntl, os, socket, sys
specs, names, *command = sys.argv[1:]
sockets = []
for spec in specs.split(","):
    sock = socket.socket(socket.AF_UNIX if "/" in spec else socket.AF_INET)
    sock.bind(spec if "/" in spec else ("127.0.0.1", 0))
    sock.listen(16)
    # out of the way of those that come to stand at 3, 4, ...
    sockets.append(fcntl.fcntl(sock, fcntl.F_DUPFD, 100))
for number, fd in enumerate(sockets, 3):
    os.dup2(fd, number)
    os.close(fd)
if names:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


class Manager:
    """A service manager: starts servers and hears what they say."""

    def __init__(self, directory: Path, command: list[str], sock: socket.socket) -> None:
        self.directory = directory
        self.command = command
        self.sock = sock
        self.started: list[Server] = []

    def start(self, specs: str, *arguments: str, names: str = "", **env: str) -> Server:
        """A server with the sockets of `specs`; with `names` it is told of them."""
        command = [sys.executable, "-c", LAUNCHER, specs, names] if specs else []
        env["NOTIFY_SOCKET"] = str(self.sock.getsockname())
        streams = self.directory / f"streams-{len(self.started)}"
        streams.mkdir()
        server = Server([*command, *self.command, *arguments], streams, self.directory, env)
        self.started.append(server)
        return server

    def heard(self) -> list[str]:
        """The lines of the next message."""
        return self.sock.recv(4096).decode().split("\n")

    def has_heard(self) -> bool:
        return bool(select.select([self.sock], [], [], 0)[0])


@pytest.fixture
def manager(command: list[str], tmp_path: Path) -> Iterator[Manager]:
    (tmp_path / "project.py").write_text(APP)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(DEADLINE)
        manager = Manager(tmp_path, command, sock)
        yield manager
        for server in manager.started:
            server.kill()


def ask(address: str) -> str:
    with Client.open(address) as client:
        response = client.get("/", ("Connection", "close"))
        assert response.status == 200
        return response.body.decode()


class TestSockets:
    def test_of_systemd(self, manager: Manager) -> None:
        path = manager.directory / "s"
        server = manager.start(f"tcp,{path}", "project", "--bind", "127.0.0.1:1", names="web:local")
        tcp, unix = server.addresses  # and nothing at the address of --bind
        assert unix == f"unix:{path}"
        for address in (tcp, unix):
            assert ask(address) == f"{server.pid} []"
        assert server.stop() == 0
        assert path.exists()

    def test_by_number(self, manager: Manager) -> None:
        path = manager.directory / "s"
        server = manager.start(f"{path},tcp", "project", "--bind", "fd://3", "--bind", "fd://4")
        unix, tcp = server.addresses
        for address in (tcp, unix):
            assert ask(address) == f"{server.pid} []"
        assert server.stop() == 0
        assert path.exists()

    def test_for_somebody_else(self, manager: Manager) -> None:
        server = manager.start("", "project", "--bind", "127.0.0.1:0", LISTEN_PID="1", LISTEN_FDS="1")
        assert ask(server.url) == f"{server.pid} []"

    def test_what_is_none(self, manager: Manager) -> None:
        server = manager.start("", "project", "--bind", "fd://77")
        assert server.wait() == 1
        assert "Can't listen on fd://77: Bad file descriptor" in server.log
        assert "Traceback" not in server.log

    def test_an_upgrade_keeps_them_systemds(self, manager: Manager) -> None:
        path = manager.directory / "s"
        server = manager.start(f"tcp,{path}", "project", names="web:local")
        assert manager.heard()[0] == "READY=1"
        server.signal(signal.SIGUSR2)
        new = int(server.wait_for_log(r"Started a new master \(pid:(\d+)\)")[1])
        eventually(lambda: len(list(manager.directory.glob("importing-*"))) == 2, server.explain)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert manager.heard() == [f"MAINPID={new}"]
        assert ask(f"unix:{path}") == f"{new} []"
        ready, _, main_pid = manager.heard()
        assert (ready, main_pid) == ("READY=1", f"MAINPID={new}")
        os.kill(new, signal.SIGTERM)
        assert manager.heard()[0] == "STOPPING=1"
        eventually(lambda: is_gone(new), server.explain)
        assert not manager.has_heard()
        assert path.exists()

    def test_an_abstract_address(self, manager: Manager) -> None:
        name = f"@fastwsgi-test-{os.getpid()}"
        server = manager.start("", "project", "--bind", f"unix:{name}")
        assert server.url == f"unix:{name}"
        assert ask(f"unix:\0{name[1:]}") == f"{server.pid} []"
        assert server.stop() == 0


class TestMessages:
    def test_ready_is_when_a_worker_serves(self, manager: Manager) -> None:
        gate = manager.directory / "gate"
        gate.touch()
        server = manager.start("", "project", "--bind", "127.0.0.1:0")
        eventually((manager.directory / f"importing-{server.pid}").exists, server.explain)
        assert server.addresses
        assert not manager.has_heard()
        gate.unlink()
        assert manager.heard() == ["READY=1", f"STATUS=Serving at {server.url}", f"MAINPID={server.pid}"]
        server.signal(signal.SIGTERM)
        assert manager.heard()[0] == "STOPPING=1"
        assert server.wait() == 0
        assert not manager.has_heard()

    def test_a_server_that_cannot_start_is_never_ready(self, manager: Manager) -> None:
        (manager.directory / "project.py").write_text("application = 1")
        server = manager.start("", "project", "--bind", "127.0.0.1:0")
        assert server.wait() == 4
        assert manager.heard()[0] == "STOPPING=1"
        assert not manager.has_heard()

    def test_reloads(self, manager: Manager) -> None:
        server = manager.start("", "project", "--bind", "127.0.0.1:0")
        assert manager.heard()[0] == "READY=1"
        server.signal(signal.SIGHUP)
        begun = manager.heard()
        assert begun[0] == "RELOADING=1"
        assert re.fullmatch(r"MONOTONIC_USEC=\d+", begun[1])
        assert manager.heard() == ["READY=1", f"STATUS=Serving at {server.url}", f"MAINPID={server.pid}"]
        # one that is given up is over as well
        (manager.directory / "project.py").write_text("raise RuntimeError")
        server.signal(signal.SIGHUP)
        assert [manager.heard()[0] for _ in range(2)] == ["RELOADING=1", "READY=1"]
        server.wait_for_log("Reload abandoned")

    def test_the_watchdog_is_fed(self, manager: Manager) -> None:
        server = manager.start(
            "", "project", "--bind", "127.0.0.1:0", "--timeout", "0", WATCHDOG_USEC="20000"
        )
        heard = [manager.heard() for _ in range(5)]
        assert heard.count(["WATCHDOG=1"]) == 4, server.explain()
        assert sum(message[0] == "READY=1" for message in heard) == 1

    def test_the_watchdog_of_another_is_not(self, manager: Manager) -> None:
        server = manager.start("", "project", "--bind", "127.0.0.1:0", WATCHDOG_USEC="1000", WATCHDOG_PID="1")
        assert manager.heard()[0] == "READY=1"
        server.signal(signal.SIGTERM)
        assert manager.heard()[0] == "STOPPING=1"
