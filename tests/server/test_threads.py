"""Several threads of one worker: calls overlap, nothing is mixed up, one that is stuck harms no other."""

import contextlib
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
import websocket

from .client import Client, request
from .process import Server, Start, eventually

THREADS = 4


@pytest.fixture
def server(start: Start) -> Server:
    return start("threads", "--bind", "127.0.0.1:0", "--threads", str(THREADS), "--timeout", "0")


def test_calls_overlap(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(THREADS)]
        for number, client in enumerate(clients):
            client.send(request("GET", f"/meet?{number}"))
        for number, client in enumerate(clients):
            assert client.response().body == f"{number} True".encode()


def test_others_are_served_while_calls_wait(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(server.connect()) for _ in range(THREADS - 1)]
        for holder in holders:
            holder.send(request("GET", "/hold?held"))
        with server.connect() as client:
            for number in range(50):
                assert client.get(f"/?{number}").body == f"{number} True".encode()
            client.get("/release")
        for holder in holders:
            assert holder.response().body == b"held True"
            assert holder.get("/?again").body == b"again True"  # the connection went back to the loop


def test_more_calls_than_threads(start: Start, tmp_path: Path) -> None:
    """All are in the application: who comes is read meanwhile, refused if need be, served afterwards."""
    released = tmp_path / "released"
    server = start("threads", "--bind", "127.0.0.1:0", "--threads", "4", env={"RELEASED": str(released)})
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(server.connect()) for _ in range(THREADS)]
        waiting, wrong = stack.enter_context(server.connect()), stack.enter_context(server.connect())
        for client in (waiting, wrong):
            assert client.get("/?before").body == b"before True"
        for holder in holders:
            holder.send(request("GET", "/hold-for-file?held"))
        wrong.send(b"NO REQUEST\r\n\r\n")
        assert wrong.response().status == 400
        waiting.send(request("GET", "/?at-last"))
        released.touch()
        for holder in holders:
            assert holder.response().body == b"held True"
        assert waiting.response().body == b"at-last True"


def test_a_stuck_call_harms_no_other(start: Start) -> None:
    server = start(
        "threads", "--bind", "127.0.0.1:0", "--threads", "4", "--timeout", "1", "--access-logfile", "-"
    )
    (worker,) = server.wait_for_workers(1)
    with server.connect() as stuck, server.connect() as other:
        stuck.send(request("GET", "/stuck?1"))
        while server.workers() == [worker]:
            assert other.get("/?x").body == b"x True"
        answer = stuck.response()
        assert (answer.status, answer.closes) == (504, True)
    record = server.wait_for_log(rf"Worker \(pid:{worker}\) has been in GET /stuck\?1 .*, and is stuck here")
    assert "time.sleep(3600)" in server.news[record.end() :]
    eventually(lambda: '"GET /stuck?1 HTTP/1.1" 504' in server.output, server.explain)
    with server.connect() as client:
        assert client.get("/?new").body == b"new True"
    assert server.news.count("WORKER TIMEOUT") == 1
    assert worker not in server.workers()
    assert server.stop() == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_calls_are_finished_before_a_worker_goes(server: Server, signum: signal.Signals) -> None:
    (worker,) = server.wait_for_workers(1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(THREADS)]
        for client in clients:
            assert client.get("/?there").body == b"there True"
        for client in clients[1:]:
            client.send(request("GET", "/meet?met"))
        server.signal(signum)
        server.wait_for_log("Handling signal")
        clients[0].send(request("GET", "/meet?met"))
        for client in clients if signum == signal.SIGTERM else ():
            assert client.response().body == b"met True"
        if signum == signal.SIGHUP:
            assert clients[1].response().body == b"met True"
    if signum == signal.SIGTERM:
        assert server.wait() == 0
    else:
        eventually(lambda: worker not in server.workers(), server.explain)


