"""What fastwsgi's own features cost: the access log, long bodies, starting, memory, idling, crowds.

No peers here but nginx, for files: each figure is of fastwsgi with and without something, rates in
interleaved rounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import bodies, crowd, machine, procfs
from bench.candidates import CANDIDATES
from bench.cases import CASES
from bench.environments import ROOT
from bench.errors import BenchError, CandidateError
from bench.figure import Figure
from bench.goals import SUBJECT
from bench.measure import Settings, measure_case
from bench.results import cpu, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.environments import Installed

SITE = ROOT / "examples" / "django_site"
APPS = Path(__file__).resolve().parent / "apps"

MEMORY = Path("/dev/shm")
"""A file system without a disk."""

STARTS = 15
MEMORY_WORKERS = 8
MEMORY_REQUESTS = 400
IDLE_S = 5.0
START_MOST_S = 30.0
STOP_MOST_S = 10.0

REQUEST = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def measure(installed: Installed, settings: Settings, say: Callable[[str], None]) -> list[Figure]:
    """All figures. CandidateError: a server did not do what it was started for."""
    figures = []
    for case, most in (("hello", 0.12), ("flask", 0.02)):
        say(f"access log, {case}")
        figures.append(access_log(installed, settings, case, most))
    say("files and uploads")
    figures += [bodies.files(installed, settings), *bodies.uploads(installed, settings)]
    say("starting")
    figures.append(starting(installed))
    say("memory")
    figures.append(memory(installed))
    say("idle")
    figures += idle(installed)
    say("idle connections")
    figures.append(idle_connections(installed, settings))
    say("slow clients")
    return [*figures, *slow_clients(installed, settings)]


def access_log(installed: Installed, settings: Settings, name: str, most: float) -> Figure:
    """What lines cost the server, as a share of the rate without.

    They go to a file in memory: what a shared machine's disk costs, on the loader's core too, says little.
    """
    case = next(case for case in CASES if case.name == name)
    plain = next(candidate for candidate in CANDIDATES if candidate.name == SUBJECT)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        flags = ("--access-logfile", f"{folder}/access.log")
        logging = replace(plain, name="logging", command=(*plain.command, *flags))
        pairs = [(plain, installed), (logging, installed)]
        without, with_log = measure_case(case, pairs, settings, lambda candidate, number: None)
    for row in (without, with_log):
        if not row.comparable:
            raise CandidateError(f"access log, {name}: {row.failure or 'errors or stalls'}")
    lost = 1 - with_log.span(rate).median / without.span(rate).median
    dearer = with_log.span(cpu).median / without.span(cpu).median - 1
    return Figure(
        f"an access log (to tmpfs), {name}",
        f"{without.span(rate).median:,.0f} req/s, {without.span(cpu).median:.2f} µs",
        f"{with_log.span(rate).median:,.0f} req/s, {with_log.span(cpu).median:.2f} µs: "
        f"{lost:+.1%} of the rate, {dearer:+.1%} CPU",
        f"at most {most:.0%} of the rate",
        lost <= most,
    )


def starting(installed: Installed) -> Figure:
    """From the command to the first answer of an application that imports nothing."""
    interpreter = [_timed(lambda: subprocess.run([installed.python, "-c", ""], check=True))]
    times = []
    for _ in range(STARTS):
        interpreter.append(_timed(lambda: subprocess.run([installed.python, "-c", ""], check=True)))
        begun = time.perf_counter()
        with _serving(installed, ["fastwsgi", "plain:hello"], APPS) as (_, port):
            _answer(port, "/")
            times.append(time.perf_counter() - begun)
    median = statistics.median(times) * 1000
    return Figure(
        "from the command to the first answer",
        f"{statistics.median(interpreter) * 1000:.0f} ms for a Python that does nothing",
        f"{median:.0f} ms (of {STARTS}: {min(times) * 1000:.0f} to {max(times) * 1000:.0f})",
        "under 150 ms",
        median < 150,
    )


def memory(installed: Installed) -> Figure:
    """PSS of all processes of the Django example, when each worker has answered."""
    found = {}
    for name, flags in (("each loads", ()), ("preload", ("--preload",))):
        with tempfile.TemporaryDirectory() as folder:
            environment = {"DJANGO_DATA_DIR": folder}
            command = [str(SITE / "serve.sh"), "--workers", str(MEMORY_WORKERS), *flags]
            with _serving(installed, command, SITE, environment) as (pid, port):
                for _ in range(MEMORY_REQUESTS):
                    _answer(port, "/admin/login/")
                found[name] = procfs.tree_pss_kib(pid) / 1024
    return Figure(
        f"memory of the Django example with {MEMORY_WORKERS} workers, PSS",
        f"{found['each loads']:.0f} MiB",
        f"{found['preload']:.0f} MiB with --preload, which freezes what is loaded",
    )


def idle(installed: Installed) -> list[Figure]:
    """Wake-ups of a server that nobody asks anything."""
    with _serving(installed, ["fastwsgi", "plain:hello", "--workers", "2"], APPS) as (pid, port):
        _answer(port, "/")
        time.sleep(1)
        before = _switches(pid)
        time.sleep(IDLE_S)
        after = _switches(pid)
    counts = {each: after[each] - before.get(each, 0) for each in after}
    arbiter = counts.pop(pid)
    return [
        Figure(
            f"wake-ups in {IDLE_S:.0f} s without a request, arbiter",
            "",
            str(arbiter),
            "one a second at most",
            arbiter <= IDLE_S + 1,
        ),
        Figure(
            f"wake-ups in {IDLE_S:.0f} s without a request, workers",
            "",
            str(sum(counts.values())),
            "none",
            sum(counts.values()) == 0,
        ),
    ]


def idle_connections(installed: Installed, settings: Settings) -> Figure:
    each = crowd.idle_bytes(installed, settings)
    return Figure(
        f"memory of {crowd.IDLE:,} idle keep-alive connections on one worker, PSS",
        "",
        f"{each:.0f} bytes each",
        "under 2 KiB",
        each < 2048,
    )


def slow_clients(installed: Installed, settings: Settings) -> list[Figure]:
    """What a normal load notices of clients that send a byte a second: a sink's, and the server's own."""
    found = crowd.beside_slow_clients(installed, settings)
    what = f"beside {crowd.SLOW:,} clients that send a byte a second, hello"
    slower, later = 1 - found.own.rate / found.sink.rate, found.own.p99_ms / found.sink.p99_ms - 1
    return [
        Figure(
            f"rate {what}",
            f"beside those of a sink on the same core: {found.sink.rate:,.0f} req/s "
            f"(without any: {found.alone.rate:,.0f})",
            f"{found.own.rate:,.0f} req/s: {slower:+.1%} of the rate",
            "within 10%",
            slower <= 0.10,
        ),
        Figure(
            f"p99 {what}",
            f"beside those of a sink on the same core: {found.sink.p99_ms:.2f} ms "
            f"(without any: {found.alone.p99_ms:.2f} ms)",
            f"{found.own.p99_ms:.2f} ms: {later:+.1%}",
            "within 10%",
            later <= 0.10,
        ),
    ]


def page(started: str, facts: dict[str, str], settings: Settings, figures: list[Figure]) -> str:
    """The figures as Markdown."""
    lines = [
        "# What its own features cost",
        "",
        "Generated by `python -m bench own`; no peers, see [the comparison](README.md) for those.",
        "",
        f"Measured {started} at commit `{facts['commit']}`. "
        + "; ".join(f"{name} {value}" for name, value in facts.items() if name != "commit")
        + f". Rates: {settings.rounds} interleaved rounds of {settings.seconds} s, medians; server and "
        "loader on a core each.",
        "",
        "| what | without | with | goal | reached |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in figures:
        reached = {None: "", True: "yes", False: "**no**"}[each.reached]
        lines.append(f"| {each.what} | {each.without} | {each.figure} | {each.goal} | {reached} |")
    return "\n".join(lines) + "\n"


def run(installed: Installed, settings: Settings, folder: Path, say: Callable[[str], None]) -> Path:
    """Measure, and write `own.json` and `own.md`. BenchError: something did not work."""
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts = {"commit": machine.commit(), **machine.describe()}
    try:
        figures = measure(installed, settings, say)
    except CandidateError as error:
        raise BenchError(str(error)) from error
    data = {"started": started, "facts": facts, "settings": asdict(settings)}
    data["figures"] = [asdict(each) for each in figures]
    (folder / "own.json").write_text(json.dumps(data, indent=1) + "\n")
    path = folder / "own.md"
    path.write_text(page(started, facts, settings, figures))
    return path


@contextlib.contextmanager
def _serving(
    installed: Installed, command: list[str], folder: Path, extra: dict[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """A server that listens, as its pid and port; ended when the block is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "PATH": f"{installed.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(folder),
        **(extra or {}),
    }
    process = subprocess.Popen(
        [*command, "--bind", f"127.0.0.1:{port}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_listener(process, port)
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_MOST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_MOST_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.001)
    raise CandidateError(f"{process.args!r} did not listen")


def _answer(port: int, path: str) -> None:
    with socket.create_connection(("127.0.0.1", port), START_MOST_S) as connection:
        connection.sendall(REQUEST % path.encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise CandidateError(f"{path} was answered with {answer[:40]!r}")


def _switches(root: int) -> dict[int, int]:
    """How often each process of the tree has gone to sleep, in all of its threads."""
    found = {}
    for pid in procfs.tree_pids(root):
        total = 0
        for thread in Path(f"/proc/{pid}/task").iterdir():
            status = (thread / "status").read_text()
            total += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        found[pid] = total
    return found


def _timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun
