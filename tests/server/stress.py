"""Clients whose every answer must be theirs, while workers are killed, replaced, added and dismissed.

Who was connected to a worker when it was killed may lose that connection. Nothing else may happen to anybody:
no answer lost, cut, doubled or mixed up, no request called twice, no connection closed by the server.

    python -m tests.server.stress --minutes 10
    python -m tests.server.stress --minutes 2 -- --workers 4 --threads 8 --reuse-port
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .client import Client, request
from .process import Server, eventually

WORKERS = 3
FLAGS = ["--workers", str(WORKERS), "--max-requests", "300", "--max-requests-jitter", "200"]
CLIENTS = 10
SIZES = (0, 1, 100, 5_000, 60_000)
SLOW_SIZE = 400_000
"""More than sockets and queues hold: the server has to wait for a client that reads slowly."""
PIPELINED = 5
CONNECTION_MOST = 60
"""Requests of one connection."""
IDLE_S = 0.3
SHOWN = 5
FEWEST, MOST = 2, 4


@dataclass
class Tally:
    """What has happened to the clients, to one or to all."""

    answers: int = 0
    connections: int = 0
    killed: int = 0
    """Connections that ended when a worker had been killed."""
    closed: int = 0
    """Connections that the server ended, without a request being lost."""
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.answers += other.answers
        self.connections += other.connections
        self.killed += other.killed
        self.closed += other.closed
        self.wrong += other.wrong


class LostError(Exception):
    """The connection ended."""


class Asking(threading.Thread):
    """A client that asks all the time, on one connection after the other."""

    def __init__(self, server: Server, number: int, kills: list[float], over: threading.Event) -> None:
        super().__init__(name=f"client {number}")
        self.server = server
        self.number = number
        self.kills = kills
        self.over = over
        self.random = random.Random(number)
        self.tally = Tally()
        self.count = 0
        self.since = 0.0
        """When that was asked for which this connection has answered last: who answers is alive then."""

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.connection()
            except (LostError, OSError) as error:
                self.judge(error)
            except Exception as error:
                self.tally.wrong.append(f"{self.name}: {error!r}")

    def judge(self, error: Exception) -> None:
        """A connection has ended with a request unanswered. Was a worker killed that may have had it?"""
        if any(killed >= self.since for killed in list(self.kills)):
            self.tally.killed += 1
        else:
            self.tally.wrong.append(f"{self.name}: lost: {error!r}")

    def connection(self) -> None:
        self.since = time.monotonic()
        slow = self.random.random() < 0.1
        with self.server.connect(receive_buffer=4096 if slow else None) as client:
            self.tally.connections += 1
            for _ in range(self.random.randint(1, CONNECTION_MOST)):
                if self.over.is_set():
                    return
                asked = time.monotonic()
                last = self.slowly(client) if slow else self.several(client)
                self.since = asked
                if last:
                    self.tally.closed += 1
                    return
                if self.random.random() < 0.05 and self.idle(client):
                    return

    def idle(self, client: Client) -> bool:
        """Ask nothing for a while. True: the connection was closed meanwhile."""
        client.sock.settimeout(self.random.uniform(0, IDLE_S))
        try:
            ended = client.at_eof()
        except TimeoutError:
            return False
        finally:
            client.sock.settimeout(20)
        if not ended:
            raise ValueError(f"bytes that nobody has asked for: {client.buffer[:80]!r}")
        if any(killed >= self.since for killed in list(self.kills)):
            self.tally.killed += 1
        else:
            self.tally.closed += 1
        return True

    def several(self, client: Client) -> bool:
        """One request, or some at once. True: the server has said that the connection ends."""
        depth = self.random.choice((1, 1, 1, self.random.randint(2, PIPELINED)))
        sent = [self.make() for _ in range(depth)]
        data = b"".join(bytes_ for bytes_, _, _ in sent)
        if self.random.random() < 0.1:  # not all at once
            at = self.random.randrange(len(data))
            client.send(data[:at])
            time.sleep(0.002)
            data = data[at:]
        client.send(data)
        closes = [self.check(client, method, expected) for _, method, expected in sent]
        return any(closes)

    def make(self) -> tuple[bytes, str, tuple[str, bytes]]:
        """A request, its method, and what its answer must hold."""
        token = self.token()
        method = self.random.choice(("GET", "GET", "HEAD", "POST", "PUT"))
        wait = self.random.choice(("", "", "", "", "?1", "?15"))
        target = f"/{self.random.choice(('length', 'stream', 'body'))}/{token}{wait}"
        if method in ("GET", "HEAD"):
            return request(method, target), method, (token, b"")
        body = self.random.randbytes(self.random.choice(SIZES))
        if body and self.random.random() < 0.5:
            middle = len(body) // 2
            return (
                request(method, target, chunks=[part for part in (body[:middle], body[middle:]) if part]),
                method,
                (token, body),
            )
        return request(method, target, body=body), method, (token, body)

    def slowly(self, client: Client) -> bool:
        """A large answer, read in small steps."""
        token, body = self.token(), self.random.randbytes(SLOW_SIZE)
        client.send(request("POST", f"/{self.random.choice(('length', 'stream'))}/{token}", body=body))
        for _ in range(20):
            data = client.sock.recv(4096)
            if not data:
                raise LostError("at the end of a part of an answer")
            client.buffer += data
            time.sleep(0.002)
        return self.check(client, "POST", (token, body))

    def token(self) -> str:
        self.count += 1
        return f"{self.number}-{self.count}"

    def check(self, client: Client, method: str, expected: tuple[str, bytes]) -> bool:
        token, body = expected
        try:
            answer = client.response(method)
        except AssertionError as error:
            if "connection ended" in str(error):
                raise LostError(str(error)) from None
            raise
        if not answer.complete:
            raise LostError(f"in the answer to {token}")
        whole = b"" if method == "HEAD" else token.encode() + b":" + body + b"\n"
        if (answer.status, answer.header("x-token"), answer.body) != (200, token, whole):
            raise ValueError(f"{method} {token}: {answer.status} {answer.headers} {answer.body[:80]!r}")
        self.tally.answers += 1
        return answer.closes


class Disturbing:
    """What befalls the server meanwhile."""

    def __init__(self, server: Server, kills: list[float], generator: random.Random) -> None:
        self.server = server
        self.kills = kills
        self.random = generator
        self.workers = WORKERS
        self.done: Counter[str] = Counter()

    def one(self) -> None:
        what = self.random.choice((self.kill, self.reload, self.more, self.fewer))
        what()
        self.done[what.__name__] += 1

    def kill(self) -> None:
        workers = self.server.workers()
        if workers:
            # noted before it can be noticed
            self.kills.append(time.monotonic())
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(workers), signal.SIGKILL)

    def reload(self) -> None:
        self.server.signal(signal.SIGHUP)
        self.workers = WORKERS

    def more(self) -> None:
        if self.workers < MOST:
            self.workers += 1
            self.server.signal(signal.SIGTTIN)

    def fewer(self) -> None:
        if self.workers > FEWEST:
            self.workers -= 1
            self.server.signal(signal.SIGTTOU)


@dataclass
class Report:
    """What a run has found."""

    tally: Tally
    done: Counter[str]
    calls: int
    doubled: list[str]
    """Requests that were called more than once."""
    unanswered: int
    """Calls whose answers nobody has read: their connections ended with a worker that was killed."""

    def __str__(self) -> str:
        each = ", ".join(f"{count} x {name}" for name, count in sorted(self.done.items()))
        return (
            f"{self.tally.answers} answers on {self.tally.connections} connections; {each}; "
            f"{self.calls} calls; lost with a killed worker: {self.tally.killed} connections; "
            f"closed by the server: {self.tally.closed}; wrong: {len(self.tally.wrong)}; "
            f"called twice: {len(self.doubled)}"
        )


def stress(server: Server, calls: Path, seconds: float, pause_s: float, seed: int) -> Report:
    """Ask and disturb for so long. The server, of the application `called`, is left running."""
    kills: list[float] = []
    over = threading.Event()
    clients = [Asking(server, number, kills, over) for number in range(CLIENTS)]
    disturbing = Disturbing(server, kills, random.Random(seed))
    for client in clients:
        client.start()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            over.wait(disturbing.random.uniform(0.2, 2) * pause_s)
            disturbing.one()
            assert server.process.poll() is None, server.explain()
    finally:
        over.set()
        for client in clients:
            client.join()
    tally = Tally()
    for client in clients:
        tally.add(client.tally)
    called = Counter(calls.read_text().split())
    doubled = [token for token, count in called.items() if count > 1]
    return Report(tally, disturbing.done, called.total(), doubled, called.total() - tally.answers)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.server.stress", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--pause", type=float, default=1, help="seconds between disturbances, in the mean")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("flags", nargs="*", help=f"of the server (default: {' '.join(FLAGS)})")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calls = Path(folder) / "calls"
        server = start([sys.executable, "-m", "fastwsgi"], arguments.flags or FLAGS, Path(folder), calls)
        try:
            report = stress(server, calls, arguments.minutes * 60, arguments.pause, arguments.seed)
            code = server.stop()
        finally:
            server.kill()
    print(report)
    for wrong in report.tally.wrong[:SHOWN] + report.doubled[:SHOWN]:
        print(wrong)
    return 1 if code or report.tally.wrong or report.doubled or report.tally.closed else 0


def start(command: list[str], flags: list[str], folder: Path, calls: Path) -> Server:
    """A server of the application `called`, all of whose workers are there."""
    server = Server([*command, "called", "--bind", "127.0.0.1:0", *flags], folder, env={"CALLS": str(calls)})
    try:
        eventually(lambda: server.addresses and calls.exists(), server.explain)
    except BaseException:
        server.kill()
        raise
    return server


if __name__ == "__main__":
    sys.exit(main())
