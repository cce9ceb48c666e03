"""What parsing requests costs from Python: fastwsgi.http beside httptools and h11. `python -m bench.parser`

No socket and no server. Every candidate reads the same bytes and has to come to the same method, target,
headers and body of each request; those of the last one are compared in every round. Two protocols are behind
the callback interfaces, the same classes for either library: `Collect` keeps what it is told, as a server
does, `Empty` does nothing, so that what is left is the parser and the calls. These calls alone, made by
`map` with arguments that are there already, are a candidate too: no parser can save them.

Candidates take turns in short rounds, and of a round's figures the ratio is taken, so that a machine that is
slow for a while is slow for all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h11
import httptools

import fastwsgi.http
from bench import machine, parser_page
from bench.cases import CASES
from fastwsgi.http import Data, Request, RequestParser

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS: Final = Path(__file__).resolve().parent / "results"
REQUESTS: Final = 256
"""Requests of a round; a multiple of the depth of a pipeline."""
DEPTH: Final = 16
H11_REQUESTS: Final = 32
"""It takes so long that more would be most of the run."""

Headers = list[tuple[bytes, bytes]]
Answer = tuple[bytes, bytes, Headers, bytes]
"""Method, target, headers and body of a request."""


class Collect:
    """Keeps each request, as a server would."""

    def on_message_begin(self) -> None:
        self.headers: Headers = []
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        pass

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        pass


class Empty:
    """Has every callback that Collect has."""

    def on_message_begin(self) -> None:
        pass

    def on_url(self, url: bytes) -> None:
        pass

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_headers_complete(self) -> None:
        pass

    def on_body(self, body: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        pass


def events(stream: list[bytes], new: bool) -> Answer:
    head, piece = Request, Data
    parser = RequestParser()
    for data in stream:
        if new:
            parser = RequestParser()
        for event in parser.feed(data):
            kind = type(event)
            if kind is head:
                request = event
                body = b""
            elif kind is piece:
                body += bytes(event)
    return request.method, request.target, list(request.headers), body


def callbacks(library: Any, kind: type[Any]) -> Callable[[list[bytes], bool], Answer | None]:
    def run(stream: list[bytes], new: bool) -> Answer | None:
        protocol = kind()
        parser = library.HttpRequestParser(protocol)
        for data in stream:
            if new:
                protocol = kind()
                parser = library.HttpRequestParser(protocol)
            parser.feed_data(data)
        if kind is Empty:
            return None
        headers = [(name.lower(), value) for name, value in protocol.headers]
        return parser.get_method(), protocol.url, headers, protocol.body

    return run


def calls_alone(kind: type[Any]) -> Callable[[list[bytes], bool], Answer | None]:
    """The calls for a request with many fields; for those by the quickest means that Python has."""

    def run(stream: list[bytes], new: bool) -> None:
        _, target, headers, _ = right_answer(stream[-1])
        names, values = zip(*headers, strict=True)
        protocol = kind()
        for _ in stream:
            protocol.on_message_begin()
            protocol.on_url(target)
            deque(map(kind.on_header, repeat(protocol), names, values), 0)
            protocol.on_headers_complete()
            protocol.on_message_complete()

    return run


def of_h11(stream: list[bytes], new: bool) -> Answer:
    for data in stream:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        body = b""
        while type(event := connection.next_event()) is not h11.EndOfMessage:
            if type(event) is h11.Request:
                request = event
            else:
                body += event.data
    return request.method, request.target, [(bytes(n), bytes(v)) for n, v in request.headers], body


CANDIDATES: Final[dict[str, Callable[[list[bytes], bool], Answer | None]]] = {
    "httptools, Collect": callbacks(httptools, Collect),
    "RequestParser": events,
    "HttpRequestParser, Collect": callbacks(fastwsgi.http, Collect),
    "the calls alone, Collect": calls_alone(Collect),
    "httptools, Empty": callbacks(httptools, Empty),
    "HttpRequestParser, Empty": callbacks(fastwsgi.http, Empty),
    "the calls alone, Empty": calls_alone(Empty),
    "h11": of_h11,
}

# What a figure is compared with: the same protocol behind httptools. Events give all that Collect keeps.
BESIDE: Final = {
    name: "httptools, Empty" if name.endswith("Empty") else "httptools, Collect" for name in CANDIDATES
}


def case(name: str) -> list[bytes]:
    """The requests that the servers are measured with as well."""
    (found,) = (each for each in CASES if each.name == name)
    return found.requests("127.0.0.1:8000")[:REQUESTS]


@dataclass(frozen=True)
class Load:
    name: str
    title: str
    requests: list[bytes]
    depth: int = 1

    def stream(self, count: int) -> list[bytes]:
        """What is fed: `count` requests, `depth` of them at a time."""
        taken = [self.requests[number % len(self.requests)] for number in range(count)]
        return [b"".join(taken[at : at + self.depth]) for at in range(0, count, self.depth)]


_POST: Final = b"POST /form?x=1 HTTP/1.1\r\nHost: localhost:8000\r\nContent-Type: application/json\r\n"
_BLOCK: Final = bytes(range(32, 127)) * 4

LOADS: Final = (
    Load("get", "a small GET, one field", case("hello")),
    Load("browser", "a browser's GET, 12 fields of which two change", case("browser")),
    Load("post", "a POST of 380 bytes", [b"%sContent-Length: %d\r\n\r\n%s" % (_POST, len(_BLOCK), _BLOCK)]),
    Load(
        "chunked",
        "a POST of four chunks of 380 bytes",
        [_POST + b"Transfer-Encoding: chunked\r\n\r\n" + 4 * (b"17c\r\n%s\r\n" % _BLOCK) + b"0\r\n\r\n"],
    ),
    Load("pipelined", f"small GETs, {DEPTH} at a time", case("hello"), DEPTH),
)


def right_answer(data: bytes) -> Answer:
    """Of the last request in `data`, by the simplest means: bodies here hold no line end and no method."""
    head, _, body = data[max(data.rfind(b"GET "), data.rfind(b"POST ")) :].partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    pairs = [field.split(b": ", 1) for field in fields]
    if b"\r\n" in body:
        body = b"".join(body.split(b"\r\n")[1:-3:2])
    method, target, _version = line.split()
    return method, target, [(name.lower(), value) for name, value in pairs], body


def candidates(load: Load, new: bool) -> list[str]:
    """The calls alone are for many fields only, and h11 wants answers sent on a connection that stays."""
    return [
        name
        for name in CANDIDATES
        if (load.name == "browser" or "alone" not in name) and (name != "h11" or (new and load.depth == 1))
    ]


def measure(load: Load, new: bool, rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a request, by candidate, one figure a round."""
    figures: dict[str, list[float]] = {name: [] for name in candidates(load, new)}
    for number in range(rounds + 1):
        for name, own in figures.items():
            count = H11_REQUESTS if name == "h11" else REQUESTS
            stream = load.stream(count)
            begin = time.thread_time_ns()
            found = CANDIDATES[name](stream, new)
            took = time.thread_time_ns() - begin
            if found is not None and found != right_answer(stream[-1]):
                raise SystemExit(f"{load.name}: {name} gives a wrong answer: {found}")
            if number > 0:  # the first one warms up
                own.append(round(took / count, 1))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parser", description=__doc__)
    parser.add_argument("--rounds", type=int, default=201, help="rounds of each load (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for parser.md and parser.json")
    arguments = parser.parse_args()
    facts = machine.describe() | {
        "httptools": httptools.__version__,
        "h11": h11.__version__,
        "commit": machine.commit(),
    }
    data: dict[str, Any] = {
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "facts": facts,
        "rounds": arguments.rounds,
        "requests": REQUESTS,
        "beside": BESIDE,
        "loads": [],
    }
    for load in LOADS:
        size = sum(map(len, load.requests)) // len(load.requests)
        print(load.title, file=sys.stderr)
        data["loads"].append(
            {
                "name": load.name,
                "title": load.title,
                "bytes": size,
                "kept": measure(load, False, arguments.rounds),
                "new": measure(load, True, arguments.rounds),
            }
        )
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "parser.json").write_text(json.dumps(data) + "\n")
    page = arguments.results / "parser.md"
    page.write_text(parser_page.page(data))
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
