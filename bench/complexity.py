"""What the C core costs at worst, and that it is linear. `python -m bench.complexity`

Instructions, counted by callgrind: the same on a busy machine as on a quiet one. `micro/bench_cost.c` has the
kinds of input, each as bad as the limits let it be, each whole and in ever smaller pieces. Times, which only
a quiet machine gives, are those of `micro/bench_head.c`. Writes `bench/results/complexity.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

MICRO: Final = Path(__file__).resolve().parent / "micro"
RESULTS: Final = Path(__file__).resolve().parent / "results"
COST: Final = MICRO / "build" / "bench_cost-gcc-2"
HEAD: Final = MICRO / "build" / "bench_head-gcc-2"
SAMPLES: Final = 5
LABEL: Final = "desc: Trigger: Client Request: "

# What the core promises, in instructions. A line that is cut is looked at once more when it is whole.
BYTE_MOST: Final = 130
"""of a byte, in one piece"""
GROWTH_MOST: Final = 2.2
"""twice as many bytes cost at most so many times as much"""
AGAIN_MOST: Final = 30
"""more of a byte, in more than one piece"""
CALL_MOST: Final = 300
"""more of a piece: of a call of the parser"""
STEP_MOST: Final = 800
"""... or of a step of a connection"""


@dataclass(frozen=True)
class Cost:
    kind: str
    bytes: int
    pieces: int
    instructions: int

    @property
    def a_byte(self) -> float:
        return self.instructions / self.bytes


def build() -> None:
    subprocess.run(["make", "-s", "-C", str(MICRO), "all"], check=True)


def count(divisor: int = 1) -> list[Cost]:
    """Each kind at full length and at half of it, the limits divided by `divisor`."""
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory) / "callgrind"
        _callgrind(profile, str(COST), str(divisor))
        return list(_dumps(profile.read_text()))


def _callgrind(profile: Path, *command: str) -> None:
    options = ["--tool=callgrind", f"--callgrind-out-file={profile}", "--combine-dumps=yes"]
    subprocess.run(["valgrind", *options, *command], check=True, capture_output=True)


def _dumps(profile: str) -> Iterator[Cost]:
    label = ""
    for line in profile.splitlines():
        if line.startswith(LABEL):
            label = line.removeprefix(LABEL)
        elif line.startswith("totals:") and label:
            kind, size, pieces = label.split("|")
            yield Cost(kind, int(size), int(pieces), int(line.split()[1]))
            label = ""


def by_kind(costs: list[Cost]) -> dict[str, list[Cost]]:
    kinds: dict[str, list[Cost]] = {}
    for cost in costs:
        kinds.setdefault(cost.kind, []).append(cost)
    return kinds


def faults(costs: list[Cost]) -> list[str]:
    """What is not linear, or dearer than promised, in sentences."""
    found = []
    for kind, all_of_it in by_kind(costs).items():
        size = max(cost.bytes for cost in all_of_it)
        (whole,) = (cost for cost in all_of_it if cost.bytes == size and cost.pieces == 1)
        if whole.a_byte > BYTE_MOST:
            found.append(f"{kind}: {whole.a_byte:.0f} instructions a byte")
        call_most = STEP_MOST if kind.startswith("connection,") else CALL_MOST
        for cost in all_of_it:
            most = whole.instructions + AGAIN_MOST * size + call_most * cost.pieces
            if cost.bytes == size and cost.instructions > most:
                found.append(f"{kind}: {cost.instructions} instructions in {cost.pieces} pieces, not {most}")
        for half in (cost for cost in all_of_it if cost.bytes < size):
            twice = max(
                (cost for cost in all_of_it if cost.bytes == size and (cost.pieces > 1) == (half.pieces > 1)),
                key=lambda cost: cost.pieces,
            )
            growth = twice.instructions / half.instructions / (twice.bytes / half.bytes) * 2
            if growth > GROWTH_MOST:
                found.append(
                    f"{kind}: {growth:.2f} times the cost for twice the bytes in {twice.pieces} pieces"
                )
    return found


def head_instructions() -> dict[str, int]:
    """Instructions of one call of the head's parser, by sample."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory) / "callgrind"
        for sample in range(SAMPLES):
            totals = []
            for times in (100, 200):
                _callgrind(profile, str(HEAD), str(sample), str(times))
                (total,) = (line for line in profile.read_text().splitlines() if line.startswith("totals:"))
                totals.append(int(total.split()[1]))
            name = subprocess.run(
                [HEAD, str(sample)], check=True, capture_output=True, text=True
            ).stdout.strip()
            found[name] = (totals[1] - totals[0]) // 100
    return found


