"""gunicorn.socket: a connection that leaves HTTP (RFC 9110 section 7.8), by raw bytes.

With websocket libraries: test_websockets.py.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client, request
from .process import Server, Start, eventually

UPGRADE = (("Connection", "keep-alive, Upgrade"), ("Upgrade", "lines"))


@pytest.fixture(scope="session")
def server(servers: Start) -> Server:
    return servers("upgrades")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.connect() as connection:
        yield connection


def switch(client: Client, target: str, behind: bytes = b"", body: bytes | None = None) -> None:
    """Ask for the other protocol, with `behind` in the same packet, and have the server switch."""
    client.send(request("GET", target, *UPGRADE, body=body) + behind)
    response = client.response()
    assert (response.status, response.header("upgrade")) == (101, "lines")


def read(client: Client, count: int) -> bytes:
    while len(client.buffer) < count:
        assert client.receive(), f"the connection ended after {client.buffer!r}"
    data, client.buffer = client.buffer[:count], client.buffer[count:]
    return data


class TestTheKey:
    def test_is_there_for_an_upgrade(self, client: Client) -> None:
        assert client.get("/key", *UPGRADE).body == b"(True, True)"

    @pytest.mark.parametrize("fields", [(), UPGRADE[:1], UPGRADE[1:]])
    def test_is_not_there_for_less(self, client: Client, fields: tuple[tuple[str, str], ...]) -> None:
        for _ in range(3):  # the third has an environ of a known shape
            assert client.get("/key", *UPGRADE).body == b"(True, True)"
            assert client.get("/key", *fields).body == b"(False, False)"

    def test_is_not_there_on_1_0(self, client: Client) -> None:
        assert client.ask("GET", "/key", *UPGRADE, version="HTTP/1.0").body == b"(False, False)"

    def test_to_look_is_not_to_take(self, client: Client) -> None:
        for _ in range(3):
            response = client.get("/look", *UPGRADE)
            assert (response.status, response.closes) == (200, False)
            host, port = client.sock.getsockname()
            assert response.body == f"{(host, port)} {port}".encode()
        client.send(request("GET", "/look", *UPGRADE) * 3 + request("GET", "/key"))
        assert [client.response().status for _ in range(4)] == [200] * 4
        assert client.get("/too_late").body == b"Bad file descriptor"


class TestTheConnection:
    def test_is_the_applications(self, client: Client) -> None:
        switch(client, "/echo")
        for word in (b"one", b"two", b"x" * 100_000):
            client.send(word + b"\n")
            assert read(client, len(word) + 1) == word.upper() + b"\n"
        client.send(b"end\n")
        assert client.rest() == b""

    @pytest.mark.parametrize("behind", [b"one\n", b"one\ntwo", b"a\n" * 1000, b"o" * 20_000])
    def test_with_the_bytes_behind_the_request(self, client: Client, behind: bytes) -> None:
        switch(client, "/echo", behind)
        client.send(b" and\nmore\nend\n")
        assert client.rest() == (behind + b" and\nmore\n").upper()

    def test_with_a_body_before_them(self, client: Client) -> None:
        switch(client, "/echo?body=abc", b"behind\nend\n", body=b"abc")
        assert client.rest() == b"BEHIND\n"

    def test_behind_other_requests(self, client: Client) -> None:
        client.send(request("GET", "/key") * 3 + request("GET", "/echo", *UPGRADE) + b"one\nend\n")
        assert [client.response().status for _ in range(3)] == [200] * 3
        assert client.response().status == 101
        assert client.rest() == b"ONE\n"

    @pytest.mark.parametrize("behind", range(7))
    def test_tells_select_and_the_like(self, client: Client, behind: int) -> None:
        """The application waits six times for a byte, each time as it is told by another way of waiting."""
        sent = b"abcdef"
        switch(client, "/readiness", sent[:behind])
        for number, name in enumerate([b"select", b"poll", b"selectors"] * 2):
            if number >= behind:
                client.send(sent[number : number + 1])
            assert read(client, len(name) + 1) == name + sent[number : number + 1]
        assert client.rest() == b""

    @pytest.mark.parametrize("behind", [0, 3, 9, 21, 24, 26, 30])
    def test_is_read_in_any_way(self, client: Client, behind: int) -> None:
        """Three bytes each by eight ways, and six by one that waits for all."""
        sent = b"".join(b"%02d." % number for number in range(10))
        switch(client, "/reading", sent[:behind])
        client.send(sent[behind:])
        peeked, *parts, last = client.rest().split(b",")
        assert peeked == parts[0]
        assert b"".join(parts) == sent
        assert last == b"timeout"

    def test_without_a_client(self, server: Server) -> None:
        with server.connect() as client:
            switch(client, "/echo")
            client.reset()
        with server.connect() as client:
            assert client.get("/key").status == 200
        assert "Traceback" not in server.news


class TestTheEnd:
    @pytest.mark.parametrize("how", ["list", "close", "stop", "respond", "generate"])
    def test_is_quiet(self, server: Server, how: str) -> None:
        for behind in (b"end\n", b""):
            with server.connect() as client:
                switch(client, f"/echo?end={how}", behind)
                if not behind:  # what comes when the application has closed by itself is reset by the kernel
                    client.send(b"end\n")
                assert client.rest() == b""
        with server.connect() as client:
            assert client.get("/key").status == 200
        assert "Traceback" not in server.news
        assert "[ERROR]" not in server.news

    def test_by_an_error_is_logged(self, server: Server, client: Client) -> None:
        switch(client, "/echo?end=fail", b"end\n")
        assert client.rest() == b""
        server.wait_for_log(r"Error handling the socket of /echo\?end=fail\n(.*\n)+?LookupError: after")

    def test_in_the_midst_of_an_iterable(self, server: Server, client: Client) -> None:
        client.send(request("GET", "/while_iterated", *UPGRADE))
        assert client.rest() == b"raw"
        assert "Traceback" not in server.news

    def test_is_not_begun_behind_a_head(self, client: Client) -> None:
        response = client.get("/after_the_head", *UPGRADE)
        assert (response.body, response.closes) == (b"12345", False)

    def test_frees_who_still_reads(self, server: Server, client: Client) -> None:
        """The client does not close its end; a thread that is in recv ends all the same."""
        with server.connect() as other:
            before = int(other.get("/threads").body)
            switch(client, "/leave_a_thread")
            assert client.rest() == b""
            eventually(lambda: int(other.get("/threads").body) <= before, server.explain)

    def test_leaves_no_descriptor(self, server: Server) -> None:
        with server.connect() as other:
            fds = Path(f"/proc/{int(other.get('/pid').body)}/fd")
            before = len(list(fds.iterdir()))
            for behind in (b"end\n", b"") * 5:
                with server.connect() as client:
                    switch(client, "/echo", behind)
                    client.send(b"end\n")
                    assert client.rest() == b""
            eventually(lambda: len(list(fds.iterdir())) <= before, server.explain)


@pytest.mark.parametrize("by", ["core", "python"])
def test_the_access_log(serve: Start, by: str) -> None:
    text = "%(m)s %(U)s %(s)s %(B)s" + ("" if by == "core" else " %({x}o)s")
    server = serve("upgrades", "--access-logfile", "-", "--access-logformat", text)
    with server.connect() as client:
        assert client.get("/key", *UPGRADE).status == 200
        switch(client, "/echo", b"one\nend\n")
        assert client.rest() == b"ONE\n"
    assert server.stop() == 0
    assert server.output.splitlines()[1] == "GET /echo 101 0" + ("" if by == "core" else " -")


def test_on_a_unix_socket(serve: Start, tmp_path: Path) -> None:
    server = serve("upgrades", "--bind", f"unix:{tmp_path / 'socket'}")
    with server.connect() as client:
        switch(client, "/echo", b"one\ntwo")
        client.send(b"\nend\n")
        assert client.rest() == b"ONE\nTWO\n"


def test_it_counts_as_a_connection(serve: Start, tmp_path: Path) -> None:
    server = serve("upgrades", "--worker-connections", "1")
    gate = tmp_path / "gate"
    with server.connect() as client:
        switch(client, f"/hold?gate={gate}")
        eventually(gate.exists, server.explain)
        with server.connect() as other:
            other.send(request("GET", "/key"))
            gate.unlink()
            assert client.rest() == b""
            client.sock.close()
            assert other.response().status == 200


def test_a_worker_that_ends_closes_it(serve: Start, tmp_path: Path) -> None:
    server = serve("upgrades", "--graceful-timeout", "1")
    with server.connect() as client:
        switch(client, f"/hold?gate={tmp_path / 'gate'}")
        server.process.terminate()
        with contextlib.suppress(ConnectionResetError):
            assert client.rest() == b""
    server.wait()


def test_post_request_sees_a_101(serve: Start, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks.conf.py"
    hooks.write_text(
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.info('after %s: %s %d', req.path, resp.status, resp.sent)\n"
    )
    server = serve("upgrades", "-c", os.fspath(hooks))
    with server.connect() as client:
        switch(client, "/echo", b"end\n")
        assert client.rest() == b""
    server.wait_for_log("after /echo: 101 Switching Protocols 0")
