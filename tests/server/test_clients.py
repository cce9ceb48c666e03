"""Ten thousand mixed requests from three clients that people use, all answers checked."""

import http.client
import random
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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
    def run(thread: int) -> list[str]:
        generator = random.Random(thread)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        wrong = []
        for number in range(PYTHON_REQUESTS // PYTHON_THREADS):
            token = f"{thread}-{number}"
            kind = generator.choice(["length", "stream", "body", "last"])
            method = generator.choice(["GET", "POST", "PUT", "HEAD"])
            body = (
                generator.randbytes(generator.choice([0, 1, 100, 5000, 300_000]))
                if method in ("POST", "PUT")
                else b""
            )
            chunked = bool(body) and generator.random() < 0.5
            connection.request(
                method,
                f"/{kind}/{token}",
                body=iter([body[:50], body[50:]]) if chunked else body or None,
                headers={"Transfer-Encoding": "chunked"} if chunked else {},
                encode_chunked=chunked,
            )
            response = connection.getresponse()
            answer = response.read()
            expected = b"" if method == "HEAD" else token.encode() + b":" + body + b"\n"
            if (response.status, response.getheader("X-Token"), answer) != (200, token, expected):
                wrong.append(f"{method} /{kind}/{token}: {response.status} {answer[:80]!r}")
        connection.close()
        return wrong

    with ThreadPoolExecutor(PYTHON_THREADS) as pool:
        assert [wrong for result in pool.map(run, range(PYTHON_THREADS)) for wrong in result] == []


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
    script = Path(__file__).with_name("tokens.lua")
    command = [
        "wrk",
        "-t",
        str(WRK_THREADS),
        "-c",
        str(WRK_THREADS),
        "-d",
        "1",
        "-s",
        str(script),
        server.url,
        "--",
        str(WRK_REQUESTS // WRK_THREADS),
    ]
    right = 0
    while right < WRK_REQUESTS:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        match = re.search(r"^right (\d+) wrong (\d+) errors (\d+)$", result.stdout, re.MULTILINE)
        assert match, result.stdout + result.stderr
        assert (match[2], match[3]) == ("0", "0"), result.stdout
        assert match[1] != "0"
        right += int(match[1])
