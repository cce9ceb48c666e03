"""Connections that outlive their worker, or do not wait for it: the next request is answered by another one.

Each test keeps its connections: what it asks goes over a socket that a worker had before, and that nobody
has closed meanwhile.
"""

import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .client import Client, request
from .process import Server, Start, eventually, is_gone

APP = """
import json, os, pathlib, time

here = pathlib.Path(__file__).parent
NAMES = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme", "QUERY_STRING",
         "PROXY_PROTOCOL", "PROXY_ADDR", "HTTP_X_FORWARDED_FOR", "PATH_INFO")

def application(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        (here / ("held-" + environ["QUERY_STRING"])).write_text(str(os.getpid()))
        while not (here / "released").exists():
            time.sleep(0.005)
    said = {name: environ[name] for name in NAMES if name in environ}
    said |= {"pid": os.getpid(), "body": environ["wsgi.input"].read().decode()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]
"""

TCP = ("--bind", "127.0.0.1:0")
KINDS = {"sync": (), "threads": ("--threads", "2")}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return KINDS[request.param]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project.py").write_text(APP)
    return tmp_path


@pytest.fixture
def later() -> Iterator[Callable[[int], int]]:
    """later(pid): end this process, which is no child of ours, after the test."""
    pids: list[int] = []

    def note(pid: int) -> int:
        pids.append(pid)
        return pid

    yield note
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ask(client: Client, target: str = "/", *fields: tuple[str, str], **how: Any) -> dict[str, Any]:
    return heard(client, request("GET", target, *fields, **how))


def heard(client: Client, sent: bytes = b"") -> dict[str, Any]:
    """The next answer, which must not be the connection's last."""
    client.send(sent)
    response = client.response()
    assert response.status == 200
    assert not response.closes
    said: dict[str, Any] = json.loads(response.body)
    return said


def release(project: Path) -> None:
    (project / "released").touch()


def held(server: Server, project: Path, name: str) -> int:
    """The worker that is inside the request /hold?name."""
    file = project / f"held-{name}"
    return int(eventually(lambda: file.exists() and file.read_text(), server.explain))


def connected(server: Server, stack: contextlib.ExitStack, count: int) -> list[tuple[Client, int]]:
    """So many connections, each with the worker that has it."""
    clients = [stack.enter_context(server.connect()) for _ in range(count)]
    return [(client, ask(client)["pid"]) for client in clients]


def all_gone(server: Server, pids: set[int]) -> None:
    eventually(lambda: all(map(is_gone, pids)), server.explain)


def reload(server: Server) -> None:
    server.signal(signal.SIGHUP)
    server.wait_for_log("Reloaded: workers with the new settings serve")


# --- who leaves ---


