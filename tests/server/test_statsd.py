"""Metrics of a running server, as a statsd server receives them."""

import re
import signal
import socket
from collections.abc import Iterator

import pytest

from .process import Start


@pytest.fixture
def statsd() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)
        yield sock


def wait_for(statsd: socket.socket, pattern: str) -> re.Match[str]:
    """The next datagram that is like this; others may come before it."""
    seen = []
    while True:
        try:
            seen.append(statsd.recv(1000).decode())
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} among {seen}") from None
        if match := re.fullmatch(pattern, seen[-1]):
            return match


@pytest.mark.parametrize("log", [[], ["--access-logfile", "-"]])
def test_requests(serve: Start, statsd: socket.socket, log: list[str]) -> None:
    host, port = statsd.getsockname()
    server = serve("broken", "--statsd-host", f"{host}:{port}", "--statsd-prefix", "shop", *log)
    with server.connect() as client:
        assert client.get("/hello").status == 200
        assert float(wait_for(statsd, r"shop\.gunicorn\.request\.duration:([\d.]+)\|ms")[1]) >= 0
        assert statsd.recv(1000) == b"shop.gunicorn.requests:1|c|@1.0"
        assert statsd.recv(1000) == b"shop.gunicorn.request.status.200:1|c|@1.0"
        assert client.get("/raises").status == 500
        wait_for(statsd, r"shop\.gunicorn\.log\.(error|exception):1\|c\|@1\.0")
        wait_for(statsd, r"shop\.gunicorn\.request\.status\.500:1\|c\|@1\.0")
    assert server.output.count("\n") == (2 if log else 0)


def test_the_number_of_workers(serve: Start, statsd: socket.socket) -> None:
    host, port = statsd.getsockname()
    server = serve("broken", "--statsd-host", f"{host}:{port}", "--dogstatsd-tags", "a:b")
    wait_for(statsd, r"gunicorn\.workers:1\|g\|#a:b")
    server.signal(signal.SIGTTIN)
    wait_for(statsd, r"gunicorn\.workers:2\|g\|#a:b")
    server.signal(signal.SIGTTOU)
    wait_for(statsd, r"gunicorn\.workers:1\|g\|#a:b")


def test_the_backlog(serve: Start, statsd: socket.socket) -> None:
    host, port = statsd.getsockname()
    serve("broken", "--statsd-host", f"{host}:{port}", "--enable-backlog-metric")
    for _ in range(2):  # again and again, though nothing happens
        wait_for(statsd, r"gunicorn\.backlog:0\|h")
