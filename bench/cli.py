"""The command line: `python -m bench` measures and writes the page, `python -m bench report` rewrites it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench import goals, machine, own, plots, report, results
from bench.candidates import CANDIDATES, ENVIRONMENTS, Candidate
from bench.cases import CASES, Case
from bench.environments import Installed, install
from bench.errors import BenchError, CandidateError
from bench.loader import find_wrk
from bench.measure import Settings, measure_case
from bench.results import CandidateRecord, CaseRecord, Results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from rich.console import Console
    from rich.progress import Progress

_Row = TypeVar("_Row", Candidate, Case)

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "results"
_FILE = "servers.json"

_DESCRIPTION = """\
Measure WSGI servers side by side: one worker on one core, wrk on another, interleaved rounds.

  python -m bench                          everything: install, check, measure, write bench/results/
  python -m bench --quick                  one short round of everything, into bench/results/quick/
  python -m bench --candidates fastwsgi limit-py granian --cases hello browser
  python -m bench --list                   the tables of candidates and cases
  python -m bench report                   the page and the plots again, from the JSON
  python -m bench own                      what fastwsgi's own features cost, into bench/results/own.md
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 1 for an error said in one line, 130 when interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "run")
    arguments = _parser().parse_args(words)
    # So that ending the bench ends its servers too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _need("rich", "matplotlib")
        code: int = arguments.action(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="{run,report,own}")
    run = commands.add_parser("run", help="measure (what happens without a word)", description="Measure.")
    run.set_defaults(action=_run)
    run.add_argument("--candidates", nargs="+", metavar="NAME", help="only these servers (default: all)")
    run.add_argument("--cases", nargs="+", metavar="NAME", help="only these cases (default: all)")
    run.add_argument("--rounds", type=_positive, metavar="N", help="rounds a case (default: 5; quick: 1)")
    run.add_argument(
        "--seconds", type=_positive, metavar="S", help="measured seconds a run (default: 2; quick: 1)"
    )
    run.add_argument(
        "--warmup", type=_not_negative, metavar="S", help="seconds before (default: 1; quick: 0)"
    )
    run.add_argument("--quick", action="store_true", help="one short round; a smoke test, not a result")
    run.add_argument("--list", action="store_true", help="show the candidates and the cases, measure nothing")
    run.add_argument("--server-core", type=_not_negative, default=0, metavar="N", help="default: 0")
    run.add_argument("--loader-core", type=_not_negative, default=1, metavar="N", help="default: 1")
    run.add_argument(
        "--venvs",
        type=Path,
        default=_HERE / ".venvs",
        metavar="DIR",
        help="the environments (default: bench/.venvs)",
    )
    run.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="an interpreter that has fastwsgi (default: build the working tree)",
    )
    run.add_argument(
        "--output", type=Path, metavar="DIR", help="default: bench/results; quick: bench/results/quick"
    )
    again = commands.add_parser("report", help="write the page and the plots from the JSON")
    again.set_defaults(action=_report)
    again.add_argument("folder", type=Path, nargs="?", default=_RESULTS, help="default: bench/results")
    costs = commands.add_parser("own", help="measure what fastwsgi's own features cost")
    costs.set_defaults(action=_own)
    costs.add_argument("--rounds", type=_positive, default=9, metavar="N", help="of each rate (default: 9)")
    costs.add_argument("--seconds", type=_positive, default=2, metavar="S", help="of each round (default: 2)")
    costs.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        metavar="PATH",
        help="an interpreter that has 'fastwsgi[examples]' (default: this one)",
    )
    costs.add_argument("folder", type=Path, nargs="?", default=_RESULTS, help="default: bench/results")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("not below 0")
    return value


def _run(arguments: argparse.Namespace) -> int:
    console = _console()
    candidates = _chosen(CANDIDATES, arguments.candidates, "candidate")
    cases = _chosen(CASES, arguments.cases, "case")
    if arguments.list:
        _show_tables(console, candidates, cases)
        return 0
    settings = _settings(arguments)
    _check_machine(settings)
    folder = arguments.output or (_RESULTS / "quick" if arguments.quick else _RESULTS)

    # The loader's core is the one that may also draw a progress bar.
    os.sched_setaffinity(0, {settings.loader_core})
    installed, records = _install(console, candidates, arguments.venvs, arguments.python)
    run = Results(
        started=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=machine.commit(),
        machine=machine.describe(),
        settings=vars(settings),
        candidates=records,
        cases=[CaseRecord(case.name, case.title) for case in cases],
    )
    _measure(console, run, cases, installed, settings, folder / _FILE)
    _write_page(run, folder)
    _show_summary(console, run)
    console.print(f"Results: {folder / 'README.md'}")
    return 0


def _console() -> Console:
    from rich.console import Console

    # A file or a pipe has no width; the tables have.
    return Console(width=None if sys.stdout.isatty() else 150)


def _report(arguments: argparse.Namespace) -> int:
    _write_page(results.load(arguments.folder / _FILE), arguments.folder)
    print(arguments.folder / "README.md")
    return 0


def _own(arguments: argparse.Namespace) -> int:
    settings = Settings(arguments.rounds, arguments.seconds, 1, server_core=0, loader_core=1)
    _check_machine(settings)
    python = arguments.python.absolute()
    installed = Installed(python, python.parent, {})
    console = _console()
    print(own.run(installed, settings, arguments.folder, lambda text: console.print(text)))
    return 0