@pytest.mark.parametrize("flags", [(), ("--preload",), ("--reuse-port",)], ids=lambda flags: "".join(flags))
def test_a_reload_closes_no_connection(
    serve: Start, project: Path, kind: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    server = serve("project", *TCP, "--workers", "2", *kind, *flags, cwd=project)
    with contextlib.ExitStack() as stack:
        fresh = stack.enter_context(server.connect())  # has never asked for anything
        clients = connected(server, stack, 20)
        old = set(server.workers()) if "--preload" not in flags else {pid for _, pid in clients}
        reload(server)
        all_gone(server, old)
        answered = {ask(client)["pid"] for client, _ in clients} | {ask(fresh)["pid"]}
        assert not answered & old
    assert "Traceback" not in server.log


def test_one_worker_keeps_its_connections_until_another_serves(serve: Start, project: Path) -> None:
    server = serve("project", *TCP, cwd=project)
    with contextlib.ExitStack() as stack:
        clients = connected(server, stack, 5)
        (old,) = {pid for _, pid in clients}
        reload(server)
        all_gone(server, {old})
        assert old not in {ask(client)["pid"] for client, _ in clients}


def test_connections_outlive_many_workers(serve: Start, project: Path) -> None:
    """max_requests: each worker serves a few, and the connections go from one to the next."""
    server = serve("project", *TCP, "--workers", "2", "--max-requests", "10", cwd=project)
    with contextlib.ExitStack() as stack:
        clients = connected(server, stack, 5)
        pids = {pid for _, pid in clients}

        def served_by_many() -> bool:
            pids.update(ask(client)["pid"] for client, _ in clients)
            return len(pids) > 6

        eventually(served_by_many, server.explain)


def test_fewer_workers(serve: Start, project: Path) -> None:
    server = serve("project", *TCP, "--workers", "3", cwd=project)
    with contextlib.ExitStack() as stack:
        clients = connected(server, stack, 30)
        server.wait_for_workers(3)
        server.signal(signal.SIGTTOU)
        server.wait_for_workers(2)
        server.signal(signal.SIGTTOU)
        (left,) = server.wait_for_workers(1)
        assert {ask(client)["pid"] for client, _ in clients} == {left}


def test_an_upgrade_there_and_back(serve: Start, project: Path, later: Callable[[int], int]) -> None:
    server = serve("project", *TCP, "--workers", "2", cwd=project)
    with contextlib.ExitStack() as stack:
        clients = connected(server, stack, 10)
        old = set(server.workers())
        new_master = later(upgrade(server))
        new = children(server, new_master, 2)

        # back: the new one goes, and what came to it meanwhile is the old one's again
        for pid in old:
            os.kill(pid, signal.SIGSTOP)
        clients += connected(server, stack, 10)
        assert {pid for _, pid in clients[10:]} <= new
        for pid in old:
            os.kill(pid, signal.SIGCONT)
        os.kill(new_master, signal.SIGTERM)
        server.wait_for_log(rf"The new master \(pid:{new_master}\) has ended with code 0")
        assert {ask(client)["pid"] for client, _ in clients} <= old

        # and there
        server.seen = len(server.log)
        new_master = later(upgrade(server))
        new = children(server, new_master, 2)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert {ask(client)["pid"] for client, _ in clients} <= new
        os.kill(new_master, signal.SIGTERM)
        eventually(lambda: is_gone(new_master), server.explain)
    assert "Traceback" not in server.log


def upgrade(server: Server) -> int:
    server.signal(signal.SIGUSR2)
    return int(server.wait_for_log(r"Started a new master \(pid:(\d+)\)")[1])


def children(server: Server, master: int, count: int) -> set[int]:
    """The workers of the new master, when all serve: so it tells the old one, on a page that both have."""
    fds = list(Path(f"/proc/{server.pid}/fd").iterdir())
    page = next(fd for fd in fds if "fastwsgi-share" in os.readlink(fd))

    def all_serve() -> bool:
        return page.read_bytes()[8:12] == count.to_bytes(4, sys.byteorder)

    eventually(all_serve, server.explain)
    return set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))


def test_the_end_of_the_server_is_the_end_of_its_connections(serve: Start, project: Path) -> None:
    server = serve("project", *TCP, "--workers", "2", cwd=project)
    with contextlib.ExitStack() as stack:
        clients = connected(server, stack, 10)
        server.signal(signal.SIGTERM)
        for client, _ in clients:
            assert client.at_eof()
        assert server.wait() == 0


def test_an_answer_under_way_is_finished_and_its_connection_goes_on(
    serve: Start, project: Path, kind: tuple[str, ...]
) -> None:
    server = serve("project", *TCP, *kind, cwd=project)
    with server.connect() as client:
        client.send(request("GET", "/hold?slow"))
        old = held(server, project, "slow")
        reload(server)
        release(project)
        assert heard(client)["pid"] == old
        all_gone(server, {old})
        assert ask(client)["pid"] != old


def test_an_address_that_a_reload_gives_up(start: Start, project: Path) -> None:
    """Its connections have no place with the new workers."""
    conf, path = project / "conf.py", project / "s"
    conf.write_text(f"bind = ['127.0.0.1:0', 'unix:{path}']")
    server = start("project", "--config", str(conf), cwd=project)
    with server.connect() as stays, server.connect(f"unix:{path}") as goes:
        old = ask(stays)["pid"]
        ask(goes)
        conf.write_text("bind = ['127.0.0.1:0']")
        reload(server)
        all_gone(server, {old})
        assert ask(stays)["pid"] != old
        assert goes.at_eof()


# --- what goes along ---


def test_requests_in_pieces_and_in_rows(serve: Start, project: Path) -> None:
    server = serve("project", *TCP, cwd=project)
    whole = request("GET", "/?pieces")
    with contextlib.ExitStack() as stack:
        new, used = stack.enter_context(server.connect()), stack.enter_context(server.connect())
        new.send(whole[:9])
        old = ask(used)["pid"]
        used.send(whole[:20])
        row = stack.enter_context(server.connect())
        row.send(request("GET", "/hold?row") + request("GET", "/?second") + whole[:30])
        held(server, project, "row")
        reload(server)
        release(project)
        assert heard(row)["pid"] == old
        assert heard(row)["QUERY_STRING"] == "second"
        all_gone(server, {old})
        for client, rest in ((new, whole[9:]), (used, whole[20:]), (row, whole[30:])):
            said = heard(client, rest)
            assert said["QUERY_STRING"] == "pieces"
            assert said["pid"] != old


