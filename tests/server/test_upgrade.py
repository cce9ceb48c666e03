"""The binary upgrade: USR2, what follows from it, and the ways back."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import Client
from .load import Load
from .process import Server, Start, eventually, is_gone

APP = """
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("VERSION", "LISTEN_FDS", "FASTWSGI_FD", "FASTWSGI_PID")
    lines = [os.getppid(), os.getpid(), *(os.environ.get(name) for name in names)]
    return ["\\n".join(map(str, lines)).encode()]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project.py").write_text(APP)
    return tmp_path


@pytest.fixture
def later() -> Iterator[Callable[[int], int]]:
    """later(pid): end this process, which is no child of ours, with its workers, after the test."""
    pids: list[int] = []

    def note(pid: int) -> int:
        pids.append(pid)
        return pid

    yield note
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def under_load(address: str) -> Iterator[None]:
    """Clients ask all the time; all of them are answered."""
    with Load(address) as load:
        yield
    assert not load.failures, load.failures
    assert load.answered


def ask(address: str) -> list[str]:
    with Client.open(address) as client:
        response = client.get("/", ("Connection", "close"))
        assert response.status == 200
        return response.body.decode().split("\n")


def answered_by(master: int, server: Server, address: str) -> None:
    """Wait until a worker of `master` answers."""
    eventually(lambda: ask(address)[0] == str(master), server.explain)


def upgrade(server: Server, old: int) -> int:
    """Tell `old` to upgrade; the new master, once it has a worker."""
    seen = len(server.log)
    os.kill(old, signal.SIGUSR2)

    def started() -> re.Match[str] | None:
        return re.search(r"Started a new master \(pid:(\d+)\)", server.log[seen:])

    new = int(eventually(started, server.explain)[1])

    def has_worker() -> bool:
        children = Path(f"/proc/{new}/task/{new}/children").read_text().split()
        return any(f"Booting worker with pid: {child}\n" in server.log for child in children)

    eventually(has_worker, server.explain)
    return new


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")


def end_old(server: Server) -> None:
    """End the old master, and nothing else of the server."""
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_there_and_back_under_load(serve: Start, project: Path, later: Callable[[int], int]) -> None:
    pidfile = project / "x.pid"
    server = serve("project", "--workers", "2", "--pid", str(pidfile), cwd=project)
    address = server.url
    first = server.pid
    with under_load(address):
        second = later(upgrade(server, first))
        assert pidfile.read_text() == f"{first}\n"
        assert (project / "x.pid.2").read_text() == f"{second}\n"
        assert title(first) == "fastwsgi: master [project]"
        assert title(second) == "fastwsgi: master [project.2]"

        # back: the new one ends, the old one goes on, and can try again
        os.kill(second, signal.SIGTERM)
        server.wait_for_log(rf"The new master \(pid:{second}\) has ended with code 0: this one goes on")
        assert not (project / "x.pid.2").exists()
        answered_by(first, server, address)
        third = later(upgrade(server, first))

        # and there: the old one ends, the new one takes its place, and can be upgraded in turn
        os.kill(first, signal.SIGTERM)
        assert server.wait() == 0
        eventually(lambda: read(pidfile) == f"{third}\n", server.explain)
        assert not (project / "x.pid.2").exists()
        eventually(lambda: title(third) == "fastwsgi: master [project]", server.explain)
        fourth = later(upgrade(server, third))
        os.kill(third, signal.SIGTERM)
        eventually(lambda: read(pidfile) == f"{fourth}\n", server.explain)
        eventually(lambda: is_gone(third), server.explain)
        answered_by(fourth, server, address)
    os.kill(fourth, signal.SIGTERM)
    eventually(lambda: is_gone(fourth), server.explain)
    assert not pidfile.exists()
    assert "Traceback" not in server.log


def test_a_new_master_that_fails_changes_nothing(
    serve: Start, project: Path, later: Callable[[int], int]
) -> None:
    server = serve("project", "--bind", f"unix:{project}/s", "--pid", "x.pid", cwd=project)
    ask(server.url)
    with under_load(server.url):
        for broken, code in (("raise RuntimeError('broken')", 3), ("application = 1", 4)):
            (project / "project.py").write_text(broken)
            seen = len(server.log)
            server.signal(signal.SIGUSR2)
            said = rf"The new master \(pid:\d+\) has ended with code {code}: this one goes on"
            eventually(lambda said=said, seen=seen: re.search(said, server.log[seen:]), server.explain)
        assert not (project / "x.pid.2").exists()
        assert (project / "x.pid").read_text() == f"{server.pid}\n"
        (project / "project.py").write_text(APP)
        later(upgrade(server, server.pid))


