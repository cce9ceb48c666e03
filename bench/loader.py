"""The load: wrk with one thread, sending the bytes of a case, and what it counted."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError, CandidateError

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.server import Server

# wrk ends by itself after its duration; what is still running this much later hangs.
_GRACE_S = 10.0
_MARK = "bench:"

# Everything wrk knows, in its own units: microseconds and counts.
_DONE = """
function done(summary, latency, requests)
    local e = summary.errors
    local figures = {
        duration_us = summary.duration, requests = summary.requests,
        p50_us = latency:percentile(50), p95_us = latency:percentile(95),
        p99_us = latency:percentile(99), max_us = latency.max,
        connect = e.connect, read = e.read, write = e.write, status = e.status, timeout = e.timeout,
    }
    local parts = {}
    for name, value in pairs(figures) do
        parts[#parts + 1] = string.format('"%s":%d', name, value)
    end
    io.write("\\n{mark}{" .. table.concat(parts, ",") .. "}\\n")
end
""".replace("{mark}", _MARK)


@dataclass(frozen=True)
class Load:
    """What one run of wrk counted, and the CPU time it took itself.

    wrk corrects its latencies for coordinated omission. It times a pipelined batch as one and corrects
    it for many; of those it knows only the longest: the percentiles are None.
    """

    duration_s: float
    requests: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    errors: dict[str, int]
    cpu_s: float


def find_wrk() -> str:
    """Path of wrk; raises BenchError when there is none."""
    path = shutil.which("wrk")
    if path is None:
        raise BenchError("wrk not found: apt-get install wrk")
    return path


def apply_load(server: Server, case: Case, seconds: int, core: int) -> Load:
    """Load `server` from `core`. Raises CandidateError when wrk does not end."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="ascii") as script:
        script.write(_script(case, server.host))
        script.flush()
        command = ["taskset", "--cpu-list", str(core), find_wrk(), "--threads", "1"]
        command += ["--connections", str(case.connections), "--duration", f"{seconds}s", "--timeout", "10s"]
        command += ["--script", script.name, f"http://{server.host}/"]
        before = _children_cpu_s()
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _GRACE_S)
        except subprocess.TimeoutExpired as error:
            raise CandidateError("stalled: the load did not end") from error
        cpu_s = _children_cpu_s() - before
    return _parse(run.stdout, run.stderr, cpu_s, case.depth == 1)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _script(case: Case, host: str) -> str:
    """wrk formats a request once when the script has no global `request`, and asks for each when it has."""
    requests = [request * case.depth for request in case.requests(host)]
    table = "local requests = {\n" + ",\n".join(map(_lua_string, requests)) + "\n}\n"
    if len(requests) == 1:
        turn = "function wrk.format() return requests[1] end\n"
    else:
        turn = "local n = 0\nfunction request() n = n % #requests + 1 return requests[n] end\n"
    return table + turn + _DONE


def _lua_string(data: bytes) -> str:
    quoted = data.decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + quoted.replace("\r", "\\r").replace("\n", "\\n") + '"'


def _parse(output: str, errors: str, cpu_s: float, timed: bool) -> Load:
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        said = (errors or output).strip().splitlines()
        raise CandidateError(f"wrk gave no result: {said[-1] if said else 'it said nothing'}")
    counted = json.loads(line.removeprefix(_MARK))
    return Load(
        duration_s=counted["duration_us"] / 1e6,
        requests=counted["requests"],
        p50_ms=counted["p50_us"] / 1e3 if timed else None,
        p95_ms=counted["p95_us"] / 1e3 if timed else None,
        p99_ms=counted["p99_us"] / 1e3 if timed else None,
        max_ms=counted["max_us"] / 1e3 or None,
        errors={kind: counted[kind] for kind in ("connect", "read", "write", "status", "timeout")},
        cpu_s=cpu_s,
    )


def version() -> str:
    """wrk's version as it says it itself."""
    run = subprocess.run([find_wrk(), "--version"], capture_output=True, text=True)
    words = run.stdout.split()
    return words[1] if len(words) > 1 else "unknown"
