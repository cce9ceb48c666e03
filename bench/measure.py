"""The measuring: rounds that go through the candidates in turn, and what one run records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import procfs
from bench.candidates import Candidate
from bench.check import Finding, check
from bench.errors import CandidateError
from bench.loader import apply_load
from bench.results import Round, Row
from bench.server import running

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.environments import Installed


@dataclass(frozen=True)
class Settings:
    """How long, how often and where. Whole seconds, because wrk takes no others."""

    rounds: int
    seconds: int
    warmup: int
    server_core: int
    loader_core: int


# Told before each run: the candidate, and the number of its round from 1.
Progress = Callable[[Candidate, int], None]


def measure_case(
    case: Case,
    candidates: Sequence[tuple[Candidate, Installed]],
    settings: Settings,
    progress: Progress,
) -> list[Row]:
    """All rounds of one case. A round runs every candidate once: a slow minute of the machine hits them all.

    A candidate that fails is not asked again, and its row says why.
    """
    rows = {candidate.name: Row(case.name, candidate.name) for candidate, _ in candidates}
    for number in range(1, settings.rounds + 1):
        for candidate, installed in candidates:
            progress(candidate, number)
            row = rows[candidate.name]
            if row.failure:
                continue
            try:
                found, one = _measure_once(case, candidate, installed, settings, number)
            except CandidateError as error:
                row.failure = str(error) if number == 1 else f"round {number}: {error}"
            else:
                row.remark, row.unlike = found.remark, found.unlike
                row.rounds.append(one)
    return list(rows.values())


def _measure_once(
    case: Case, candidate: Candidate, installed: Installed, settings: Settings, number: int
) -> tuple[Finding, Round]:
    """A fresh server: checked, warmed up, measured. Raises CandidateError."""
    with running(candidate, case.app, installed, settings.server_core) as server:
        found = check(server, case)
        if settings.warmup:
            apply_load(server, case, settings.warmup, settings.loader_core)
        before, cpu_s = procfs.busy_s(), procfs.tree_cpu_s(server.pid)
        load = apply_load(server, case, settings.seconds, settings.loader_core)
        cpu_s = procfs.tree_cpu_s(server.pid) - cpu_s
        busy = {core: now - before[core] for core, now in procfs.busy_s().items()}
        pss_kib = procfs.tree_pss_kib(server.pid)
        if not server.alive:
            raise CandidateError("did not survive the load")
        if load.requests == 0:
            raise CandidateError("stalled: no request was answered under load")
    return found, Round(
        number=number,
        requests=load.requests,
        rate=load.requests / load.duration_s,
        cpu_us=cpu_s / load.requests * 1e6,
        p50_ms=load.p50_ms,
        p95_ms=load.p95_ms,
        p99_ms=load.p99_ms,
        max_ms=load.max_ms,
        pss_mib=pss_kib / 1024,
        errors=load.errors,
        server_busy=cpu_s / load.duration_s,
        loader_busy=load.cpu_s / load.duration_s,
        others_busy=max(0.0, busy["cpu"] - cpu_s - load.cpu_s) / load.duration_s,
        server_core_busy=busy[f"cpu{settings.server_core}"] / load.duration_s,
        loader_core_busy=busy[f"cpu{settings.loader_core}"] / load.duration_s,
    )