def test_where_a_connection_came_in(serve: Start, project: Path) -> None:
    """Several listeners, one of them a unix socket: each connection stays that of its own."""
    path = project / "s"
    server = serve("project", *TCP, "--bind", f"unix:{path}", "--bind", "[::1]:0", cwd=project)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(address)) for address in server.addresses]
        before = [ask(client) for client in clients]
        reload(server)
        all_gone(server, {said["pid"] for said in before})
        for client, said in zip(clients, before, strict=True):
            again = ask(client)
            assert again.pop("pid") != said.pop("pid")
            assert again == said


def test_what_proxies_have_said(serve: Start, project: Path) -> None:
    """The header of the PROXY protocol came once, the fields come anew; who is believed, settings say."""
    flags = (
        "--proxy-protocol",
        "auto",
        "--proxy-allow-from",
        "127.0.0.1",
        "--forwarded-allow-ips",
        "127.0.0.1",
    )
    server = serve("project", *TCP, *flags, cwd=project)
    header = b"PROXY TCP4 192.0.2.7 198.51.100.1 7777 443\r\n"
    https = ("X-Forwarded-Proto", "https")
    with server.connect() as told, server.connect() as begun:
        told.send(header)
        before = ask(told, "/", https)
        begun.send(header[:20])
        reload(server)
        all_gone(server, {before["pid"]})
        after = ask(told, "/", https)
        assert after.pop("pid") != before.pop("pid")
        assert after == before
        assert (after["REMOTE_ADDR"], after["REMOTE_PORT"]) == ("192.0.2.7", "7777")
        assert (after["PROXY_ADDR"], after["wsgi.url_scheme"]) == ("198.51.100.1", "https")
        begun.send(header[20:])
        assert ask(begun, "/", https) | {"pid": 0} == after | {"pid": 0}


def test_trust_is_the_new_workers_own(serve: Start, project: Path) -> None:
    conf = project / "conf.py"
    conf.write_text("forwarded_allow_ips = '*'")
    server = serve("project", *TCP, "--config", str(conf), cwd=project)
    with server.connect() as client:
        before = ask(client, "/", ("X-Forwarded-Proto", "https"))
        assert before["wsgi.url_scheme"] == "https"
        conf.write_text("forwarded_allow_ips = '192.0.2.1'")
        reload(server)
        all_gone(server, {before["pid"]})
        assert ask(client, "/", ("X-Forwarded-Proto", "https"))["wsgi.url_scheme"] == "http"


# --- who is stuck ---


@pytest.mark.parametrize("flags", [(), ("--threads", "2")], ids=["sync", "threads"])
def test_nobody_waits_behind_a_slow_request(serve: Start, project: Path, flags: tuple[str, ...]) -> None:
    """Every request on the connections of a worker that is stuck is answered by the other one meanwhile."""
    server = serve("project", *TCP, "--workers", "2", *flags, cwd=project)
    with contextlib.ExitStack() as stack:
        threads = int(flags[-1]) if flags else 1
        clients = connected(server, stack, 40)
        (stuck, _), *_ = Counter(pid for _, pid in clients).most_common()
        mine = [client for client, pid in clients if pid == stuck]
        holders, others = mine[:threads], mine[threads:]
        for number, holder in enumerate(holders):
            holder.send(request("GET", f"/hold?{number}"))
            held(server, project, str(number))
        for number, client in enumerate(others):
            body = f"{number}" * 3000
            said = heard(client, request("POST", f"/?{number}", body=body.encode()))
            assert (said["QUERY_STRING"], said["body"]) == (str(number), body)
            assert flags or said["pid"] != stuck
        release(project)
        for holder in holders:
            heard(holder)
        for client, _ in clients:
            ask(client)
    assert "Traceback" not in server.log


def test_a_single_worker_keeps_what_waits(serve: Start, project: Path) -> None:
    server = serve("project", *TCP, cwd=project)
    with server.connect() as slow, server.connect() as waits:
        pid = ask(waits)["pid"]
        slow.send(request("GET", "/hold?slow"))
        held(server, project, "slow")
        waits.send(request("GET", "/?waits"))
        release(project)
        assert heard(slow)["pid"] == heard(waits)["pid"] == pid
