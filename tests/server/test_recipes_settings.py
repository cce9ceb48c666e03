"""gunicorn.conf.py files whose values are computed, and that tell others when the server is there."""

import os
from pathlib import Path

from .process import Server, Start, eventually


def test_values_computed_from_machine_and_environment(cook: Start) -> None:
    server = cook("computed", "shop", env={"MAX_WORKERS": "3", "KEEP_ALIVE": "7", "ACCESS_LOG": ""})
    workers = min(os.cpu_count() * 2 + 1, 3)  # type: ignore[operator]
    assert get(server) == "Hello from the shop"
    assert len(server.wait_for_workers(workers)) == workers
    assert get(server, "/multiprocess") == "True"
    assert f"starting with {workers} workers, keepalive 7" in server.log
    assert server.output == ""


def get(server: Server, target: str = "/", address: str | None = None) -> str:
    with server.connect(address) as client:
        response = client.get(target)
        assert response.status == 200
        return response.body.decode()


def test_a_file_when_ready(cook: Start, tmp_path: Path) -> None:
    """The file says that connections are taken: one that is made when it appears is answered."""
    ready, socket = tmp_path / "app-initialized", tmp_path / "nginx.socket"
    server = cook("ready_file", "shop", env={"READY_FILE": str(ready), "SOCKET": str(socket)})
    eventually(ready.exists, server.explain)
    assert get(server, address=f"unix:{socket}") == "Hello from the shop"


def test_the_command_line_wins(cook: Start) -> None:
    server = cook(
        "computed", "shop", "--workers", "1", env={"GUNICORN_CMD_ARGS": "--access-logfile /dev/null"}
    )
    assert get(server) == "Hello from the shop"
    assert len(server.workers()) == 1
    assert server.output == ""
