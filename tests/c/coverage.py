"""What the tests run through of csrc/, a line a file: `make -C tests/c coverage`.

Adds up what gcov says of all objects of a build: a source is compiled more than once, for machines that fail
and for machines without vectors. Ends with 1 if one of the GOALS is not met, and says where.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

CSRC = (Path(__file__).resolve().parent / "../../csrc").resolve()
GOALS = ("fw_head.c", "fw_framing.c", "fw_body.c", "fw_parser.c", "fw_resp.c")
"""All lines of these, and BRANCHES of their branches."""
BRANCHES = 95.0

Lines = dict[int, int]
Branches = dict[tuple[int, int], int]
"""By line and place in it."""


def measure(build: Path) -> dict[str, tuple[Lines, Branches]]:
    files: dict[str, tuple[Lines, Branches]] = defaultdict(lambda: (defaultdict(int), defaultdict(int)))
    for data in sorted(build.rglob("*.gcda")):
        said = subprocess.run(
            ["gcov", "--json-format", "--branch-probabilities", "--stdout", str(data)],
            check=True,
            capture_output=True,
        ).stdout
        for document in said.splitlines():
            report = json.loads(document)
            for file in report["files"]:
                path = Path(report["current_working_directory"], file["file"]).resolve()
                if path.parent != CSRC:
                    continue
                lines, branches = files[path.name]
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] += line["count"]
                    for place, branch in enumerate(line["branches"]):
                        branches[number, place] += branch["count"]
    return {name: (lines, without_default(name, branches)) for name, (lines, branches) in files.items()}


def without_default(name: str, branches: Branches) -> Branches:
    """Without the branch of a switch over all values of an enum that no value takes: gcov's last of it."""
    source = (CSRC / name).read_text().splitlines()
    left = dict(branches)
    for at, line in enumerate(source):
        if not line.lstrip().startswith("switch ("):
            continue
        indent = line[: len(line) - len(line.lstrip())]
        end = source.index(indent + "}", at)
        places = [place for number, place in branches if number == at + 1]
        if places and indent + "default:" not in source[at:end]:
            del left[at + 1, max(places)]
    return left


def share(counts: list[int]) -> float:
    return 100 * sum(count > 0 for count in counts) / len(counts) if counts else 100.0


def row(name: str, lines: list[int], branches: list[int]) -> str:
    return f"| {name} | {len(lines)} | {share(lines):.1f} % | {len(branches)} | {share(branches):.1f} % |"


def main() -> int:
    files = measure(Path(sys.argv[1]))
    failed = 0
    print("| file | lines | run | branches | taken |")
    print("| --- | ---: | ---: | ---: | ---: |")
    rows = sorted(files.items())
    every: tuple[list[int], list[int]] = [], []
    for name, (lines, branches) in rows:
        print(row(f"`{name}`", list(lines.values()), list(branches.values())))
        every[0].extend(lines.values())
        every[1].extend(branches.values())
    print(row("all", *every))
    for name in GOALS:
        lines, branches = files[name]
        missed = sorted(number for number, count in lines.items() if count == 0)
        untaken = sorted({number for (number, _), count in branches.items() if count == 0})
        if missed or share(list(branches.values())) <= BRANCHES:
            failed = 1
            print(f"{name}: lines never run: {missed}; lines with a branch never taken: {untaken}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