def test_while_it_is_under_way_it_is_not_begun_again(
    serve: Start, project: Path, later: Callable[[int], int]
) -> None:
    server = serve("project", cwd=project)
    new = later(upgrade(server, server.pid))
    server.signal(signal.SIGUSR2)
    server.wait_for_log(rf"USR2 ignored: the new master \(pid:{new}\) is still there")
    os.kill(new, signal.SIGUSR2)
    server.wait_for_log(rf"USR2 ignored: the old master \(pid:{server.pid}\) is still there")


def test_a_unix_socket_outlives_all_masters_but_the_last(
    serve: Start, project: Path, later: Callable[[int], int]
) -> None:
    path = project / "s"
    server = serve("project", "--bind", f"unix:{path}", cwd=project)
    new = later(upgrade(server, server.pid))
    end_old(server)
    answered_by(new, server, f"unix:{path}")
    # only now it knows that the file is its own
    eventually(lambda: "The old master is gone" in server.log, server.explain)
    os.kill(new, signal.SIGTERM)
    eventually(lambda: is_gone(new), server.explain)
    assert not path.exists()


def test_the_new_master_is_started_as_the_old_one_was(
    serve: Start, project: Path, tmp_path: Path, later: Callable[[int], int]
) -> None:
    """In the same directory by its name: a deploy moves a link, and this is the next release."""
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "project.py").write_text(APP + f"os.environ['VERSION'] = '{release}'\n")
    (tmp_path / "project.py").unlink()
    current = tmp_path / "current"
    current.symlink_to("1")
    server = serve("project", cwd=current, env={"PWD": str(current)})
    assert ask(server.url)[2:] == ["1", "None", "None", "None"]
    current.unlink()
    current.symlink_to("2")
    new = later(upgrade(server, server.pid))
    end_old(server)
    assert ask(server.url)[0] == str(new)
    assert ask(server.url)[2:] == ["2", "None", "None", "None"]


SCRIPT = """
import os, sys, fastwsgi

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getppid()}\\n{sys.argv[1:]}".encode()]

fastwsgi.run(application, bind="127.0.0.1:0")
"""


@pytest.mark.parametrize("how", ["console script", "program", "python -c"])
def test_every_way_to_start_it(project: Path, tmp_path: Path, how: str, later: Callable[[int], int]) -> None:
    (project / "program.py").write_text(SCRIPT)
    script = Path(sys.executable).parent / "fastwsgi"
    command = {
        "console script": [str(script), "project", "--bind", "127.0.0.1:0"],
        "program": [sys.executable, "-X", "utf8", "program.py", "an argument"],
        "python -c": [sys.executable, "-c", SCRIPT, "an argument"],
    }[how]
    (tmp_path / "streams").mkdir()
    server = Server(command, tmp_path / "streams", cwd=project)
    try:
        before = ask(server.url)
        new = later(upgrade(server, server.pid))
        end_old(server)
        after = ask(server.url)
        assert (before[0], after[0]) == (str(server.pid), str(new))
        if how != "console script":
            assert after[1] == "['an argument']"
    finally:
        server.kill()


def test_nothing_else_is_passed_on(serve: Start, project: Path, later: Callable[[int], int]) -> None:
    server = serve("project", cwd=project)
    new = later(upgrade(server, server.pid))

    def open_files(pid: int) -> dict[int, str]:
        return {int(fd.name): os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}

    old_files, new_files = open_files(server.pid), open_files(new)
    shared = {name for fd, name in old_files.items() if fd > 2 and re.match(r"pipe|socket", name)}
    shared &= set(new_files.values())
    assert len(shared) == 1 + 2  # the listener, and the ends by which workers pass connections
    assert all(name.startswith("socket") for name in shared)


def test_the_hook_before_the_program_is_replaced(
    serve: Start, project: Path, later: Callable[[int], int]
) -> None:
    (project / "fastwsgi.conf.py").write_text(
        "import os\n"
        "def pre_exec(server):\n"
        "    server.log.info('pre_exec in %s, child of %s', os.getpid(), server.pid)\n"
    )
    server = serve("project", "-c", "fastwsgi.conf.py", cwd=project)
    new = later(upgrade(server, server.pid))
    server.wait_for_log(rf"pre_exec in {new}, child of {server.pid}")