def test_max_requests(start: Start) -> None:
    server = start("threads", "--bind", "127.0.0.1:0", "--threads", "4", "--max-requests", "20")
    (worker,) = server.wait_for_workers(1)
    with server.connect() as client:
        number = 0
        while server.workers() == [worker]:
            assert client.get(f"/random?{number}").body == f"{number} True".encode()
            number += 1
    assert number >= 20


class Load(threading.Thread):
    """Asks one thing after the other, and remembers what was wrong."""

    def __init__(self, server: Server, number: int, until: float) -> None:
        super().__init__()
        self.server, self.number, self.until = server, number, until
        self.random = random.Random(number)
        self.answers = self.lost = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        try:
            while time.monotonic() < self.until:
                self.connection()
        except Exception as error:
            self.wrong.append(repr(error))

    def connection(self) -> None:
        """One connection until it closes, or for fifty requests."""
        try:
            with self.server.connect() as client:
                for _ in range(50):
                    self.ask(client, self.random.randint(1, 3))
        except (OSError, EOFError, AssertionError) as error:
            if isinstance(error, AssertionError) and "wrong answer" in str(error):
                raise
            self.lost += 1  # the worker was killed

    def ask(self, client: Client, depth: int) -> None:
        """`depth` pipelined requests."""
        paths = [self.random.choice(("/", "/random", "/random", "/stream", "/spin")) for _ in range(depth)]
        tokens = [f"{self.number}.{self.random.random()}" for _ in paths]
        client.send(b"".join(request("GET", f"{p}?{t}") for p, t in zip(paths, tokens, strict=True)))
        for path, token in zip(paths, tokens, strict=True):
            answer = client.response()
            if not answer.complete:
                raise EOFError
            body = answer.body.decode()
            wanted = f"{token} True"
            if path == "/stream":
                wanted = "".join(f"{token} {number} True;" for number in range(5))
            assert body == wanted, f"wrong answer: {body!r} instead of {wanted!r}"
            self.answers += 1


@pytest.mark.parametrize("killed", [False, True])
def test_every_answer_has_its_requests_token(start: Start, killed: bool) -> None:
    server = start("threads", "--bind", "127.0.0.1:0", "--threads", "4", "--workers", "2")
    server.wait_for_workers(2)
    loads = [Load(server, number, time.monotonic() + 5) for number in range(12)]
    for load in loads:
        load.start()
    while killed and any(load.is_alive() for load in loads):
        time.sleep(0.7)
        for worker in random.sample(server.workers(), 1) if server.workers() else ():
            os.kill(worker, signal.SIGKILL)
    for load in loads:
        load.join()
    assert [load.wrong for load in loads if load.wrong] == []
    assert sum(load.answers for load in loads) > 100
    assert killed or not any(load.lost for load in loads)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_websocket_and_ordinary_requests(start: Start) -> None:
    """It has a thread of its own, and stays open for longer than a call may take."""
    server = start("echo_sockets", "--bind", "127.0.0.1:0", "--threads", "2", "--timeout", "1")
    (worker,) = server.wait_for_workers(1)
    socket = websocket.create_connection(server.url.replace("http", "ws", 1) + "/echo", timeout=20)
    until = time.monotonic() + 3
    number = 0
    while time.monotonic() < until:
        with server.connect() as client:
            for _ in range(10):
                number += 1
                socket.send(str(number))
                assert client.get("/").status == 200
                assert socket.recv() == str(number)
    assert server.workers() == [worker]
    socket.send("end")
    assert socket.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    socket.shutdown()


def test_bodies_that_have_not_come_keep_nobody(start: Start) -> None:
    """They are waited for without the loop; and with it, where there is no thread to have it."""
    server = start("responses", "--bind", "127.0.0.1:0", "--threads", "2", "--stream-request-body")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(3)]
        slow[0].send(request("POST", "/echo", body=b"0")[:-1])
        with server.connect() as client:
            for _ in range(20):
                assert client.get("/hello").status == 200
        for number in (1, 2):
            slow[number].send(request("POST", "/echo", body=b"%d" % number)[:-1])
        for number in range(3):
            slow[number].send(b"%d" % number)
            assert slow[number].response().body == b"%d" % number