@dataclass(frozen=True)
class Timing:
    head: str
    bytes: int
    ns: float
    median_ns: float
    gigabytes_per_second: float


def head_times(core: int) -> list[Timing]:
    command = ["taskset", "-c", str(core), str(HEAD)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in run.stdout.splitlines()[2:]]
    return [Timing(row[0], int(row[1]), float(row[3]), float(row[4]), float(row[5])) for row in rows]


def page(record: dict[str, object], costs: list[Cost], heads: dict[str, int], times: list[Timing]) -> str:
    lines = [
        "# What the core costs at worst",
        "",
        "Generated by `python -m bench.complexity`; what is fed stands in `bench/micro/bench_cost.c`.",
        "Instructions a byte, by callgrind, at the length that the default limits allow, whole and in",
        "pieces. What is called a connection goes through a socket and the buffers of one, the rest through",
        "the parser or what stands behind it.",
        "",
        f"Measured {record['date']} at commit `{record['commit']}`, {record['cpu']}, {record['compiler']}.",
        "",
        "| input | bytes | half of it, whole | whole | pieces of 1/64 | bytes, half of it | bytes |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, all_of_it in by_kind(costs).items():
        size = max(cost.bytes for cost in all_of_it)
        full = [cost for cost in all_of_it if cost.bytes == size]
        half = [cost for cost in all_of_it if cost.bytes < size]
        cells = [half[0], full[0], min(full, key=lambda cost: abs(cost.pieces - 64)), half[-1], full[-1]]
        shown = [f"{cost.a_byte:.1f}" for cost in cells]
        if len(full) == 1:
            shown[2:] = ["", "", ""]
        lines.append(f"| {kind} | {size:,} | {' | '.join(shown)} |")
    lines += ["", "## A head", "", "| head | instructions |", "| --- | ---: |"]
    lines += [f"| {name} | {number:,} |" for name, number in heads.items()]
    lines += [
        "",
        "| head | bytes | ns, fastest tenth | ns, median | GB/s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.head} | {row.bytes} | {row.ns} | {row.median_ns} | {row.gigabytes_per_second} |"
        for row in times
    ]
    bad = faults(costs)
    lines += ["", "Linear, and within what is promised." if not bad else "Not as promised:", ""]
    lines += [f"- {fault}" for fault in bad]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.complexity", description=__doc__)
    parser.add_argument("--core", type=int, default=0, help="where heads are timed (default: %(default)s)")
    core = parser.parse_args().core
    build()
    costs, heads, times = count(), head_instructions(), head_times(core)
    compiler = subprocess.run(["gcc", "--version"], check=True, capture_output=True, text=True).stdout
    record: dict[str, object] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": machine.commit(),
        "cpu": machine.describe()["cpu"],
        "compiler": compiler.splitlines()[0],
        "costs": [asdict(cost) for cost in costs],
        "head_instructions": heads,
        "head_times": [asdict(row) for row in times],
    }
    (RESULTS / "complexity.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "complexity.md").write_text(page(record, costs, heads, times))
    print(page(record, costs, heads, times))
    return 1 if faults(costs) else 0


if __name__ == "__main__":
    sys.exit(main())
