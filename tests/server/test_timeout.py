"""Calls that take longer than `timeout`: what the client gets, what the log says, and that all goes on."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client, request
from .process import Server, Start, eventually

STACK = r"most recent call last:\n((?:  .*\n)+)"
TEXT = b"504 Gateway Timeout: application did not answer in time\n"


@pytest.fixture
def server(serve: Start) -> Server:
    return serve("stuck", "--timeout", "1", "--access-logfile", "-")


@contextlib.contextmanager
def hanging(server: Server, path: str) -> Iterator[tuple[Client, int]]:
    """A connection whose request is stuck, and the worker in it, which the log has named."""
    with server.connect() as client:
        client.send(request("GET", path))
        yield client, int(server.wait_for_log(r"\[CRITICAL\] WORKER TIMEOUT \(pid:(\d+)\)$")[1])


def stack_of(server: Server, worker: int, path: str) -> list[str]:
    """The lines of source in the one record about this worker."""
    record = server.wait_for_log(
        rf"\[ERROR\] Worker \(pid:{worker}\) has been in GET {path} HTTP/1\.1 from 127\.0\.0\.1"
        rf" for (\d+\.\d) s, and is stuck here, {STACK}"
    )
    assert 1 <= float(record[1]) < 20
    assert server.news.count("most recent call last") == 1
    assert server.news.count("WORKER TIMEOUT") == 1
    lines = record[2].splitlines()
    assert all(re.match(r'  File ".*/stuck\.py", line \d+, in \w+$', line) for line in lines[::2])
    return [line.strip() for line in lines[1::2]]


def answer_504(client: Client, server: Server) -> None:
    answer = client.response()
    assert (answer.status, answer.body) == (504, TEXT), server.explain()
    assert answer.closes
    assert client.at_eof()


def serves_on(server: Server, worker: int) -> None:
    with server.connect() as client:
        assert client.get("/").body == b"as usual"
    assert worker not in server.workers()
    assert "out of memory" not in server.news


@pytest.mark.parametrize("path", ["/sleep", "/loop", "/cleanup", "/deaf", "/started", "/headers", "/close"])
def test_stuck_in_python(server: Server, path: str) -> None:
    with hanging(server, path) as (client, worker):
        if path == "/close":
            assert client.response().body == b"whole"  # was sent before
        else:
            answer_504(client, server)
    stack = stack_of(server, worker, path)
    assert stack[-1] in (("while True:", "pass") if path == "/loop" else ("time.sleep(3600)",))
    server.wait_for_log(rf"Worker \(pid:{worker}\) exited with code 1$")
    assert "Error handling request" not in server.news
    assert "cleaned up\n" in server.news or path != "/cleanup"
    if path != "/close":
        eventually(lambda: f'"GET {path} HTTP/1.1" 504' in server.output, server.explain)
    serves_on(server, worker)


@pytest.mark.parametrize("path", ["/c", "/started-c", "/wrong-c", "/first-c"])
def test_stuck_in_c_with_the_gil(server: Server, path: str) -> None:
    with hanging(server, path) as (client, worker):
        answer_504(client, server)
    stack = stack_of(server, worker, path)
    assert stack == ["lock_for_ever()", "libc.pthread_mutex_lock(mutex)"]
    server.wait_for_log(rf"Worker \(pid:{worker}\) does not leave: killed$")
    # the worker could not write it any more
    eventually(lambda: f'"GET {path} HTTP/1.1" 504' in server.output, server.explain)
    assert server.output.count(f'"GET {path} HTTP/1.1"') == 1
    serves_on(server, worker)


def test_a_head_request_gets_a_head(server: Server) -> None:
    with server.connect() as client:
        client.send(request("HEAD", "/c"))
        head = client.rest()
    assert head.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert head.endswith(b"\r\n\r\n")


def test_answers_before_it_are_not_lost(server: Server) -> None:
    with server.connect() as client:
        client.send(request("GET", "/1") + request("GET", "/2") + request("GET", "/c"))
        assert client.response().body == b"as usual"
        assert client.response().body == b"as usual"
        answer_504(client, server)


@pytest.mark.parametrize("path", ["/part", "/part-c"])
def test_part_of_an_answer_is_cut(server: Server, path: str) -> None:
    with hanging(server, path) as (client, worker):
        rest = client.rest()
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"\r\n\r\n4\r\npart\r\n")
    assert stack_of(server, worker, path)
    serves_on(server, worker)


def test_stuck_while_booting(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text("import time\n\ndef wait():\n    time.sleep(3600)\n\nwait()\n")
    server = start("hanging", "--bind", "127.0.0.1:0", "--timeout", "1", cwd=tmp_path)
    worker = int(server.wait_for_log(r"\[CRITICAL\] WORKER TIMEOUT \(pid:(\d+)\)$")[1])
    stack = server.wait_for_log(
        rf"\[ERROR\] Worker \(pid:{worker}\) has been booting for \d+\.\d s, and is stuck here, {STACK}"
    )[1]
    assert re.sub('"/.*/', '"', stack) == (
        '  File "hanging.py", line 6, in <module>\n    wait()\n'
        '  File "hanging.py", line 4, in wait\n    time.sleep(3600)\n'
    )
    server.wait_for_log(rf"(?s)pid:{worker}.*Booting worker")
    assert server.stop() == 0


def test_stuck_with_preload(serve: Start) -> None:
    server = serve("stuck", "--timeout", "1", "--preload")
    with hanging(server, "/c") as (client, worker):
        answer_504(client, server)
    assert stack_of(server, worker, "/c") == ["lock_for_ever()", "libc.pthread_mutex_lock(mutex)"]
    serves_on(server, worker)


def test_a_template_stuck_while_booting(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(3600)\n")
    server = start("hanging", "--bind", "127.0.0.1:0", "--timeout", "1", "--preload", cwd=tmp_path)
    stack = server.wait_for_log(
        rf"\[ERROR\] Template \(pid:\d+\) has been booting for \d+\.\d s, and is stuck here, {STACK}"
    )[1]
    assert re.sub('"/.*/', '"', stack) == '  File "hanging.py", line 2, in <module>\n    time.sleep(3600)\n'


def test_stuck_in_c_while_booting(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text("import stuck\nstuck.lock_for_ever()\n")
    server = start("hanging", "--bind", "127.0.0.1:0", "--timeout", "1", cwd=tmp_path)
    worker = int(server.wait_for_log(r"\[CRITICAL\] WORKER TIMEOUT \(pid:(\d+)\)$")[1])
    stack = server.wait_for_log(rf"\(pid:{worker}\) has been booting for .*, and is stuck here, {STACK}")[1]
    assert "stuck.lock_for_ever()" in stack
    server.wait_for_log(rf"Worker \(pid:{worker}\) does not leave: killed$")


def test_several_at_once(serve: Start) -> None:
    server = serve("stuck", "--timeout", "3", "--workers", "3")
    workers = server.wait_for_workers(3)
    with contextlib.ExitStack() as stack:
        for count in range(1, 4):  # who is stuck accepts nobody
            stack.enter_context(server.connect()).send(request("GET", "/c"))
            server.wait_for_log(rf"(?s)(lock for ever.*){{{count}}}")
        for worker in workers:
            record = server.wait_for_log(rf"Worker \(pid:{worker}\) has been in GET /c .*, {STACK}")
            assert record[1].count("File ") == 2


def test_a_crash_is_told(server: Server) -> None:
    with server.connect() as client:
        client.send(request("GET", "/crash"))
        assert client.rest() == b""
    record = server.wait_for_log(
        rf"Worker \(pid:\d+\) has been in GET /crash HTTP/1\.1 from 127\.0\.0\.1 for \d+\.\d s,"
        rf" and got the signal here, {STACK}"
    )
    assert record[1].splitlines()[-1].strip() == "libc.abort()"
    server.wait_for_log(r"Worker \(pid:\d+\) was sent SIGABRT!$")


def test_a_person_aborts_a_worker(server: Server) -> None:
    with server.connect() as client:
        client.send(request("GET", "/sleep"))
        (worker,) = server.wait_for_workers(1)
        reached = Path(f"/proc/{worker}/wchan")
        eventually(lambda: "nanosleep" in reached.read_text(), server.explain)
        os.kill(worker, signal.SIGABRT)
        answer_504(client, server)
    server.wait_for_log(rf"Worker \(pid:{worker}\) is in no request, and got the signal here, {STACK}")


@pytest.mark.parametrize("by", ["the environment", "the application"])
def test_with_faulthandler_enabled(serve: Start, tmp_path: Path, by: str) -> None:
    (tmp_path / "enabling.py").write_text(
        "import faulthandler\nfrom stuck import application\nfaulthandler.disable()\nfaulthandler.enable()\n"
    )
    if by == "the environment":
        server = serve("stuck", "--timeout", "1", env={"PYTHONFAULTHANDLER": "1"})
    else:
        server = serve("enabling", "--timeout", "1", cwd=tmp_path)
    with hanging(server, "/sleep") as (client, worker):
        answer_504(client, server)
    assert stack_of(server, worker, "/sleep")
    assert "Fatal Python error" not in server.log
    server.wait_for_log(rf"Worker \(pid:{worker}\) exited with code 1$")
