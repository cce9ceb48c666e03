"""The plots beside the results page: a panel a case, a bar a candidate, whiskers over the rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.candidates import Kind
from bench.results import Results, Round, Row, cpu, rate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

_COLOURS = {Kind.SUBJECT: "#c2410c", Kind.PEER: "#64748b", Kind.FLOOR: "#cbd5e1"}
_COLUMNS = 2
# A bar longer than this many times the best server's is cut: its number says how long it is.
_CUT = 8.0


def draw(results: Results, folder: Path) -> list[str]:
    """Draw every plot into `folder`; returns the files' names, in the order the page shows them."""
    import matplotlib

    matplotlib.use("svg")
    # Text stays text (small files), and the same results give the same bytes.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 8})
    return [
        _draw(results, cpu, "CPU per request, µs (less is better)", folder / "cpu.svg"),
        _draw(results, rate, "Requests per second (more is better)", folder / "rate.svg"),
    ]


def _draw(results: Results, value: Callable[[Round], float], title: str, path: Path) -> str:
    from matplotlib import pyplot

    cases = [case for case in results.cases if results.measured(case.name)]
    lines = max(1, -(-len(cases) // _COLUMNS))
    most = max((len(results.measured(case.name)) for case in cases), default=1)
    size = (11, lines * (0.8 + 0.19 * most))
    figure, axes = pyplot.subplots(lines, _COLUMNS, figsize=size, squeeze=False, layout="constrained")
    for panel, case in zip(axes.flat, cases, strict=False):
        _panel(panel, results, results.measured(case.name), value)
        panel.set_title(case.name, loc="left", fontsize=9, fontweight="bold")
    for panel in axes.flat[len(cases) :]:
        panel.axis("off")
    figure.suptitle(title)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path.name


def _panel(panel: Axes, results: Results, rows: list[Row], value: Callable[[Round], float]) -> None:
    """`rows` come cheapest first and are drawn from the top."""
    spans = [row.span(value) for row in rows]
    places = range(len(rows))
    limit = max(span.high for span in spans)
    if value is cpu:
        servers = [
            s.median for row, s in zip(rows, spans, strict=True) if results.kind(row.candidate) != Kind.FLOOR
        ]
        limit = min(limit, _CUT * min(servers, default=limit))
    bars = panel.barh(places, [min(span.median, limit) for span in spans], height=0.75)
    for bar, row in zip(bars, rows, strict=True):
        bar.set_color(_COLOURS[results.kind(row.candidate)])
        bar.set_alpha(1.0 if row.comparable else 0.4)
    whiskers = [(place, span) for place, span in zip(places, spans, strict=True) if span.high <= limit]
    if whiskers:
        ys, shown = zip(*whiskers, strict=True)
        panel.hlines(ys, [s.low for s in shown], [s.high for s in shown], colors="#111827", linewidth=1.2)
    for place, span in zip(places, spans, strict=True):
        text = f" {span.median:,.0f}" if span.median >= 1000 else f" {span.median:.3g}"
        cut = " (cut)" if span.median > limit else ""
        panel.text(min(span.high, limit), place, text + cut, va="center", fontsize=7)
    panel.set_yticks(places, [row.candidate for row in rows])
    panel.invert_yaxis()
    panel.set_xlim(0, limit * 1.18)
    panel.spines[["top", "right"]].set_visible(False)
