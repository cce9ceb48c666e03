"""An application may use sub-interpreters; the compiled modules stay with the interpreter that serves."""

import contextlib

import pytest

from .client import request
from .process import Server, Start


@pytest.fixture(scope="session")
def server(servers: Start) -> Server:
    return servers("interpreters")


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_code_runs_in_another_interpreter(server: Server, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(4)]
        for _ in range(3):
            for client in clients:
                client.send(request("GET", f"/{kind}/count"))
            assert [client.response().body for client in clients] == [b"499500"] * 4


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_the_loop_is_not_for_another_interpreter(server: Server, kind: str) -> None:
    with server.connect() as client:
        for _ in range(2):
            assert client.get(f"/{kind}/import").body == b"refused"
        assert client.get(f"/{kind}/count").body == b"499500"
