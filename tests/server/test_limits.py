"""Clients that are slow, silent, many or hostile: what each of them gets, and that nobody else waits."""

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import Client, request
from .process import Server, Start, eventually

LIMITS = ["--head-timeout", "1", "--body-timeout", "1", "--write-timeout", "2", "--linger", "1"]
BODY_RATE = ["--min-body-rate", "5000"]
WRITE_RATE = ["--min-write-rate", "10000000"]
LINES = ["--access-logfile", "-", "--access-logformat", "%(r)s|%(s)s"]

POST = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n"
BIG = 30_000_000  # more than both sockets hold
PACE = 0.1  # seconds between two portions of a client that is slow on purpose
PORTIONS = 150  # so many, and the test gives up

ANSWER_408 = b"408 Request Timeout: "
CHECK = "/hello?check"


@pytest.fixture(scope="module")
def limited(servers: Start) -> Server:
    return servers("responses", *LIMITS, *BODY_RATE, *LINES)


@pytest.fixture
def lines(limited: Server) -> Callable[[int], list[str]]:
    """lines(count): the access lines of this test, once there are `count`."""
    return lines_since(limited, len(limited.output.splitlines()))


def lines_since(server: Server, before: int) -> Callable[[int], list[str]]:
    def new() -> list[str]:
        # that of a check that the server serves on may come after the check
        return [line for line in server.output.splitlines()[before:] if CHECK not in line]

    def get(count: int) -> list[str]:
        eventually(lambda: len(new()) >= count, lambda: f"{new()}\n{server.explain()}")
        assert len(new()) == count
        return new()

    return get


def serves_on(server: Server) -> None:
    with server.connect() as client:
        assert client.get(CHECK).body == b"Hello, world!\n"
    assert "Traceback" not in server.news


def refused(client: Client, server: Server, why: str) -> None:
    response = client.response()
    assert (response.status, response.body) == (408, ANSWER_408 + why.encode() + b"\n")
    assert response.closes
    assert client.at_eof()
    server.wait_for_log(rf"\[WARNING\] Invalid request from ip=127\.0\.0\.1: {why}$")


def trickle(client: Client, portion: bytes) -> int:
    """Send it again and again until there is an answer; how often that was."""
    client.sock.settimeout(PACE)
    for count in range(PORTIONS):
        client.sock.sendall(portion)
        with contextlib.suppress(TimeoutError):
            assert client.receive()
            client.sock.settimeout(20)
            return count
    raise AssertionError("never answered")


def test_nothing_is_said(limited: Server, lines: Callable[[int], list[str]]) -> None:
    with limited.connect() as client:
        assert client.at_eof()
    with limited.connect() as client:
        client.get("/hello")
    assert lines(1) == ["GET /hello HTTP/1.1|200"]
    assert "[WARNING]" not in limited.news


def test_half_a_head(limited: Server, lines: Callable[[int], list[str]]) -> None:
    with limited.connect() as client:
        client.send(b"GET /half HTTP/1.1\r\nHo")
        refused(client, limited, "request head did not arrive in time")
    assert lines(1) == ["GET /half HTTP/1.1|408"]


def test_a_head_byte_by_byte(limited: Server, lines: Callable[[int], list[str]]) -> None:
    with limited.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nX: ")
        assert trickle(client, b"x") > 1
        refused(client, limited, "request head did not arrive in time")
    assert lines(1) == ["GET /slow HTTP/1.1|408"]


