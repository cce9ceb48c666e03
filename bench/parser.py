"""What parsing a request costs from Python: fastwsgi.http beside httptools. `python -m bench.parser`

No socket and no server. The requests are those of the case "browser": 12 fields, some 700 bytes. Each
candidate keeps method, target and all headers of each request, as bytes; whether they are the right ones is
checked in the run. Candidates take turns in short rounds, and of a round's rates the ratio is taken, so that
a machine that is slow for a while is slow for all. The median round is the result, and the fastest tenth says
what the code costs when nobody disturbs it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httptools

import fastwsgi.http
from bench.cases import CASES

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS_A_ROUND: Final = 500

Headers = list[tuple[bytes, bytes]]
Answer = tuple[bytes, Headers]
"""Target and headers of a request."""


class Collect:
    """The plain protocol of a callback interface."""

    def on_message_begin(self) -> None:
        self.headers: Headers = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


def events(requests: list[bytes], new: bool) -> Answer:
    kind = fastwsgi.http.Request
    parser = fastwsgi.http.RequestParser()
    for data in requests:
        if new:
            parser = fastwsgi.http.RequestParser()
        for event in parser.feed(data):
            if type(event) is kind:
                request = event
    return request.target, list(request.headers)


def callbacks(library: Any) -> Callable[[list[bytes], bool], Answer]:
    def run(requests: list[bytes], new: bool) -> Answer:
        protocol = Collect()
        parser = library.HttpRequestParser(protocol)
        for data in requests:
            if new:
                protocol = Collect()
                parser = library.HttpRequestParser(protocol)
            parser.feed_data(data)
        return protocol.url, [(name.lower(), value) for name, value in protocol.headers]

    return run


def calls_alone(requests: list[bytes], new: bool) -> Answer:
    """The protocol's methods called with arguments that are there already: what no parser can save."""
    target, headers = right_answer(requests[-1])
    names, values = zip(*headers, strict=True)
    protocol = Collect()
    for _ in requests:
        protocol.on_message_begin()
        protocol.on_url(target)
        deque(map(protocol.on_header, names, values), 0)
    return protocol.url, protocol.headers


CANDIDATES: Final[dict[str, Callable[[list[bytes], bool], Answer]]] = {
    "httptools": callbacks(httptools),
    "RequestParser": events,
    "HttpRequestParser": callbacks(fastwsgi.http),
    "the callbacks alone": calls_alone,
}


@dataclass(frozen=True)
class Load:
    name: str
    variants: int
    new: bool

    def requests(self) -> list[bytes]:
        (case,) = (case for case in CASES if case.name == "browser")
        variants = case.requests("127.0.0.1:8000")[: self.variants]
        return [variants[number % len(variants)] for number in range(REQUESTS_A_ROUND)]


LOADS: Final = (
    Load("one connection, some fields changing", 1021, False),
    Load("one connection, the same request", 1, False),
    Load("a new connection for each request", 1021, True),
)


def right_answer(data: bytes) -> Answer:
    line, *fields = data.decode().removesuffix("\r\n\r\n").split("\r\n")
    pairs = [field.split(": ", 1) for field in fields]
    return line.split()[1].encode(), [(name.lower().encode(), value.encode()) for name, value in pairs]


def measure(load: Load, rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a request, by candidate, one figure a round."""
    requests = load.requests()
    answer = right_answer(requests[-1])
    figures: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for number in range(rounds + 1):
        for name, run in CANDIDATES.items():
            begin = time.thread_time_ns()
            found = run(requests, load.new)
            took = time.thread_time_ns() - begin
            if (found[0], [(key.lower(), value) for key, value in found[1]]) != answer:
                raise SystemExit(f"{name} gives a wrong answer: {found}")
            if number > 0:  # the first one warms up
                figures[name].append(took / len(requests))
    return figures


def report(load: Load, figures: dict[str, list[float]]) -> None:
    size = statistics.mean(map(len, load.requests()))
    print(f"\n{load.name} ({size:.0f} bytes):\n")
    print("| | ns, fastest tenth | ns, median | rate, to that of httptools |")
    print("| --- | ---: | ---: | ---: |")
    for name, own in figures.items():
        tenth = sorted(own)[len(own) // 10]
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(figures["httptools"], own, strict=True)
        )
        print(f"| {name} | {tenth:.0f} | {statistics.median(own):.0f} | {ratio:.2f} |")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parser", description=__doc__)
    parser.add_argument("--rounds", type=int, default=401, help="rounds of each load (default: %(default)s)")
    rounds = parser.parse_args().rounds
    print(f"{sys.implementation.name} {sys.version.split()[0]}, httptools {httptools.__version__}")
    for load in LOADS:
        report(load, measure(load, rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
