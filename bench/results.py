"""The results as data: what one run recorded, how it is stored as JSON, medians and spreads."""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.candidates import Kind
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = 1


@dataclass(frozen=True)
class Round:
    """One measured run of one candidate on one case. Raw: nothing here is averaged, and None is not known.

    `server_busy` and `loader_busy` are the share of a core that each used; `others_busy` is what the rest of
    the machine used meanwhile, in cores: how quiet it was. `server_core_busy` and `loader_core_busy` are for
    how much of the run the two cores did anything at all, for whomever.
    """

    number: int
    requests: int
    rate: float
    cpu_us: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    pss_mib: float
    errors: dict[str, int]
    server_busy: float
    loader_busy: float
    others_busy: float
    server_core_busy: float
    loader_core_busy: float

    @property
    def error_count(self) -> int:
        return sum(self.errors.values())

    @property
    def stalled(self) -> bool:
        """Both cores were mostly idle: server and loader waited for something that is not work."""
        return max(self.server_core_busy, self.loader_core_busy) < 0.5


@dataclass(frozen=True)
class Span:
    """Median, smallest and largest of the rounds."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """The range as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass
class Row:
    """One candidate on one case: its rounds, or the reason why there are none (or fewer).

    `unlike` says that it did something else than the others and is not to be compared with them.
    """

    case: str
    candidate: str
    rounds: list[Round] = field(default_factory=list)
    remark: str = ""
    unlike: bool = False
    failure: str = ""

    def span(self, value: Callable[[Round], float]) -> Span:
        values = [value(one) for one in self.rounds]
        return Span(statistics.median(values), min(values), max(values))

    def median(self, value: Callable[[Round], float | None]) -> float | None:
        """None when a round does not know the value."""
        values = [value(one) for one in self.rounds]
        known = [one for one in values if one is not None]
        return statistics.median(known) if len(known) == len(values) else None

    @property
    def error_count(self) -> int:
        return sum(one.error_count for one in self.rounds)

    @property
    def stalled(self) -> bool:
        return any(one.stalled for one in self.rounds)

    @property
    def comparable(self) -> bool:
        """Measured, in every round, without an error or a stall: what others may be compared with."""
        return bool(self.rounds) and not (self.failure or self.unlike or self.error_count or self.stalled)


@dataclass
class CandidateRecord:
    """A candidate as it was run; `failure` says why it was not run at all."""

    name: str
    kind: Kind
    command: str
    note: str
    versions: dict[str, str] = field(default_factory=dict)
    failure: str = ""


@dataclass
class CaseRecord:
    name: str
    title: str


@dataclass
class Results:
    """Everything one run of the bench found out."""

    started: str
    commit: str
    machine: dict[str, str]
    settings: dict[str, int]
    candidates: list[CandidateRecord]
    cases: list[CaseRecord]
    rows: list[Row] = field(default_factory=list)
    complete: bool = False

    def row(self, case: str, candidate: str) -> Row | None:
        return next((row for row in self.rows if (row.case, row.candidate) == (case, candidate)), None)

    def measured(self, case: str) -> list[Row]:
        """The case's rows that have figures, the cheapest first."""
        rows = [row for row in self.rows if row.case == case and row.rounds]
        return sorted(rows, key=lambda row: row.span(cpu).median)

    def kind(self, candidate: str) -> Kind:
        return next(record.kind for record in self.candidates if record.name == candidate)

    def best_peer(self, case: str, value: Callable[[Round], float], highest: bool = False) -> Row | None:
        """The peer with the lowest (or highest) median, among those that ran without errors or stalls."""
        peers = [
            row for row in self.measured(case) if row.comparable and self.kind(row.candidate) is Kind.PEER
        ]
        if not peers:
            return None
        choose = max if highest else min
        return choose(peers, key=lambda row: row.span(value).median)


def cpu(one: Round) -> float:
    return one.cpu_us


def rate(one: Round) -> float:
    return one.rate


def save(results: Results, path: Path) -> None:
    """Write the results; the file is whole at any moment, so that an interrupted run keeps what it had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"schema": SCHEMA, **dataclasses.asdict(results)}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_rounded(data), indent=1) + "\n")
    part.replace(path)


def load(path: Path) -> Results:
    """Read what `save` wrote. Raises BenchError when it is not there or of another schema."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise BenchError(f"no results at {path}: run the bench first") from None
    except json.JSONDecodeError as error:
        raise BenchError(f"{path} is not JSON: {error}") from error
    if data.pop("schema", None) != SCHEMA:
        raise BenchError(f"{path} was written by another version of the bench")
    data["candidates"] = [
        CandidateRecord(**(row | {"kind": Kind(row["kind"])})) for row in data["candidates"]
    ]
    data["cases"] = [CaseRecord(**row) for row in data["cases"]]
    data["rows"] = [
        Row(**(row | {"rounds": [Round(**one) for one in row["rounds"]]})) for row in data["rows"]
    ]
    return Results(**data)


def _rounded(value: Any) -> Any:
    """Six significant digits: more would be noise, and a longer diff."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value
