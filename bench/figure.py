"""One line of the page about fastwsgi's own features."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured thing; `goal` is in words, `reached` None where there is none."""

    what: str
    without: str
    figure: str
    goal: str = ""
    reached: bool | None = None