def test_a_hook_that_fails_ends_the_attempt(serve: Start, project: Path) -> None:
    (project / "fastwsgi.conf.py").write_text("def pre_exec(server):\n    raise RuntimeError('not today')\n")
    server = serve("project", "-c", "fastwsgi.conf.py", cwd=project)
    server.signal(signal.SIGUSR2)
    server.wait_for_log("RuntimeError: not today")
    server.wait_for_log(r"The new master \(pid:\d+\) has ended with code 1")
    assert ask(server.url)[0] == str(server.pid)


def test_listeners_of_each_worker_are_passed_on(
    serve: Start, project: Path, later: Callable[[int], int]
) -> None:
    server = serve("project", "--reuse-port", "--workers", "3", cwd=project)
    with under_load(server.url):
        new = later(upgrade(server, server.pid))
        # the kernel gives it its share as soon as one of its workers can serve
        answered_by(new, server, server.url)
        end_old(server)
        assert ask(server.url)[0] == str(new)


class TestDaemon:
    @pytest.fixture
    def daemon(
        self, start: Start, project: Path, later: Callable[[int], int]
    ) -> Iterator[tuple[Server, int]]:
        server = start(
            "project", "--daemon", "--pid", "x.pid", "--bind", f"unix:{project}/s", "--log-file", "log",
            "--workers", "2", cwd=project,
        )  # fmt: skip
        assert server.wait() == 0, server.explain()
        pid = later(int((project / "x.pid").read_text()))
        yield server, pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: is_gone(pid), (project / "log").read_text)

    def test_it_serves_in_the_background(self, daemon: tuple[Server, int], project: Path) -> None:
        server, pid = daemon
        assert os.getsid(pid) not in (pid, os.getsid(0), server.pid)
        assert ask(f"unix:{project}/s")[0] == str(pid)
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)]
        assert links == [os.devnull] * 3

    def test_its_workers_rest_while_a_new_master_is_tried(
        self, daemon: tuple[Server, int], project: Path, later: Callable[[int], int]
    ) -> None:
        _, pid = daemon
        address = f"unix:{project}/s"
        log = project / "log"
        with under_load(address):
            os.kill(pid, signal.SIGUSR2)
            new = later(int(eventually(lambda: read(project / "x.pid.2"), log.read_text)))
            os.kill(pid, signal.SIGWINCH)
            children = Path(f"/proc/{pid}/task/{pid}/children")
            eventually(lambda: children.read_text().split() == [str(new)], log.read_text)
            assert ask(address)[0] == str(new)
            assert os.getsid(new) == os.getsid(pid)  # not in a background of its own
            os.kill(pid, signal.SIGHUP)
            eventually(lambda: len(children.read_text().split()) == 3, log.read_text)
            os.kill(new, signal.SIGTERM)
            eventually(lambda: is_gone(new), log.read_text)
        assert ask(address)[0] == str(pid)

    def test_what_keeps_it_from_starting_is_said(
        self, daemon: tuple[Server, int], start: Start, project: Path
    ) -> None:
        again = start("project", "--daemon", "--pid", "x.pid", "--bind", "127.0.0.1:0", cwd=project)
        assert again.wait() == 1
        assert f"Already running on PID {daemon[1]}" in again.log


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_terminal_that_changes_its_size_means_nothing(serve: Start, project: Path) -> None:
    server = serve("project", cwd=project)
    workers = server.wait_for_workers(1)
    server.signal(signal.SIGWINCH)
    server.wait_for_log("Handling signal: winch")
    server.signal(signal.SIGTTIN)
    assert set(workers) < set(server.wait_for_workers(2))


def test_a_reload_moves_the_pid_file(serve: Start, project: Path) -> None:
    conf = project / "fastwsgi.conf.py"
    conf.write_text("pidfile = 'a.pid'\n")
    server = serve("project", "-c", "fastwsgi.conf.py", cwd=project)
    ask(server.url)
    assert read(project / "a.pid") == f"{server.pid}\n"
    conf.write_text("pidfile = 'b.pid'\n")
    server.signal(signal.SIGHUP)
    eventually(lambda: read(project / "b.pid") == f"{server.pid}\n", server.explain)
    eventually(lambda: not (project / "a.pid").exists(), server.explain)
    server.wait_for_log("Reloaded:")
    (project / "b.pid").unlink()
    server.signal(signal.SIGHUP)
    eventually(lambda: read(project / "b.pid") == f"{server.pid}\n", server.explain)