def test_half_a_body(limited: Server, lines: Callable[[int], list[str]]) -> None:
    with limited.connect() as client:
        client.send(POST + b"b" * 1000)
        refused(client, limited, "request body did not arrive in time")
    assert lines(1) == ["POST /echo HTTP/1.1|408"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_trickles(limited: Server, lines: Callable[[int], list[str]], chunked: bool) -> None:
    with limited.connect() as client:
        client.send(
            POST.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked") if chunked else POST
        )
        assert trickle(client, b"1\r\nb\r\n" if chunked else b"b") > 1
        refused(client, limited, "request body came more slowly than the minimum rate")
    assert lines(1) == ["POST /echo HTTP/1.1|408"]


def test_a_body_that_takes_longer_than_the_timeout(limited: Server) -> None:
    """It comes at twice the rate, or more if this machine has the time."""
    paced = threading.Event()
    with limited.connect() as client:
        client.send(POST)
        for _ in range(25):
            client.send(b"b" * 4000)
            paced.wait(PACE)
        assert client.response().body == b"b" * 100_000


def cut(client: Client) -> None:
    """Read to where the connection is reset: what came before must not pass for the whole."""
    with pytest.raises(ConnectionResetError):
        while client.receive():
            pass
    assert len(client.buffer) < BIG


@pytest.mark.parametrize("target", [f"/big?size={BIG}", f"/blocks?count=1000&size={BIG // 1000}"])
def test_an_answer_that_nobody_takes(limited: Server, lines: Callable[[int], list[str]], target: str) -> None:
    with limited.connect(receive_buffer=4096) as client:
        client.send(request("GET", target))
        why = "client did not take the response in time"
        limited.wait_for_log(rf"\[INFO\] Closed the connection from ip=127\.0\.0\.1: {why}$")
        cut(client)
    assert lines(1) == [f"GET {target} HTTP/1.1|499"]
    serves_on(limited)


@pytest.mark.parametrize("target", [f"/big?size={BIG}", f"/blocks?count=1000&size={BIG // 1000}"])
def test_an_answer_that_is_taken_too_slowly(servers: Start, target: str) -> None:
    server = servers("responses", *LIMITS, *WRITE_RATE, *LINES)
    lines = lines_since(server, len(server.output.splitlines()))
    paced = threading.Event()
    why = "client took the response more slowly than the minimum rate"
    with server.connect(receive_buffer=65536) as client:
        client.send(request("GET", target))
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            for _ in range(PORTIONS):
                taken += len(client.sock.recv(50_000))
                paced.wait(PACE)
        server.wait_for_log(rf"\[INFO\] Closed the connection from ip=127\.0\.0\.1: {why}$")
        assert 0 < taken < BIG
    assert lines(1) == [f"GET {target} HTTP/1.1|499"]
    serves_on(server)


def test_no_lingering(serve: Start) -> None:
    server = serve("responses", "--linger", "0")
    with server.connect() as client:
        client.send(b"no request\r\n\r\n")
        assert client.response().status == 400
        assert client.at_eof()


HALVES = [b"GET /half HTTP/1.1\r\nHo", POST + b"some"]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("end", ["half-close", "reset"])
def test_an_end_in_mid_request(
    limited: Server, lines: Callable[[int], list[str]], half: bytes, end: str
) -> None:
    with limited.connect() as client:
        client.send(half)
        if end == "reset":
            client.reset()
        else:
            client.half_close()
            assert client.at_eof()
    assert lines(1) == [half.partition(b"\r")[0].decode() + "|499"]
    serves_on(limited)


def test_a_half_closed_client_gets_all_of_its_answer(limited: Server) -> None:
    with limited.connect() as client:
        client.send(request("GET", f"/big?size={BIG}"))
        client.half_close()
        response = client.response()
        assert (response.status, len(response.body), response.complete) == (200, BIG, True)
        assert client.at_eof()


def test_a_reset_in_mid_answer(limited: Server, lines: Callable[[int], list[str]]) -> None:
    target = f"/big?size={BIG}"
    with limited.connect(receive_buffer=4096) as client:
        client.send(request("GET", target))
        assert client.receive()
        client.reset()
    assert lines(1) == [f"GET {target} HTTP/1.1|499"]
    serves_on(limited)


def test_slow_clients_hold_nobody(servers: Start) -> None:
    server = servers("responses")
    slow = [b"GET / HT", POST + b"b", b""]
    with contextlib.ExitStack() as stack:
        for number in range(300):
            stack.enter_context(server.connect()).send(slow[number % len(slow)])
        for _ in range(100):
            serves_on(server)


# --- many connections ---


@contextlib.contextmanager
def idle(server: Server, count: int) -> Iterator[list[Client]]:
    """So many connections that have had an answer and may have another."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(count)]
        for client in clients:
            assert client.get("/hello").status == 200
        yield clients


def test_more_clients_than_connections(serve: Start) -> None:
    server = serve("responses", "--worker-connections", "5")
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(server.connect()) for _ in range(5)]
        for client in first:  # in mid-request: none of them may go
            client.send(POST + b"b" * 99_999)
        more = [stack.enter_context(server.connect()) for _ in range(20)]
        for client in more:
            client.send(request("GET", "/hello", ("Connection", "close")))
        taken = "All 5 places of worker_connections are taken"
        server.wait_for_log(rf"\[WARNING\] {taken}: who comes waits, or takes that of an idle connection$")
        for client in first:
            client.send(b"b")
            assert client.response().body == b"b" * 100_000
        for client in more:
            assert client.response().body == b"Hello, world!\n"
            assert client.at_eof()
    assert server.news.count("are taken") == 1


def test_the_idle_make_room(serve: Start) -> None:
    server = serve("responses", "--worker-connections", "5")
    with idle(server, 5) as clients, server.connect() as client:
        assert client.get("/hello").body == b"Hello, world!\n"
        assert clients[0].at_eof()  # the longest idle, and in an orderly way
        for other in clients[1:]:
            assert other.get("/hello").body == b"Hello, world!\n"
    assert "[ERROR]" not in server.news


def test_no_descriptors_are_left(command: list[str], worker_flags: list[str], tmp_path: Path) -> None:
    limits = ["sh", "-c", 'ulimit -n 60; exec "$@"', "sh"]
    server = Server([*limits, *command, "responses", "--bind", "127.0.0.1:0", *worker_flags], tmp_path)
    try:
        (worker,) = server.wait_for_workers(1)
        serves_on(server)
        before = len(os.listdir(f"/proc/{worker}/fd"))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(100)]
            for client in clients:
                client.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n")
            server.wait_for_log(r"\[ERROR\] Cannot accept connections: Too many open files$")
            assert len(os.listdir(f"/proc/{worker}/fd")) > before + 30
            for client in clients:  # served as they come and go
                client.send(b"Connection: close\r\n\r\n")
            for client in clients:
                assert client.response().body == b"Hello, world!\n"
                assert client.at_eof()
        eventually(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= before, server.explain)
        serves_on(server)
        assert server.news.count("Cannot accept connections") == 1
        assert server.workers() == [worker]
    finally:
        server.stop()


def test_a_full_accept_queue(serve: Start, tmp_path: Path) -> None:
    server = serve("responses", "--backlog", "1")
    gate = tmp_path / "gate"
    with server.connect() as busy, contextlib.ExitStack() as stack:
        busy.send(request("GET", f"/gated?gate={gate}"))
        eventually(gate.exists, server.explain)
        answers: list[bytes] = []

        def ask() -> None:
            with server.connect() as client:
                answers.append(client.get("/hello").body)

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        gate.unlink()
        assert busy.response().body == b"after the gate"
    assert answers == [b"Hello, world!\n"] * 10


def test_thousands_of_short_connections(servers: Start) -> None:
    server = servers("responses")
    failures: list[str] = []

    def ask() -> None:
        for _ in range(500):
            try:
                with server.connect() as client:
                    response = client.get("/hello", ("Connection", "close"))
                    assert response.body == b"Hello, world!\n"
                    assert client.at_eof()
            except (AssertionError, OSError) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    serves_on(server)


def private_kib(pid: int) -> int:
    """Memory that this process has for itself; what it has of files (code) can be read again."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Private_Dirty: +(\d+) kB$", text, re.MULTILINE)
    assert found
    return int(found[1])


def test_idle_connections_are_cheap(serve: Start) -> None:
    server = serve("responses", "--worker-connections", "10000")
    (worker,) = server.wait_for_workers(1)
    with idle(server, 500):
        before = private_kib(worker)
        with idle(server, 1500):
            assert private_kib(worker) - before < 2 * 1500


def test_a_flood_of_pipelined_requests(serve: Start) -> None:
    """Nobody reads the answers: the worker stops reading requests, and keeps little."""
    server = serve("responses")
    (worker,) = server.wait_for_workers(1)
    flood = request("GET", "/big?size=1000") * 2000
    with contextlib.ExitStack() as stack:

        def one_more() -> None:
            client = stack.enter_context(server.connect(receive_buffer=4096))
            client.sock.settimeout(0.1)
            with contextlib.suppress(TimeoutError):  # until the sockets are full
                while True:
                    client.sock.sendall(flood)

        for _ in range(20):
            one_more()  # the allocator's arenas of all threads have their usual size then
        serves_on(server)
        before = private_kib(worker)
        for _ in range(10):
            one_more()
        assert private_kib(worker) - before < 10 * 100
        serves_on(server)
