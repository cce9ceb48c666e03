"""The goals for fastwsgi that a run can answer, and whether it reached them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.results import Results, Row, cpu, rate

if TYPE_CHECKING:
    from collections.abc import Callable

SUBJECT = "fastwsgi"
FLOOR = "limit-py"


@dataclass(frozen=True)
class Verdict:
    """`reached` is None when the run does not have what the goal compares."""

    case: str
    goal: str
    figure: str
    reached: bool | None


def verdicts(results: Results) -> list[Verdict]:
    return [_verdict(results, *goal) for goal in _GOALS]


def cpu_ratio(row: Row, other: Row | None) -> float | None:
    """How many times the other's CPU per request this one takes."""
    if other is None or not row.rounds or not other.rounds:
        return None
    return row.span(cpu).median / other.span(cpu).median


def rate_ratio(row: Row, other: Row | None) -> float | None:
    """How many times the other's rate this one has."""
    if other is None or not row.rounds or not other.rounds:
        return None
    return row.span(rate).median / other.span(rate).median


def _verdict(
    results: Results, case: str, goal: str, figure: Callable[[Results, str, Row], float | None], limit: float
) -> Verdict:
    """`limit` is a ceiling when positive, a floor when negative."""
    row = results.row(case, SUBJECT)
    value = figure(results, case, row) if row is not None and row.comparable else None
    if value is None:
        return Verdict(case, goal, "not measured", None)
    return Verdict(case, goal, f"{value:.2f}x", value <= limit if limit > 0 else value >= -limit)


def _over_floor(results: Results, case: str, row: Row) -> float | None:
    return cpu_ratio(row, results.row(case, FLOOR))


def _over_best_peer(results: Results, case: str, row: Row) -> float | None:
    return cpu_ratio(row, results.best_peer(case, cpu))


def _rate_of_best_peer(results: Results, case: str, row: Row) -> float | None:
    return rate_ratio(row, results.best_peer(case, rate, highest=True))


def _rate_of_gunicorn(results: Results, case: str, row: Row) -> float | None:
    """Of gunicorn's best variant."""
    rows = [r for r in results.measured(case) if r.candidate.startswith("gunicorn") and r.comparable]
    return rate_ratio(row, max(rows, key=lambda r: r.span(rate).median, default=None))


def _over_own_hello(results: Results, case: str, row: Row) -> float | None:
    return cpu_ratio(row, results.row("hello", SUBJECT))


_GOALS: tuple[tuple[str, str, Callable[[Results, str, Row], float | None], float], ...] = (
    ("hello", "CPU within 1.05x of limit-py", _over_floor, 1.05),
    ("hello", "CPU under every peer", _over_best_peer, 1.0),
    ("browser", "CPU within 1.05x of limit-py", _over_floor, 1.05),
    ("browser", "CPU under every peer", _over_best_peer, 1.0),
    ("pipelined", "4x the best peer's rate", _rate_of_best_peer, -4.0),
    ("hello-512", "CPU within 1.10x of its own at 32 connections", _over_own_hello, 1.10),
    ("close", "CPU at or under the best peer", _over_best_peer, 1.0),
    ("post-16k", "CPU at or under the best peer", _over_best_peer, 1.0),
    ("stream", "CPU at or under the best peer", _over_best_peer, 1.0),
    ("large-64k", "CPU at or under the best peer", _over_best_peer, 1.0),
    ("flask", "the best peer's rate", _rate_of_best_peer, -1.0),
    ("flask", "2x gunicorn's rate", _rate_of_gunicorn, -2.0),
    ("django", "the best peer's rate", _rate_of_best_peer, -1.0),
    ("django", "2x gunicorn's rate", _rate_of_gunicorn, -2.0),
)
