"""fastwsgi/arbiter.py and workers/base.py: a real server, its processes and its log."""

import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server.process import Server, eventually

from fastwsgi.app.base import GivenApplication
from fastwsgi.arbiter import Arbiter

APP = """
import atexit, os, pathlib, signal, sys, threading, time
here = pathlib.Path(__file__).parent

def leave():
    (here / "atexit").write_text(str(os.getpid()))
atexit.register(leave)

def wait_for_the_end():
    threading.main_thread().join()
    (here / "thread").write_text(str(os.getpid()))
threading.Thread(target=wait_for_the_end).start()

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        (here / "hanging").touch()
        time.sleep(3600)
    if path == "/deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(3600)
    if path == "/wait":
        (here / "waiting").touch()
        while not (here / "go").exists():
            time.sleep(0.01)
    if path == "/exit":
        sys.exit(5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(*flags): a server of APP, which is in tmp_path/project.py, that may fail to start."""
    (tmp_path / "project.py").write_text(APP)
    started: list[Server] = []

    def new(*flags: str, spec: str = "project") -> Server:
        bind = [] if "--bind" in flags else ["--bind", "127.0.0.1:0"]
        command = [sys.executable, "-m", "fastwsgi", spec, *bind, *flags]
        directory = tmp_path / f"streams-{len(started)}"
        directory.mkdir()
        started.append(Server(command, directory, cwd=tmp_path))
        return started[-1]

    yield new
    for server in started:
        server.kill()


def pid_of_answer(server: Server) -> int:
    """Of the worker that answers now."""
    with server.connect() as client:
        return int(client.get("/").body)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def lines(server: Server) -> list[str]:
    """What the log says, without times and process ids."""
    return [re.sub(r"^\[.*?\] \[\d+\] ", "", line) for line in server.log.splitlines()]


def test_from_start_to_end(start: Start, tmp_path: Path) -> None:
    server = start("--workers", "2")
    workers = server.wait_for_workers(2)
    assert pid_of_answer(server) in workers
    eventually(lambda: server.log.count("Booting worker") == 2, server.explain)
    assert server.stop() == 0
    assert all(is_gone(pid) for pid in workers)
    log = lines(server)
    assert re.fullmatch(r"\[INFO\] Starting fastwsgi \d+\.\d+\.\d+", log[0])
    assert log[1:4] == [
        f"[INFO] Listening at: {server.url} ({server.pid})",
        "[INFO] Using worker: sync",
        "[INFO] Number of workers: 2",
    ]
    assert set(log[4:6]) == {f"[INFO] Booting worker with pid: {pid}" for pid in workers}
    assert {f"[INFO] Worker exiting (pid: {pid})" for pid in workers} < set(log)
    assert "[INFO] Handling signal: term" in log
    assert log[-1] == "[INFO] Shutting down: Master"
    assert (tmp_path / "atexit").read_text() in map(str, workers)
    assert (tmp_path / "thread").read_text() in map(str, workers)


