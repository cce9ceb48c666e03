"""Mixed requests to the application `tokens` from clients that people use, all answers checked."""

import http.client
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .client import tls

SCRIPT = Path(__file__).with_name("tokens.lua")


def ask_with_http_client(url: str, requests: int, threads: int) -> list[str]:
    """What was wrong with the answers to `requests` requests."""
    scheme, _, address = url.partition("://")

    def connect() -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(address, timeout=20, context=tls())
        return http.client.HTTPConnection(address, timeout=20)

    def run(thread: int) -> list[str]:
        generator = random.Random(thread)
        connection = connect()
        wrong = []
        for number in range(requests // threads):
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

    with ThreadPoolExecutor(threads) as pool:
        return [wrong for result in pool.map(run, range(threads)) for wrong in result]


def ask_with_wrk(url: str, requests: int, threads: int) -> None:
    """Send `requests` requests or more. AssertionError: an answer was wrong, or none came."""
    command = ["wrk", "-t", str(threads), "-c", str(threads), "-d", "1", "-s", str(SCRIPT), url]
    right = 0
    while right < requests:
        result = subprocess.run(
            [*command, "--", str(requests // threads)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        match = re.search(r"^right (\d+) wrong (\d+) errors (\d+)$", result.stdout, re.MULTILINE)
        assert match, result.stdout + result.stderr
        assert (match[2], match[3]) == ("0", "0"), result.stdout
        assert match[1] != "0"
        right += int(match[1])
