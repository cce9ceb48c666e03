"""What long bodies cost: files beside nginx, uploads beside a bare loop, and what others notice of them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import procfs
from bench.candidates import Candidate, Kind
from bench.environments import ROOT
from bench.errors import CandidateError
from bench.figure import Figure
from bench.loader import find_wrk
from bench.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.environments import Installed
    from bench.measure import Settings

FILE_SIZE = 1024 * 1024
FILE_CONNECTIONS = 16
UPLOAD_SIZE = 100 * 1024 * 1024
UPLOADS = 5
BLOCK = b"x" * (256 * 1024)

NGINX = """\
daemon off;
worker_processes 1;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 100000000;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        location / {{ root {folder}; try_files /file =404; default_type application/octet-stream; }}
    }}
}}
"""
NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

OURS = ("{bin}/fastwsgi", "bodies:{app}", "--bind", "127.0.0.1:{port}")


def files(installed: Installed, settings: Settings) -> Figure:
    """1 MiB by sendfile, on keep-alive connections, beside nginx on the same core."""
    if shutil.which("nginx") is None:
        raise CandidateError("nginx not found: apt-get install nginx-light")
    rates: dict[str, list[float]] = {"nginx": [], "fastwsgi": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(os.urandom(FILE_SIZE))
        configuration = Path(folder, "nginx.conf")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in NGINX_TEMPORARY)
        configuration.write_text(NGINX.format(folder=folder, port=port, temporary=temporary))
        nginx = _candidate("nginx", ("nginx", "-c", str(configuration)), any_port=True)
        ours = _candidate("fastwsgi", OURS)
        with _environment(BENCH_FILE=str(path)):
            for _ in range(settings.rounds):
                for candidate in (nginx, ours):
                    with running(candidate, "file", installed, settings.server_core) as server:
                        rates[candidate.name].append(_wrk(server.port, settings))
    theirs, own = (statistics.median(rates[name]) for name in ("nginx", "fastwsgi"))
    return Figure(
        f"files of 1 MiB by sendfile, {FILE_CONNECTIONS} connections",
        f"nginx: {theirs:,.0f} req/s",
        f"{own:,.0f} req/s: {own / theirs:.2f} of nginx's",
        "at least 0.9 of nginx's rate",
        own >= 0.9 * theirs,
    )


def uploads(installed: Installed, settings: Settings) -> list[Figure]:
    """100 MiB to a file, beside bare loops; and small requests while that goes on."""
    receive = (sys.executable, str(ROOT / "bench" / "floor" / "receive.py"), "{port}")
    loop = _candidate("loop", receive, any_port=True)
    again = _candidate("loop again", (*receive, "again"), any_port=True)
    ours = _candidate("fastwsgi", OURS)
    rates: dict[str, list[float]] = {each.name: [] for each in (loop, again, ours)}
    costs: dict[str, list[float]] = {each.name: [] for each in (loop, again, ours)}
    quiet: list[float] = []
    busy: list[float] = []
    for _ in range(settings.rounds):
        for candidate in (loop, again, ours):
            with running(candidate, "upload", installed, settings.server_core) as server:
                _upload(server.port)
                before_s = procfs.tree_cpu_s(server.pid)
                rates[candidate.name] += [_upload(server.port) for _ in range(UPLOADS)]
                took_s = procfs.tree_cpu_s(server.pid) - before_s
                costs[candidate.name].append(took_s * 1e6 * 2**20 / (UPLOADS * UPLOAD_SIZE))
        with running(ours, "upload", installed, settings.server_core) as server:
            quiet += _probed(server.port, settings)
            with _uploading(server.port):
                busy += _probed(server.port, settings)
    bare, same, own = (statistics.median(each) for each in rates.values())
    bare_us, same_us, own_us = (statistics.median(each) for each in costs.values())
    before, during = (_percentile(each, 0.99) for each in (quiet, busy))
    figure = f"{own:,.0f} MiB/s, {own_us:.0f} µs CPU a MiB"
    return [
        Figure(
            "uploads of 100 MiB, to a file",
            f"a bare loop of recv and write, 64 KiB, a file each: {bare:,.0f} MiB/s, {bare_us:.0f} µs",
            f"{figure}: {own / bare:.2f} of the loop's rate",
            "at least 0.8 of the loop's rate",
            own >= 0.8 * bare,
        ),
        Figure(
            "uploads of 100 MiB, to a file that is used again",
            f"a loop that writes its one file over, by 256 KiB: {same:,.0f} MiB/s, {same_us:.0f} µs",
            f"{figure}: {own / same:.2f} of the loop's rate",
            "at least 0.8 of the loop's rate",
            own >= 0.8 * same,
        ),
        Figure(
            "small requests while one client uploads, p99",
            f"{before:.2f} ms (median {statistics.median(quiet):.2f} ms)",
            f"{during:.2f} ms (median {statistics.median(busy):.2f} ms)",
            "no more than 1 ms longer",
            during <= before + 1,
        ),
    ]


def _candidate(name: str, command: tuple[str, ...], *, any_port: bool = False) -> Candidate:
    return Candidate(name, Kind.SUBJECT, "fastwsgi", command, any_port, "")


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """What the servers of this block find in their environment."""
    before = os.environ.copy()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _wrk(port: int, settings: Settings) -> float:
    """Answers a second, each of them whole."""
    command = ["taskset", "--cpu-list", str(settings.loader_core), find_wrk(), "--threads", "1"]
    command += ["--connections", str(FILE_CONNECTIONS), "--duration", f"{settings.seconds}s"]
    run = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=settings.seconds + 10
    )
    words = run.stdout.split()
    if "Non-2xx" in words or "errors:" in words or "Requests/sec:" not in words:
        raise CandidateError(f"wrk met errors: {run.stdout.strip()[-200:]}")
    rate = float(words[words.index("Requests/sec:") + 1])
    size = float(words[words.index("Transfer/sec:") + 1].removesuffix("GB").removesuffix("MB"))
    size *= 1024 if "GB" in words[words.index("Transfer/sec:") + 1] else 1
    if not 0.95 < size / rate < 1.1:  # MiB each; wrk rounds
        raise CandidateError(f"answers of {size / rate:.2f} MiB")
    return rate


def _upload(port: int) -> float:
    """MiB a second of one upload."""
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {UPLOAD_SIZE}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        begun = time.perf_counter()
        connection.sendall(head)
        for _ in range(UPLOAD_SIZE // len(BLOCK)):
            connection.sendall(BLOCK)
        answer = connection.recv(4096)
        took = time.perf_counter() - begun
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise CandidateError(f"an upload was answered with {answer[:40]!r}")
    return UPLOAD_SIZE / 2**20 / took


@contextmanager
def _uploading(port: int) -> Iterator[None]:
    """Uploads one after the other, by a process that the probe goes before.

    What the two take from each other on the loader's core is not the server's doing.
    """
    command = ["nice", "-n", "19", sys.executable, "-m", "bench.bodies", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise CandidateError("an upload went wrong")
            yield
        finally:
            process.terminate()


def _probed(port: int, settings: Settings) -> list[float]:
    """Milliseconds of small requests, sent by another process."""
    command = [sys.executable, "-m", "bench.probe", str(port), str(settings.seconds)]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, timeout=settings.seconds + 30, check=False, text=True
    )
    if run.returncode != 0:
        raise CandidateError("the probe ended with an error")
    return [float(each) for each in json.loads(run.stdout)]


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def main(port: int) -> None:
    """Upload until told to end; say "ready" after the first time."""
    _upload(port)
    print("ready", flush=True)
    while True:
        _upload(port)


if __name__ == "__main__":
    main(int(sys.argv[1]))
