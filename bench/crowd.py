"""What many connections cost one worker: thousands that are idle, thousands that are slow."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import procfs
from bench.candidates import CANDIDATES, Candidate, Kind
from bench.cases import CASES
from bench.environments import ROOT, build_floor
from bench.errors import CandidateError
from bench.goals import SUBJECT
from bench.loader import apply_load
from bench.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.environments import Installed
    from bench.measure import Settings
    from bench.server import Server

IDLE = 10_000
FIRST = 200
"""So many are open before the memory is looked at: what the first ones bring is not theirs alone."""
SLOW = 2_000
SLOW_END_S = 10.0

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Share:
    """What a normal load got beside slow clients, or without: medians of the rounds."""

    rate: float
    p99_ms: float


def idle_bytes(installed: Installed, settings: Settings) -> float:
    """Bytes of the server's memory (PSS) for each idle keep-alive connection."""
    with _serving(installed, settings) as server, contextlib.ExitStack() as stack:
        for _ in range(FIRST):
            stack.enter_context(_answered(server))
        before = procfs.tree_pss_kib(server.pid)
        for _ in range(IDLE):
            stack.enter_context(_answered(server))
        return (procfs.tree_pss_kib(server.pid) - before) * 1024 / IDLE


@dataclass(frozen=True)
class Beside:
    """What the load of `hello` got: alone, beside slow clients of a sink, beside slow clients of its server.

    The sink only receives, on the server's core. What so many clients that send take from the loader, and
    what their bytes cost the kernel on either core, is in both of the latter: what is between these two is
    the server's part.
    """

    alone: Share
    sink: Share
    own: Share


def beside_slow_clients(installed: Installed, settings: Settings) -> Beside:
    """In interleaved rounds."""
    found: dict[str, list[Share]] = {"alone": [], "sink": [], "own": []}
    case = next(case for case in CASES if case.name == "hello")
    with tempfile.TemporaryDirectory() as folder:
        program = build_floor("sink", Path(folder))
        sink = Candidate("sink", Kind.FLOOR, "floors", (str(program), "{port}"), any_port=False, note="")
        for _ in range(settings.rounds):
            for whose, shares in found.items():
                with (
                    _serving(installed, settings) as server,
                    running(sink, "", installed, settings.server_core) as other,
                    _slow_clients(other if whose == "sink" else server, SLOW * (whose != "alone"), settings),
                ):
                    apply_load(server, case, settings.warmup, settings.loader_core)
                    load = apply_load(server, case, settings.seconds, settings.loader_core)
                if any(load.errors.values()) or load.p99_ms is None:
                    raise CandidateError(f"beside slow clients ({whose}): {load.errors}")
                shares.append(Share(load.requests / load.duration_s, load.p99_ms))
    return Beside(**{whose: _median(shares) for whose, shares in found.items()})


def _median(shares: list[Share]) -> Share:
    return Share(
        statistics.median(share.rate for share in shares),
        statistics.median(share.p99_ms for share in shares),
    )


@contextlib.contextmanager
def _serving(installed: Installed, settings: Settings) -> Iterator[Server]:
    plain = next(candidate for candidate in CANDIDATES if candidate.name == SUBJECT)
    roomy = replace(plain, command=(*plain.command, "--worker-connections", str(2 * IDLE)))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < IDLE + 2 * FIRST:
        raise CandidateError(f"the hard limit of open files is {most}: too few for {IDLE} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with running(roomy, "plain:hello", installed, settings.server_core) as server, _answered(server):
        yield server


def _answered(server: Server) -> socket.socket:
    """A connection that has had an answer, and may have another."""
    connection = socket.create_connection(("127.0.0.1", server.port), 10)
    connection.sendall(REQUEST)
    if not connection.recv(65536).startswith(b"HTTP/1.1 200 "):
        raise CandidateError("a connection was not answered")
    return connection


@contextlib.contextmanager
def _slow_clients(server: Server, count: int, settings: Settings) -> Iterator[None]:
    """On the loader's core, and the loader goes first: what they take from it is not the server's."""
    command = [sys.executable, "-m", "bench.trickle", str(server.port), str(count)]
    pinned = ["taskset", "--cpu-list", str(settings.loader_core), "nice", "-n", "19", *command]
    with subprocess.Popen(
        pinned, cwd=ROOT, env=dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as clients:
        try:
            if clients.stdout is None or clients.stdout.readline() != b"ready\n":
                raise CandidateError(f"{count} slow clients could not all connect")
            yield
        finally:
            if clients.stdin is not None:
                clients.stdin.close()
            try:
                clients.wait(SLOW_END_S)
            except subprocess.TimeoutExpired:
                clients.kill()
