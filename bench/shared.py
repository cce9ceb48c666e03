"""Several workers at once: who waits behind a slow page, who gets how much of a burst, what a reload costs.

A bench by itself, as its load is one that waits (`floor/pace.c`), and its servers have both cores:

    python -m bench.shared                              all of it: half an hour
    python -m bench.shared --quick                      one short round: is the bench itself in order?
    python -m bench.shared --cases tail burst --candidates fastwsgi granian
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import machine, procfs
from bench.candidates import CANDIDATES, ENVIRONMENTS, Candidate, Kind
from bench.environments import Installed, install
from bench.errors import BenchError, CandidateError
from bench.server import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).resolve().parent
APP = "who:who"
SUBJECT = "fastwsgi"

CONNECTIONS = 64
RATE = 1000
BURST_RATE = 2000
SLOW_CLIENTS = 2
LOAD_CONNECTIONS = 16
LOAD_RATE = 400
TAIL_GOAL_MS = 2.0
SHARE_GOAL = (0.45, 0.55)
LATE_MOST_MS = 0.5
"""A run in which the loader's own requests left later than this, at the 99th percentile, is marked."""
RELOAD_MOST_S = 15.0
RECYCLE_AFTER = 20
"""Requests a worker serves before it is replaced."""
RECYCLE_MOST_S = 600
END_S = 30.0


@dataclass(frozen=True)
class Scale:
    """How much is measured. Peers get fewer reloads and recycles: what they lose shows at once."""

    rounds: int = 5
    tail_s: int = 10
    burst_s: int = 3
    reloads: int = 100
    recycles: int = 1000
    peer_reloads: int = 10
    peer_recycles: int = 50


QUICK = Scale(1, 3, 2, 3, 10, 2, 5)


@dataclass(frozen=True)
class Entry:
    """A way to run a candidate with several workers; `command` may also use {workers}.

    `cases` are those it can do at all, `note` says what else there is to know.
    """

    name: str
    environment: str
    command: tuple[str, ...]
    any_port: bool
    note: str
    cases: frozenset[str] = frozenset({"tail", "burst"})
    tail_workers: int = 4


def _command(name: str) -> tuple[str, ...]:
    return next(row for row in CANDIDATES if row.name == name).command


def _set(command: tuple[str, ...], flag: str, value: str) -> tuple[str, ...]:
    at = command.index(flag)
    return (*command[: at + 1], value, *command[at + 2 :])


def _with(name: str, *more: str) -> tuple[str, ...]:
    """The command of `candidates.py`, with as many workers as the case asks for."""
    return (*_set(_command(name), "--workers", "{workers}"), *more)


def _launched(name: str) -> tuple[str, ...]:
    return (*_command(name), "{workers}")


_ALL = frozenset({"tail", "burst", "reload", "recycle"})
_TAIL = frozenset({"tail"})

ENTRIES = (
    Entry("fastwsgi", "fastwsgi", _with("fastwsgi"), True, "sync workers, the default", _ALL),
    Entry(
        "fastwsgi, threads",
        "fastwsgi",
        _with("fastwsgi", "--threads", "4"),
        True,
        "one worker, 4 threads",
        _TAIL,
        1,
    ),
    Entry("gunicorn sync", "gunicorn", _with("gunicorn-sync"), True, "closes after every answer", _TAIL),
    Entry("gunicorn gthread", "gunicorn", _with("gunicorn-gthread"), True, "4 threads a worker", _ALL),
    Entry("granian", "granian", _with("granian"), False, "one blocking thread a worker", _ALL - {"recycle"}),
    Entry(
        "granian, threads",
        "granian",
        _set(_with("granian"), "--blocking-threads", "4"),
        False,
        "4 blocking threads a worker",
        _TAIL,
    ),
    Entry("freastal", "freastal", _launched("freastal"), True, ""),
    Entry("fastpysgi", "fastpysgi", _launched("fastpysgi"), False, ""),
    Entry("bjoern", "bjoern", _launched("bjoern"), True, "forked behind its listener"),
    Entry("peregrine", "peregrine", _with("peregrine"), False, ""),
    Entry("m0serve", "m0serve", _with("m0serve"), False, ""),
    Entry("waitress", "waitress", _command("waitress"), True, "one process, 4 threads", _TAIL, 1),
)

CASES = ("tail", "burst", "reload", "recycle")


@dataclass
class Row:
    """The raw figures of one candidate in one case; `failure` says why there are none, or no more."""

    case: str
    candidate: str
    rounds: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""