def test_the_start_says_which_settings_are_used(start: Start, tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("log_level = 'debug'\nasgi_loop = 'uvloop'\n")
    server = start("--config", str(tmp_path / "conf.py"))
    server.wait_for_workers(1)
    assert lines(server)[1:4] == [
        f"[INFO] Using configuration: {tmp_path}/conf.py",
        f"[WARNING] log_level in {tmp_path}/conf.py is no setting; did you mean 'loglevel'?",
        "[WARNING] These settings have no effect: asgi_loop (fastwsgi serves WSGI applications only)",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_quick_end(start: Start, number: signal.Signals) -> None:
    server = start()
    pid_of_answer(server)
    server.signal(number)
    assert server.wait() == 0
    assert lines(server)[-1] == "[INFO] Shutting down: Master"


def test_a_quick_end_does_not_wait_for_a_stuck_request(start: Start, tmp_path: Path) -> None:
    server = start("--graceful-timeout", "3600", "--timeout", "0")
    with server.connect() as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually((tmp_path / "hanging").exists, server.explain)
        server.signal(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        server.signal(signal.SIGINT)
        assert server.wait() == 0
    assert "does not leave: killed" in server.log
    assert "out of memory" not in server.log


def test_asked_twice_it_does_not_wait_at_all(start: Start, tmp_path: Path) -> None:
    server = start()
    with server.connect() as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually((tmp_path / "hanging").exists, server.explain)
        for _ in range(2):
            server.signal(signal.SIGINT)
        assert server.wait() == 0


def test_a_graceful_end_lets_a_request_finish(start: Start, tmp_path: Path) -> None:
    server = start()
    worker = pid_of_answer(server)
    with server.connect() as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually((tmp_path / "waiting").exists, server.explain)
        server.signal(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        os.kill(worker, signal.SIGTERM)  # once more, so that it has it for certain before it goes on
        (tmp_path / "go").touch()
        response = client.response()
        assert (response.status, response.body) == (200, str(worker).encode())
        assert response.closes
    assert server.wait() == 0


def test_a_graceful_end_has_an_end(start: Start, tmp_path: Path) -> None:
    server = start("--graceful-timeout", "0", "--timeout", "0")
    with server.connect() as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually((tmp_path / "hanging").exists, server.explain)
        assert server.stop() == 0
    assert "does not leave: killed" in server.log


def test_a_killed_worker_is_replaced(start: Start) -> None:
    server = start()
    worker = pid_of_answer(server)
    os.kill(worker, signal.SIGKILL)
    server.wait_for_log(rf"\[ERROR\] Worker \(pid:{worker}\) was sent SIGKILL! Perhaps out of memory\?$")
    assert pid_of_answer(server) != worker
    assert server.stop() == 0


def test_a_worker_told_to_go_is_replaced(start: Start) -> None:
    server = start()
    worker = pid_of_answer(server)
    os.kill(worker, signal.SIGTERM)
    server.wait_for_log(rf"Worker exiting \(pid: {worker}\)")
    assert pid_of_answer(server) != worker


def test_an_application_that_exits_ends_its_request_only(start: Start) -> None:
    server = start()
    worker = pid_of_answer(server)
    with server.connect() as client:
        assert client.get("/exit").status == 500
    server.wait_for_log("^SystemExit: 5$")
    assert pid_of_answer(server) == worker


def test_after_max_requests_a_worker_is_replaced(start: Start) -> None:
    server = start("--max-requests", "3")
    seen = [pid_of_answer(server) for _ in range(3)]
    assert len(set(seen)) == 1
    server.wait_for_log(rf"\[{seen[0]}\] \[INFO\] Autorestarting worker after current request\.$")
    server.wait_for_log(rf"Worker exiting \(pid: {seen[0]}\)")
    assert pid_of_answer(server) != seen[0]


def test_an_orphan_that_ends_is_no_news(start: Start, tmp_path: Path) -> None:
    """As the first process of a container the arbiter is given orphans, and with --preload as well."""
    (tmp_path / "orphan.py").write_text(
        "import subprocess\n"
        "subprocess.run(['sh', '-c', 'sleep 0.05 & echo $! > orphan'], check=True)\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'0']\n"
    )
    server = start("--preload", "--log-level", "debug", spec="orphan")
    server.wait_for_log("Booting worker")
    orphan = (tmp_path / "orphan").read_text().strip()
    server.wait_for_log(rf"\[DEBUG\] Reaped a child that is no worker \(pid:{orphan}\)$")
    assert pid_of_answer(server) == 0


def test_more_and_fewer_workers(start: Start) -> None:
    server = start()
    (first,) = server.wait_for_workers(1)
    pid_of_answer(server)
    server.signal(signal.SIGTTIN)
    server.wait_for_workers(2)
    server.signal(signal.SIGTTOU)
    (left,) = server.wait_for_workers(1)
    assert left != first  # the oldest goes
    server.signal(signal.SIGTTOU)
    server.wait_for_log("(?s)Handling signal: ttou.*Handling signal: ttou")
    assert pid_of_answer(server) == left


@pytest.mark.parametrize(("daemon", "left"), [(False, 3), (True, 0)])
def test_winch_is_for_daemons(tmp_path: Path, daemon: bool, left: int) -> None:
    settings = {"workers": 3, "errorlog": str(tmp_path / "log"), "daemon": daemon}
    arbiter = Arbiter(GivenApplication("nothing", settings, "test"))
    arbiter.handle_signal(signal.SIGWINCH)
    assert arbiter.num_workers == left
    arbiter.close()


def test_the_board_has_room_for_two_generations(tmp_path: Path) -> None:
    settings = {"workers": 300, "errorlog": str(tmp_path / "log")}
    arbiter = Arbiter(GivenApplication("nothing", settings, "test"))
    assert arbiter.num_workers == 300
    arbiter.num_workers = 100_000
    assert arbiter.num_workers == 300
    assert "There is room for 300 workers, not for 100000" in (tmp_path / "log").read_text()
    arbiter.close()


def test_signals_that_end_nobody(start: Start) -> None:
    server = start()
    worker = pid_of_answer(server)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        server.signal(number)
        server.wait_for_log(f"Handling signal: {number.name.removeprefix('SIG').lower()}")
        os.kill(worker, number)
    os.kill(worker, signal.SIGHUP)
    assert pid_of_answer(server) == worker
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("spec", "code", "message", "reason"),
    [
        ("broken", 3, "ZeroDivisionError: division by zero", "Worker failed to boot."),
        ("syntax", 3, "SyntaxError", "Worker failed to boot."),
        ("leaving", 3, "SystemExit: 0", "Worker failed to boot."),
        ("projekt", 3, "did you mean 'project'?", "Worker failed to boot."),
        ("project:applikation", 4, "did you mean 'application'?", "App failed to load."),
        ("project:here", 4, "project:here is no WSGI application", "App failed to load."),
    ],
)
def test_a_first_start_that_fails(
    start: Start, tmp_path: Path, spec: str, code: int, message: str, reason: str
) -> None:
    (tmp_path / "broken.py").write_text("def f():\n    1 / 0\nf()\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    server = start(spec=spec)
    assert server.wait() == code
    assert message in server.log
    assert lines(server)[-1] == f"[ERROR] Reason: {reason}"
    assert server.log.count("Booting worker") == 1
    assert "fastwsgi/" not in server.log and "importlib" not in server.log  # the application's frames only


def test_a_later_worker_that_cannot_boot_does_not_end_the_server(start: Start, tmp_path: Path) -> None:
    server = start("--workers", "2")
    first, second = server.wait_for_workers(2)
    server.wait_for_log("(?s)Booting worker.*Booting worker")
    pid_of_answer(server)
    (tmp_path / "project.py").write_text("1 / 0\n")
    os.kill(first, signal.SIGKILL)
    server.wait_for_log("(?s)(ZeroDivisionError.*){3}")
    (left,) = {first, second} - {first}
    assert pid_of_answer(server) == left
    (tmp_path / "project.py").write_text(APP)
    server.wait_for_workers(2)
    os.kill(left, signal.SIGKILL)
    assert pid_of_answer(server) != left
    assert server.stop() == 0


def test_a_worker_stuck_in_a_request(start: Start) -> None:
    server = start("--timeout", "1")
    worker = pid_of_answer(server)
    with server.connect() as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for_log(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{worker}\)$")
        client.rest()
    stuck = server.wait_for_log(r"is stuck here, most recent call last:\n((?:  .*\n)+)")[1]
    assert re.fullmatch(
        r'  File ".*/project\.py", line \d+, in application\n    time\.sleep\(3600\)\n', stuck
    )
    server.wait_for_log(rf"Worker \(pid:{worker}\) exited with code 1$")
    assert pid_of_answer(server) != worker


def test_a_worker_that_cannot_even_be_aborted(start: Start) -> None:
    server = start("--timeout", "1")
    worker = pid_of_answer(server)
    with server.connect() as client:
        client.send(b"GET /deaf HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for_log(rf"Worker \(pid:{worker}\) does not leave: killed")
        eventually(lambda: is_gone(worker), server.explain)
    assert pid_of_answer(server) != worker
    assert "out of memory" not in server.log


def test_a_worker_that_hangs_while_it_boots(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(3600)\n")
    server = start("--timeout", "1", spec="slow")
    worker = server.wait_for_log(r"WORKER TIMEOUT \(pid:(\d+)\)")[1]
    server.wait_for_log(r'File ".*/slow\.py", line 2, in <module>')
    server.wait_for_log(rf"(?s)pid:{worker}.*Booting worker")
    assert server.stop() == 0


def test_an_end_while_workers_boot(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('slow').touch()\ntime.sleep(3600)\n"
    )
    server = start(spec="slow")
    eventually((tmp_path / "slow").exists, server.explain)
    os.kill(*server.workers(), signal.SIGINT)  # as a terminal does: to everybody
    assert server.stop() == 0
    assert "Exception" not in server.log


def test_without_an_arbiter_workers_leave(start: Start) -> None:
    server = start("--workers", "2")
    workers = server.wait_for_workers(2)
    pid_of_answer(server)
    os.kill(server.pid, signal.SIGKILL)
    for pid in workers:
        eventually(lambda pid=pid: is_gone(pid), server.explain)


def test_a_worker_keeps_nothing_of_the_arbiter_but_what_it_needs(start: Start) -> None:
    def open_files(pid: int) -> list[str]:
        return [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if int(entry.name) > 2]

    server = start("--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0")
    worker = pid_of_answer(server)
    files = open_files(worker)
    shared = [name for name in files if name in open_files(server.pid) and not name.startswith("anon_inode:")]
    # the listeners, and both ends by which workers pass connections to each other
    assert sum(name.startswith("socket:") for name in shared) == 2 + 2
    assert sum("fastwsgi-share" in name for name in shared) == 2  # the mapping has one of its own
    # one hangs up when the arbiter is gone, into the other the worker tells that there is news on the board
    assert sum(name.startswith("pipe:") for name in shared) == 2
    # for the stack of a worker that does not come back; one is opened anew
    assert sum("fastwsgi-stacks" in name for name in shared) == 2
    assert len(shared) == 10
    assert files.count("anon_inode:[eventpoll]") == 1  # the loop's own


def test_the_environment_tells_where_the_application_is_mounted(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mounted.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [f\"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}\".encode()]\n"
    )
    server = start("--env", "SCRIPT_NAME=/shop", spec="mounted")
    with server.connect() as client:
        assert client.get("/shop/cart").body == b"/shop /cart"


def test_a_unix_socket_goes_with_the_server(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = start("--bind", f"unix:{path}")
    assert server.url == f"unix:{path}"
    pid_of_answer(server)
    assert server.stop() == 0
    assert not path.exists()


def test_a_port_in_use_is_tried_again(start: Start) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        server = start("--bind", address)
        server.wait_for_log(rf"\[ERROR\] Can't listen on {address}: Address already in use\. Retrying")
    assert server.url == f"http://{address}"
    pid_of_answer(server)


def test_an_end_while_a_port_is_in_use(start: Start) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as holder:
        server = start("--bind", f"127.0.0.1:{holder.getsockname()[1]}")
        server.wait_for_log("Retrying")
        assert server.stop() == 0
    assert "Booting worker" not in server.log


@pytest.mark.parametrize("bind", ["192.0.2.1.5:80", "unix:/no/such/directory/s", "unix:project.py"])
def test_an_address_that_cannot_be_listened_on(start: Start, bind: str) -> None:
    server = start("--bind", bind)
    assert server.wait() == 1
    assert "[CRITICAL]" in lines(server)[-1]
    assert "Traceback" not in server.log
