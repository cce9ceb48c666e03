"""docs/parser.md: its examples are run as they stand there, the server by asyncio and real sockets."""

import asyncio
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parent.parent / "docs" / "parser.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
CLOSING = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The names that the example defines."""
    (code,) = (code for code in EXAMPLES if "asyncio" in code)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


@pytest.fixture(scope="module")
def address(example: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Where the example listens, in a loop of its own."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(example["Echo"], "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()
    server.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.run_until_complete(server.wait_closed())
    loop.close()


def ask(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Everything that is answered to the pieces, which are sent one after another."""
    with socket.create_connection(address, timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        received = b""
        while data := client.recv(65536):
            received += data
        return received


def ok(text: str, close: bool = False) -> bytes:
    connection = "Connection: close\r\n" if close else ""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n{connection}\r\n{text}".encode()


LAST = ok("GET /last, 0 bytes of body\n", close=True)


def test_requests_are_answered_in_their_order(address: tuple[str, int]) -> None:
    assert ask(address, GET + GET, CLOSING + GET) == 2 * ok("GET /a, 0 bytes of body\n") + LAST


def test_a_body_in_pieces(address: tuple[str, int]) -> None:
    post = (
        b"POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    pieces = [post[at : at + 1] for at in range(len(post))]
    assert ask(address, *pieces, CLOSING) == ok("POST /b, 5 bytes of body\n") + LAST


def test_a_client_that_waits_is_told_to_continue(address: tuple[str, int]) -> None:
    post = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx"
    answers = b"HTTP/1.1 100 Continue\r\n\r\n" + ok("POST /b, 1 bytes of body\n") + LAST
    assert ask(address, post, CLOSING) == answers


def test_an_upgrade_is_declined(address: tuple[str, int]) -> None:
    upgrade = b"GET /w HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert ask(address, upgrade + CLOSING) == ok("GET /w, 0 bytes of body\n") + LAST


def test_what_is_no_http_is_refused(address: tuple[str, int]) -> None:
    reason = b"a field that may stand once stands twice"
    refusal = b"HTTP/1.1 400 Refused\r\nContent-Length: 40\r\nConnection: close\r\n\r\n" + reason
    request = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Type: a\r\nContent-Type: a\r\n\r\n"
    assert ask(address, GET + request) == ok("GET /a, 0 bytes of body\n") + refusal


def test_a_body_over_the_limit_is_refused(address: tuple[str, int]) -> None:
    request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\n\r\n"
    assert ask(address, request).startswith(b"HTTP/1.1 413 Refused\r\n")


def test_uvicorn_finds_the_parser_in_place_of_httptools() -> None:
    (code,) = (code for code in EXAMPLES if "sys.modules" in code)
    code += "from uvicorn.protocols.http import httptools_impl\nprint(httptools_impl.httptools.__name__)\n"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.returncode) == ("fastwsgi.http\n", 0), run.stderr


def test_the_example_of_callbacks_holds() -> None:
    (code,) = (code for code in EXAMPLES if "HTTPProtocol" in code)
    assert code.count("assert ") == 2
    exec(compile(code, str(DOCUMENT), "exec"), {})


def test_no_example_is_left_out() -> None:
    assert len(EXAMPLES) == 3
    text = re.sub(r"```.*?```", "", DOCUMENT.read_text(), flags=re.DOTALL)
    assert not re.search(r"^    (import|from|def|class) ", text, re.MULTILINE)