class Bench:
    """One run of the bench: what is installed, how much is measured, what was found."""

    def __init__(self, installed: dict[str, Installed], pace: Path, scale: Scale) -> None:
        self.installed = installed
        self.pace = pace
        self.scale = scale
        self.cores = f"0-{(os.cpu_count() or 1) - 1}"

    def measure(self, case: str, entry: Entry) -> dict[str, Any]:
        """One round. CandidateError: it did not work."""
        return {"tail": self.tail, "burst": self.burst, "reload": self.reload, "recycle": self.recycle}[case](
            entry
        )

    def tail(self, entry: Entry) -> dict[str, Any]:
        with self.running(entry, entry.tail_workers) as server:
            return self.load(server, CONNECTIONS, self.scale.tail_s, RATE, SLOW_CLIENTS)

    def burst(self, entry: Entry) -> dict[str, Any]:
        with self.running(entry, 2) as server:
            return self.load(server, CONNECTIONS, self.scale.burst_s, BURST_RATE)

    def reload(self, entry: Entry) -> dict[str, Any]:
        """HUP after HUP, each when the workers of the last one are all gone, under a steady load."""
        wanted = self.scale.reloads if entry.name == SUBJECT else self.scale.peer_reloads
        with self.running(entry, 2) as server, self.loading(server, wanted * RELOAD_MOST_S) as loader:
            done = 0
            for _ in range(wanted):
                done += _reload(server, 2)
            loader.send_signal(signal.SIGTERM)
            return self.result(loader) | {"times": done, "wanted": wanted}

    def recycle(self, entry: Entry) -> dict[str, Any]:
        wanted = self.scale.recycles if entry.name == SUBJECT else self.scale.peer_recycles
        recycling = replace(entry, command=(*entry.command, "--max-requests", str(RECYCLE_AFTER)))
        with (
            self.running(recycling, 2) as server,
            self.loading(server, RECYCLE_MOST_S, pids=wanted + 2) as loader,
        ):
            result = self.result(loader, RECYCLE_MOST_S)
            return result | {"times": len(result["workers"]) - 2, "wanted": wanted}

    @contextlib.contextmanager
    def running(self, entry: Entry, workers: int) -> Iterator[Server]:
        command = tuple(part.replace("{workers}", str(workers)) for part in entry.command)
        kind = Kind.SUBJECT if entry.environment == SUBJECT else Kind.PEER
        candidate = Candidate(entry.name, kind, entry.environment, command, entry.any_port, entry.note)
        installed = self.installed[entry.environment]
        with running(candidate, APP, installed, self.cores) as server:
            # all workers are to be there: the first one listens before the others are
            _await(lambda: len(procfs.tree_pids(server.pid)) >= workers, END_S)
            time.sleep(1)
            yield server

    def load(
        self, server: Server, connections: int, seconds: int, rate: int, slow: int = 0
    ) -> dict[str, Any]:
        command = [self.pace, server.port, connections, seconds, rate, slow]
        with _process(command) as loader:
            return self.result(loader, seconds)

    @contextlib.contextmanager
    def loading(self, server: Server, seconds: float, pids: int = 0) -> Iterator[subprocess.Popen[str]]:
        command = [self.pace, server.port, LOAD_CONNECTIONS, seconds, LOAD_RATE, 0, pids]
        with _process(command) as loader:
            time.sleep(0.5)
            yield loader

    def result(self, loader: subprocess.Popen[str], seconds: float = 0) -> dict[str, Any]:
        try:
            output, _ = loader.communicate(timeout=seconds + END_S)
        except subprocess.TimeoutExpired as error:
            raise CandidateError("the load did not end") from error
        if loader.returncode != 0:
            raise CandidateError("refuses connections")
        result: dict[str, Any] = json.loads(output)
        return result


