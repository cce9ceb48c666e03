"""Is a fuzz target worth its time? Break the core in a way that it promises to notice, and see.

    python tests/fuzz/breaks.py             all of them, a minute each at the most
    python tests/fuzz/breaks.py conn resp   those of some targets

Each block of breaks.txt is one change of the core, made in a copy of it; the target has to find that from the
seeds alone. Says how long it took; ends with 1 if any was not found, or if the core does not read any more as
a block has it.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECONDS = 60


@dataclass
class Break:
    target: str
    file: str
    old: str
    new: str


def all_breaks() -> list[Break]:
    """breaks.txt: target and file of csrc/, what stands there, what stands there instead."""
    breaks = []
    for block in (HERE / "breaks.txt").read_text().strip().split("\n\n"):
        first, *lines = block.split("\n")
        old, new = ("\n".join(line[2:] for line in lines if line[0] == mark) for mark in "-+")
        breaks.append(Break(*first.split(), old, new))
    return breaks


def copy(to: Path) -> None:
    """The core and the targets, with what is built of them: make looks at the times of files."""
    for folder in ("csrc", "tests/fuzz", "tests/c", "tests/cases"):
        shutil.copytree(
            ROOT / folder, to / folder, ignore=shutil.ignore_patterns("corpus-*", "afl*", "*.log", "gcc")
        )


def make(where: Path, target: str) -> None:
    command = ["make", "-s", "WARN=-w", f"build/fuzz/{target}", f"build/inputs-{target}"]
    subprocess.run(command, cwd=where, check=True, stdout=subprocess.DEVNULL)


def found(where: Path, target: str) -> bool:
    options = [f"-max_total_time={SECONDS}", "-max_len=4096", "-timeout=10", "-dict=http.dict"]
    run = subprocess.run(
        [f"build/fuzz/{target}", *options, f"-artifact_prefix={where}/build/", f"build/inputs-{target}"],
        cwd=where,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return run.returncode != 0


def main() -> int:
    chosen = [each for each in all_breaks() if not sys.argv[1:] or each.target in sys.argv[1:]]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="fastwsgi-breaks-") as folder:
        copy(Path(folder))
        where = Path(folder, "tests/fuzz")
        for target in {each.target for each in chosen}:
            make(where, target)
        for each in chosen:
            path = Path(folder, "csrc", each.file)
            source = path.read_text()
            if source.count(each.old) != 1:
                print(f"{each.file} has {source.count(each.old)} times: {each.old}")
                missed += 1
                continue
            path.write_text(source.replace(each.old, each.new))
            make(where, each.target)
            began = time.monotonic()
            noticed = found(where, each.target)
            took = time.monotonic() - began
            missed += not noticed
            said = "found" if noticed else "MISSED"
            print(f"{each.target:10} {said} {took:5.1f} s  {each.file}: {each.old!r}", flush=True)
            path.write_text(source)  # newer than what was built of it: the next one builds it anew
    print(f"{len(chosen) - missed} of {len(chosen)} found")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
