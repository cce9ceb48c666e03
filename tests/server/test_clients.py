"""Ten thousand mixed requests from three clients that people use, all answers checked."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .mixed import ask_with_http_client, ask_with_wrk
from .process import Server, Start

CURL_REQUESTS = 2000
CURL_PROCESSES = 4
WRK_REQUESTS = 4000
WRK_THREADS = 4
PYTHON_REQUESTS = 4000
PYTHON_THREADS = 8


@pytest.fixture(params=["1", "2"], ids=["1-worker", "2-workers"])
def server(servers: Start, request: pytest.FixtureRequest) -> Iterator[Server]:
    server = servers("tokens", "--workers", request.param)
    workers = server.wait_for_workers(int(request.param))
    yield server
    assert server.workers() == workers, "a worker has died"
    assert "[ERROR]" not in server.news


def test_http_client(server: Server) -> None:
    assert ask_with_http_client(server.url, PYTHON_REQUESTS, PYTHON_THREADS) == []


def test_curl(server: Server, tmp_path: Path) -> None:
    """Several processes at once; each sends a list of requests over as few connections as it can."""
    jobs = []
    for process in range(CURL_PROCESSES):
        generator = random.Random(process)
        config, expected = [], b""
        for number in range(CURL_REQUESTS // CURL_PROCESSES):
            token = f"{process}-{number}"
            kind = generator.choice(["length", "stream", "body", "last"])
            body = "b" * generator.choice([0, 0, 1, 1000, 20_000])
            config.append(f'url = "{server.url}/{kind}/{token}"')
            if body:
                config.append(f'data = "{body}"')
            if generator.random() < 0.1:
                config.append("http1.0")
            elif body:  # neither of these exists on HTTP/1.0
                if generator.random() < 0.3:
                    config.append('header = "Transfer-Encoding: chunked"')
                if generator.random() < 0.3:
                    config.append('header = "Expect: 100-continue"')
            config.append("next")
            expected += f"{token}:{body}\n".encode()
        path = tmp_path / f"config-{process}"
        path.write_text("\n".join(config[:-1]))
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--config", str(path)]
        jobs.append((subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE), expected))
    for job, expected in jobs:
        output, errors = job.communicate(timeout=120)
        assert errors == b""
        assert output == expected


def test_wrk(server: Server) -> None:
    ask_with_wrk(server.url, WRK_REQUESTS, WRK_THREADS)
