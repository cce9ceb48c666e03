"""What threads bring and cost: calls that wait overlap, short ones keep their rate, fast ones pass slow ones.

A bench by itself, as its clients have to wait at a pace of their own: `python -m bench.threads`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 3.0
ROUNDS = 5
SLOW_CLIENTS = 2
FAST_CLIENTS = 64
FAST_RATE = 1000.0
START_MOST_S = 20.0

APPLICATION = """
import time

def application(environ, start_response):
    wait = environ["QUERY_STRING"]
    if wait:
        time.sleep(int(wait) / 1000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world!"]
"""


class Connection:
    """A keep-alive connection that checks its answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), START_MOST_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, wait_ms: int = 0) -> None:
        self.send(wait_ms)
        self.receive()

    def send(self, wait_ms: int = 0) -> None:
        query = b"?%d" % wait_ms if wait_ms else b""
        self.socket.sendall(b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % query)

    def receive(self) -> None:
        answer = b""
        while not answer.endswith(b"\r\n\r\nHello, world!"):
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError(f"closed after {answer!r}")
            answer += data
        if not re.match(rb"HTTP/1\.1 200 ", answer):
            raise ConnectionError(f"answered {answer!r}")


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[int]:
    """A server with these flags, as its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "waiting.py").write_text(APPLICATION)
        command = [sys.executable, "-m", "fastwsgi", "waiting", "--bind", f"127.0.0.1:{port}", *flags]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([folder, os.getcwd()])}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                deadline = time.monotonic() + START_MOST_S
                while time.monotonic() < deadline:
                    with contextlib.suppress(OSError):
                        Connection(port).get()
                        break
                yield port
            finally:
                process.send_signal(signal.SIGTERM)


def overlap(threads: int, wait_ms: int) -> float:
    """Requests a second of twice as many clients as there are threads."""
    with serving("--threads", str(threads)) as port:
        end = time.monotonic() + SECONDS
        counts: list[int] = []

        def ask() -> None:
            connection, count = Connection(port), 0
            while time.monotonic() < end:
                connection.get(wait_ms)
                count += 1
            counts.append(count)

        clients = [threading.Thread(target=ask) for _ in range(2 * threads)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return sum(counts) / SECONDS


def hello(port: int) -> float:
    """Requests a second, of 32 connections in lockstep."""
    connections = [Connection(port) for _ in range(32)]
    count, end = 0, time.monotonic() + SECONDS / 3
    while time.monotonic() < end:
        for connection in connections:
            connection.send()
        for connection in connections:
            connection.receive()
        count += len(connections)
    return count / (SECONDS / 3)


def fast_beside_slow(*flags: str) -> tuple[float, float]:
    """Median and 99th percentile (ms) of fast requests at a steady rate beside clients on a 50 ms page."""
    with serving(*flags) as port:
        stop = threading.Event()

        def wait() -> None:
            connection = Connection(port)
            while not stop.is_set():
                connection.get(50)

        slow = [threading.Thread(target=wait) for _ in range(SLOW_CLIENTS)]
        for client in slow:
            client.start()
        connections = [Connection(port) for _ in range(FAST_CLIENTS)]
        times, due = [], time.perf_counter()
        for number in range(int(SECONDS * FAST_RATE)):
            while time.perf_counter() < due:
                time.sleep(0.0001)
            begun = time.perf_counter()
            connections[number % FAST_CLIENTS].get()
            times.append((time.perf_counter() - begun) * 1000)
            due = max(due + 1 / FAST_RATE, begun)
        stop.set()
        for client in slow:
            client.join()
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


def main() -> None:
    found = overlap(8, 5)
    print(f"8 threads, 5 ms: {found:.0f} req/s, {found / 1600:.1%} of 8/5ms (goal: 90 %)")
    with serving() as sync, serving("--threads", "4") as threaded:
        pairs = [(hello(sync), hello(threaded)) for _ in range(ROUNDS)]
    plain, with_threads = (statistics.median(each) for each in zip(*pairs, strict=True))
    share = with_threads / plain - 1
    print(f"hello: sync {plain:.0f}, --threads 4 {with_threads:.0f} req/s, {share:+.1%} (goal: within 5 %)")
    median, p99 = fast_beside_slow("--workers", "1", "--threads", "4")
    print(f"fast beside 2 on a 50 ms page, 1 worker, 4 threads: p50 {median:.2f}, p99 {p99:.2f} ms (goal: 2)")


if __name__ == "__main__":
    main()
