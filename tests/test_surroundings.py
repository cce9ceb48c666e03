"""fastwsgi/surroundings.py: what its parts have to agree on."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastwsgi.errors import StartError
from fastwsgi.listeners import Listeners
from fastwsgi.origin import UPGRADE_VARIABLES, Origin
from fastwsgi.settings import Layer, Settings
from fastwsgi.surroundings import PROMOTION_PAUSE, Surroundings
from fastwsgi.systemd import LISTEN_VARIABLES


class World:
    """Makes surroundings in a directory, and hears what a service manager would."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, manager: socket.socket) -> None:
        self.directory = directory
        self.patch = patch
        self.manager = manager
        self.made: list[Listeners] = []

    def make(self, **settings: object) -> tuple[Surroundings, Listeners]:
        given = {"bind": f"unix:{self.directory}/s", "pidfile": str(self.directory / "x.pid"), **settings}
        made = Settings([Layer("test", given)])
        log: Any = logging.getLogger("test")
        listeners = Listeners(made)
        self.made.append(listeners)
        return Surroundings(made, log, Origin()), listeners

    def heard(self) -> list[str]:
        """The first line of each message since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.manager.recv(4096).decode().split("\n")[0])
            except BlockingIOError:
                return messages

    def files(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()} - {"notify"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in (*UPGRADE_VARIABLES, *LISTEN_VARIABLES, "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    # the titles of processes: this one's is not ours to change
    monkeypatch.setattr("fastwsgi.surroundings.set_title", lambda role, name: None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        world = World(tmp_path, monkeypatch, manager)
        yield world
        for listeners in world.made:
            listeners.close(keep_files=False)


def never(why: str) -> bool:
    raise AssertionError(why)


def test_a_life(world: World) -> None:
    surroundings, listeners = world.make()
    surroundings.enter()
    surroundings.listen(listeners, never)
    assert world.files() == {"s", "x.pid"}
    surroundings.beat(1.0, None)
    assert world.heard() == []
    surroundings.beat(2.0, "Serving")
    assert world.heard() == ["READY=1"]
    assert surroundings.next_beat(2.0) is None
    surroundings.reloading()
    surroundings.reloaded("Serving")
    assert world.heard() == ["RELOADING=1", "READY=1"]
    surroundings.stopping(listeners)
    assert world.heard() == ["STOPPING=1"]
    assert world.files() == {"x.pid"}  # workers may be there
    surroundings.leave()
    assert world.files() == set()


def test_another_server_runs(world: World) -> None:
    (world.directory / "x.pid").write_text(f"{os.getppid()}\n")
    surroundings, listeners = world.make()
    with pytest.raises(StartError, match="Already running"):
        surroundings.listen(listeners, never)
    surroundings.stopping(listeners)
    surroundings.leave()
    assert world.files() == {"x.pid"}


def test_beside_an_old_master_it_is_silent_until_that_is_gone(world: World) -> None:
    world.patch.setattr(os, "getppid", lambda: 2)
    world.patch.setenv("FASTWSGI_PID", "2")
    surroundings, listeners = world.make()
    surroundings.listen(listeners, never)
    assert world.files() == {"s", "x.pid.2"}
    surroundings.beat(1.0, "Serving")
    surroundings.reloading()
    surroundings.reloaded("Serving")
    assert world.heard() == []
    assert surroundings.next_beat(1.0) == 1.0 + PROMOTION_PAUSE

    world.patch.setattr(os, "getppid", lambda: 1)
    surroundings.beat(2.0, "Serving")
    assert world.files() == {"s", "x.pid"}
    assert world.heard() == ["READY=1"]


def test_a_new_master_that_ends_leaves_the_socket(world: World) -> None:
    world.patch.setenv("FASTWSGI_PID", str(os.getppid()))
    surroundings, listeners = world.make()
    surroundings.listen(listeners, never)
    surroundings.stopping(listeners)
    surroundings.leave()
    assert world.heard() == []
    assert world.files() == {"s"}


def test_an_old_master_that_ends_names_the_new_one(world: World) -> None:
    surroundings, listeners = world.make()
    surroundings.listen(listeners, never)
    surroundings.upgrade.new = 4711
    surroundings.stopping(listeners)
    surroundings.leave()
    assert world.heard() == ["MAINPID=4711"]
    assert world.files() == {"s"}


def test_a_child_that_is_no_worker(world: World, caplog: pytest.LogCaptureFixture) -> None:
    surroundings, _ = world.make()
    surroundings.upgrade.new = 4711
    assert not surroundings.reap(4712, 0)
    assert surroundings.reap(4711, 3)
    assert "The new master (pid:4711) has ended with code 3: this one goes on" in caplog.text


def test_other_settings(world: World, caplog: pytest.LogCaptureFixture) -> None:
    surroundings, listeners = world.make(raw_env=["SHOP=open"])
    surroundings.origin.set_environment(surroundings.settings.env)
    surroundings.listen(listeners, never)
    after, _ = world.make(raw_env=["TILL=1"], pidfile=str(world.directory / "y.pid"))
    surroundings.adopt(after.settings)
    assert ("SHOP" in os.environ, os.environ["TILL"]) == (False, "1")
    assert world.files() == {"s", "y.pid"}

    # the server goes on with the pid file it has
    wrong, _ = world.make(pidfile="/no/such/directory/x.pid")
    surroundings.adopt(wrong.settings)
    assert "No such file or directory" in caplog.text
    assert world.files() == {"s", "y.pid"}
    surroundings.stopping(listeners)
    surroundings.leave()
    assert world.files() == set()
    assert "TILL" not in os.environ


def test_what_a_worker_cannot_become_is_said_before(world: World) -> None:
    surroundings, _ = world.make(user=str(os.geteuid() + 1), daemon=True)
    world.patch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StartError, match="Can't run workers as user"):
        surroundings.enter()
