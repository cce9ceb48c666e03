"""Every signal while clients ask: what does not end the server costs nobody an answer."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .load import Load
from .process import Server, Start, eventually

TARGET = "/hello"


@contextmanager
def asked(server: Server) -> Iterator[Load]:
    """Clients ask meanwhile, and at the end every answer was whole."""
    with Load(server.url, TARGET) as load:
        eventually(lambda: load.answered > 20, server.explain)
        yield load
        answered = load.answered
        eventually(lambda: load.answered > answered + 20, server.explain)
    assert load.failures == [], server.explain()


def test_more_and_fewer_workers(serve: Start) -> None:
    server = serve("responses", "--workers", "1")
    with asked(server):
        for _ in range(2):
            for number, count in [
                (signal.SIGTTIN, 2),
                (signal.SIGTTIN, 3),
                (signal.SIGTTOU, 2),
                (signal.SIGTTOU, 1),
            ]:
                server.signal(number)
                server.wait_for_workers(count)
    assert server.stop() == 0


def test_reopening_the_logs(serve: Start, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = serve("responses", "--workers", "2", "--access-logfile", str(log))
    with asked(server) as load:
        for turn in range(3):
            log.rename(tmp_path / f"access.log.{turn}")
            server.signal(signal.SIGUSR1)
            eventually(lambda: log.exists() and log.stat().st_size > 0, server.explain)
    assert server.stop() == 0
    lines = [line for path in tmp_path.glob("access.log*") for line in path.read_text().splitlines()]
    assert len([line for line in lines if f'"GET {TARGET} HTTP/1.1" 200 ' in line]) == load.answered


def test_signals_that_mean_nothing_here(serve: Start) -> None:
    """WINCH where there is a terminal, and what a worker is sent by mistake."""
    server = serve("responses", "--workers", "2")
    before = server.wait_for_workers(2)
    with asked(server):
        server.signal(signal.SIGWINCH)
        server.wait_for_log("Handling signal: winch")
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU):
            os.kill(before[0], number)
    assert server.workers() == before
    assert server.stop() == 0


def test_a_worker_that_is_killed(serve: Start) -> None:
    """Who was being answered by it, and who was connected to it, has to ask again: nobody else."""
    server = serve("responses", "--workers", "3")
    victim = server.wait_for_workers(3)[0]
    with Load(server.url, TARGET, clients=3) as load:
        eventually(lambda: load.answered > 20, server.explain)
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log(rf"\[ERROR\] Worker \(pid:{victim}\) was sent SIGKILL! Perhaps out of memory\?$")
        eventually(lambda: victim not in server.wait_for_workers(3), server.explain)
        failed = len(load.failures)
        answered = load.answered
        eventually(lambda: load.answered > answered + 20, server.explain)
    assert len(load.failures) == failed <= 3, load.failures
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_the_end(serve: Start, number: signal.Signals) -> None:
    """All leave with code 0 and leave no worker; after TERM no answer is cut."""
    server = serve("responses", "--workers", "2")
    workers = server.wait_for_workers(2)
    with Load(server.url, TARGET) as load:
        eventually(lambda: load.answered > 20, server.explain)
        server.signal(number)
        assert server.wait() == 0
        load.over.set()
    # what is left are connections that nobody takes any more
    if number == signal.SIGTERM:
        assert all("Refused" in failure or "Reset" in failure for failure in load.failures), load.failures
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert "Traceback" not in server.log