def _chosen(table: Sequence[_Row], names: Sequence[str] | None, what: str) -> list[_Row]:
    unknown = set(names or ()) - {row.name for row in table}
    if unknown:
        known = ", ".join(row.name for row in table)
        raise BenchError(f"unknown {what} {', '.join(sorted(unknown))}; there are: {known}")
    return [row for row in table if not names or row.name in names]


def _settings(arguments: argparse.Namespace) -> Settings:
    defaults = (1, 1, 0) if arguments.quick else (5, 2, 1)
    given = (arguments.rounds, arguments.seconds, arguments.warmup)
    rounds, seconds, warmup = (d if g is None else g for d, g in zip(defaults, given, strict=True))
    return Settings(rounds, seconds, warmup, arguments.server_core, arguments.loader_core)


def _check_machine(settings: Settings) -> None:
    find_wrk()
    if shutil.which("taskset") is None:
        raise BenchError("taskset not found: apt-get install util-linux")
    if settings.server_core == settings.loader_core:
        raise BenchError(
            "the server and the loader need a core each: --server-core and --loader-core are the same"
        )
    missing = {settings.server_core, settings.loader_core} - os.sched_getaffinity(0)
    if missing:
        raise BenchError(f"no core {min(missing)} here; there are: {sorted(os.sched_getaffinity(0))}")


def _need(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise BenchError(
            f"{' and '.join(missing)} not installed: python -m pip install -r bench/requirements.txt"
        )


def _install(
    console: Console, candidates: Sequence[Candidate], cache: Path, python: Path | None
) -> tuple[list[tuple[Candidate, Installed]], list[CandidateRecord]]:
    """Every candidate that installs, and a record of each one."""
    ready: dict[str, Installed | str] = {}
    found, records = [], []
    for candidate in candidates:
        environment = ENVIRONMENTS[candidate.environment]
        if environment.name not in ready:
            try:
                with console.status(f"installing {environment.name}"):
                    ready[environment.name] = install(environment, cache, python)
            except CandidateError as error:
                ready[environment.name] = str(error)
                console.print(f"{environment.name}: {error}", style="red")
        state = ready[environment.name]
        record = CandidateRecord(candidate.name, candidate.kind, _shown(candidate), candidate.note)
        if isinstance(state, Installed):
            found.append((candidate, state))
            names = [requirement.partition("==")[0].lower() for requirement in environment.requirements]
            names += ["fastwsgi"] if environment.working_tree else []
            record.versions = {name: state.versions.get(name, "unknown") for name in names}
        else:
            record.failure = state
        records.append(record)
    return found, records


def _shown(candidate: Candidate) -> str:
    """The command as a person would type it."""
    return (
        " ".join(candidate.command)
        .replace("{bin}/", "")
        .format(python="python", launch="launch.py", app="APP", port="PORT")
    )


def _measure(
    console: Console,
    run: Results,
    cases: Sequence[Case],
    installed: Sequence[tuple[Candidate, Installed]],
    settings: Settings,
    path: Path,
) -> None:
    """Measure case by case; what is measured is on disk after each."""
    plan = [
        (case, [pair for pair in installed if not pair[0].cases or case.name in pair[0].cases])
        for case in cases
    ]
    runs = settings.rounds * sum(len(candidates) for _, candidates in plan)
    with _progress(console) as progress:
        task = progress.add_task("", total=runs)
        for case, candidates in plan:

            def step(candidate: Candidate, number: int, case: Case = case) -> None:
                what = f"{case.name}, round {number} of {settings.rounds}: {candidate.name}"
                progress.update(task, description=what)
                progress.advance(task)
                if not console.is_terminal:
                    console.print(what)

            run.rows += measure_case(case, candidates, settings, step)
            results.save(run, path)
    run.complete = True
    results.save(run, path)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """A bar that is redrawn once a second: it shares a core with the loader."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, refresh_per_second=1, transient=True, disable=not console.is_terminal
    ) as bar:
        yield bar


def _write_page(run: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(report.page(run, plots.draw(run, folder)), encoding="utf-8")


def _show_tables(console: Console, candidates: Sequence[Candidate], cases: Sequence[Case]) -> None:
    from rich.table import Table

    table = Table("candidate", "kind", "pins", "note", title="Candidates")
    for candidate in candidates:
        pins = " ".join(ENVIRONMENTS[candidate.environment].requirements) or "built here"
        table.add_row(candidate.name, candidate.kind.value, pins, candidate.note)
    console.print(table)
    table = Table("case", "what", "application", title="Cases")
    for case in cases:
        table.add_row(case.name, case.title, case.app)
    console.print(table)


def _show_summary(console: Console, run: Results) -> None:
    from rich.table import Table

    for case in run.cases:
        table = Table(*report.HEADINGS, title=f"{case.name}: {case.title}", title_justify="left")
        for row in run.measured(case.name):
            style = "bold" if row.candidate == goals.SUBJECT else "" if row.comparable else "dim"
            table.add_row(*report.case_cells(run, row), style=style)
        console.print(table)
        for remark in report.remarks(run, case.name):
            console.print(f"  {remark}", markup=False)
    table = Table("case", "goal", "measured", "reached", title="Goals", title_justify="left")
    for verdict in goals.verdicts(run):
        said = {True: "yes", False: "no", None: ""}[verdict.reached]
        table.add_row(verdict.case, verdict.goal, verdict.figure, said)
    console.print(table)
    for text in report.left_out(run):
        console.print(f"left out: {text}", style="red", markup=False)