@contextlib.contextmanager
def _process(command: Sequence[object]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _reload(server: Server, workers: int) -> bool:
    """HUP, and wait until as many processes have gone and come as there are workers. False: not in time."""
    before = set(procfs.tree_pids(server.pid))
    server.process.send_signal(signal.SIGHUP)

    def is_done() -> bool:
        now = set(procfs.tree_pids(server.pid))
        return len(before - now) >= workers and len(now - before) >= workers

    return _await(is_done, RELOAD_MOST_S)


def _await(condition: Callable[[], bool], most_s: float) -> bool:
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


# --- the page ---


def milliseconds(row: Row, times: str, which: str) -> float:
    """The median of the rounds."""
    found: list[int] = [each[times][which] for each in row.rounds]
    return statistics.median(found) / 1000


def shares(row: Row) -> list[float]:
    """The larger share of each round's answers."""
    return [max(each["workers"].values()) / sum(each["workers"].values()) for each in row.rounds]


def total(row: Row, what: str) -> int:
    return sum(each[what] for each in row.rounds)


def page(data: dict[str, Any], rows: list[Row]) -> str:
    """The results as Markdown."""
    facts = ", ".join(f"{name} {value}" for name, value in data["facts"].items() if name != "commit")
    scale = data["scale"]
    lines = [
        "# Several workers",
        "",
        f"Measured {data['started']} at commit {data['facts']['commit']}: {facts}. Load before the run "
        f"{data['load_before']}. {scale['rounds']} interleaved rounds, medians; servers and loader share all "
        "cores, the loader with a better priority. Written by `python -m bench.shared`.",
    ]
    tables = {"tail": _tail_page, "burst": _burst_page, "reload": _kept_page, "recycle": _kept_page}
    for case, make in tables.items():
        chosen = [row for row in rows if row.case == case]
        if chosen:
            lines += ["", *make(chosen, case)]
    return "\n".join(lines) + "\n"


def _note(name: str) -> str:
    return next(entry.note for entry in ENTRIES if entry.name == name)


def _tail_page(rows: list[Row], case: str) -> list[str]:
    lines = [
        "## Fast requests beside a slow page",
        "",
        f"4 workers, {CONNECTIONS} keep-alive connections, {RATE:,} fast requests a second in an open loop "
        "(latency from when each was due, on a random idle connection), "
        f"{SLOW_CLIENTS} clients asking back to back for a page that sleeps 50 ms. Fast requests, "
        f"milliseconds. Goal: fastwsgi's p99 under {TAIL_GOAL_MS:g}. *Late*: how long after they were due "
        "requests left the loader, at its 99th percentile: so much of a row's p99 may be the machine's.",
        "",
        "| server | p50 | p95 | p99 | max | late | failed | closed | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.failure:
            lines.append(f"| {row.candidate} | {row.failure} | | | | | | | {_note(row.candidate)} |")
            continue
        times = [milliseconds(row, "latency_us", which) for which in ("p50", "p95", "p99", "max")]
        late = milliseconds(row, "late_us", "p99")
        lost = total(row, "failed") + total(row, "unanswered")
        figures = " | ".join(f"{each:.2f}" if each < 10 else f"{each:.0f}" for each in times)
        marked = f"**{late:.2f}**" if late > LATE_MOST_MS else f"{late:.2f}"
        lines.append(
            f"| {row.candidate} | {figures} | {marked} | {lost} | {total(row, 'closed')} "
            f"| {_note(row.candidate)} |"
        )
    return lines


def _burst_page(rows: list[Row], case: str) -> list[str]:
    low, high = SHARE_GOAL
    lines = [
        "## A burst of connections",
        "",
        f"2 workers; {CONNECTIONS} keep-alive connections opened at once, then {BURST_RATE:,} requests a "
        "second on them at random. The larger worker's share of the answers, median and range of the rounds. "
        f"Goal: each {low:.0%} to {high:.0%}.",
        "",
        "| server | larger share | range | failed | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.failure:
            lines.append(f"| {row.candidate} | {row.failure} | | | {_note(row.candidate)} |")
            continue
        found = shares(row)
        lines.append(
            f"| {row.candidate} | {statistics.median(found):.0%} | {min(found):.0%} to {max(found):.0%} "
            f"| {total(row, 'failed') + total(row, 'unanswered')} | {_note(row.candidate)} |"
        )
    return lines


def _kept_page(rows: list[Row], case: str) -> list[str]:
    what = "HUP" if case == "reload" else f"workers replaced after {RECYCLE_AFTER} requests each"
    lines = [
        "## Reloads" if case == "reload" else "## Recycled workers",
        "",
        f"2 workers, {LOAD_CONNECTIONS} keep-alive connections, {LOAD_RATE} requests a second meanwhile: "
        f"{what}. Goal: no request fails, the server closes no connection.",
        "",
        "| server | times | answered | failed | closed by the server | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.failure:
            lines.append(f"| {row.candidate} | {row.failure} | | | | {_note(row.candidate)} |")
            continue
        times, wanted = total(row, "times"), total(row, "wanted")
        lines.append(
            f"| {row.candidate} | {times if times >= wanted else f'{times} of {wanted}'} "
            f"| {total(row, 'answered'):,} | {total(row, 'failed') + total(row, 'unanswered')} "
            f"| {total(row, 'closed')} | {_note(row.candidate)} |"
        )
    return lines


# --- the command ---


def run(bench: Bench, entries: list[Entry], cases: Sequence[str], say: Callable[[str], None]) -> list[Row]:
    """Every case, in rounds in which each candidate has its turn. Reloads and recycles have one."""
    found: dict[tuple[str, str], Row] = {}
    for case in cases:
        able = [entry for entry in entries if case in entry.cases]
        for entry in able:
            found[case, entry.name] = Row(case, entry.name)
        for number in range(bench.scale.rounds if case in ("tail", "burst") else 1):
            for entry in able:
                row = found[case, entry.name]
                if row.failure:
                    continue
                try:
                    row.rounds.append(bench.measure(case, entry))
                    say(f"{case} {number + 1}: {entry.name}: {_summary(case, row)}")
                except CandidateError as error:
                    row.failure = str(error)
                    say(f"{case} {number + 1}: {entry.name}: {error}")
    return list(found.values())


def _summary(case: str, row: Row) -> str:
    last = row.rounds[-1]
    lost = last["failed"] + last["unanswered"]
    if case == "tail":
        latency = last["latency_us"]
        return (
            f"p50 {latency['p50'] / 1000:.2f}, p95 {latency['p95'] / 1000:.2f}, "
            f"p99 {latency['p99'] / 1000:.2f}, max {latency['max'] / 1000:.2f} ms "
            f"(late {last['late_us']['p99'] / 1000:.2f}), {lost} failed, {last['closed']} closed"
        )
    if case == "burst":
        return f"{shares(row)[-1]:.1%} at the larger, {last['answered']} answers, {lost} failed"
    return f"{last['times']} times, {last['answered']} answers, {lost} failed, {last['closed']} closed"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.shared", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--candidates", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="one short round; a smoke test, not a result")
    parser.add_argument("--rounds", type=int, help=f"of tail and burst (default: {Scale.rounds})")
    parser.add_argument("--python", type=Path, help="an interpreter that has fastwsgi (default: build it)")
    parser.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="default: bench/.venvs")
    parser.add_argument("--output", type=Path, help="default: bench/results; quick: bench/results/quick")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scale = QUICK if arguments.quick else Scale()
    scale = replace(scale, rounds=arguments.rounds or scale.rounds)
    folder = arguments.output or HERE / "results" / ("quick" if arguments.quick else "")
    data: dict[str, Any] = {
        "started": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": {"commit": machine.commit(), **machine.describe()},
        "load_before": ", ".join(f"{each:.2f}" for each in os.getloadavg()),
        "scale": asdict(scale),
    }
    entries = [entry for entry in ENTRIES if entry.name in arguments.candidates]
    try:
        floor = install(ENVIRONMENTS["floor"], arguments.venvs)
        installed, missing = _install(entries, arguments.venvs, arguments.python)
        entries = [entry for entry in entries if entry.environment in installed]
        bench = Bench(installed, floor.bin / "pace", scale)
        rows = run(bench, entries, arguments.cases, lambda text: print(text, flush=True))
    except (BenchError, CandidateError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    folder.mkdir(parents=True, exist_ok=True)
    versions = {name: each.versions for name, each in installed.items()}
    data |= {"missing": missing, "versions": versions, "rows": [asdict(row) for row in rows]}
    (folder / "shared.json").write_text(json.dumps(data, indent=1) + "\n")
    (folder / "shared.md").write_text(page(data, rows))
    print(folder / "shared.md")
    return 0


def _install(
    entries: list[Entry], cache: Path, python: Path | None
) -> tuple[dict[str, Installed], dict[str, str]]:
    """What is ready, and why the rest is not."""
    ready: dict[str, Installed] = {}
    missing: dict[str, str] = defaultdict(str)
    for name in dict.fromkeys(entry.environment for entry in entries):
        print(f"environment: {name}", flush=True)
        try:
            ready[name] = install(ENVIRONMENTS[name], cache, python)
        except CandidateError as error:
            missing[name] = str(error)
            print(f"{name}: {error}", file=sys.stderr)
    return ready, dict(missing)


if __name__ == "__main__":
    sys.exit(main())
