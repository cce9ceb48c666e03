"""Fuzz for as long as you like: all targets in turn, with three engines, and keep the books.

    python tests/fuzz/hours.py 3600         one process at a time, for an hour
    python tests/fuzz/hours.py --table      what all runs so far come to

A turn is a line of build/hours.jsonl: target, engine, how long the processor worked (user and system time of
the fuzzer's process, as the kernel counts it), executions, coverage, and whether it has found something. What
it has found is in build/; who has found something has no further turn.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
BOOKS = BUILD / "hours.jsonl"
SECONDS = {"libfuzzer": 60, "afl": 30, "atheris": 60}
"""Of wall-clock time, a turn."""
SHARES = {"libfuzzer": 3, "afl": 1, "atheris": 3}


def all_targets() -> list[str]:
    said = subprocess.run(["make", "-s", "targets"], cwd=HERE, check=True, capture_output=True, text=True)
    return said.stdout.split()


def next_turn(broken: set[tuple[str, str]]) -> tuple[str, str]:
    """Target and engine that have had the least of their share so far."""
    spent = {(target, engine): 0.0 for target in all_targets() for engine in ("libfuzzer", "afl")}
    spent["oracle", "atheris"] = 0.0
    for run in all_runs():
        pair = run["target"], run["engine"]
        spent[pair] = spent.get(pair, 0.0) + run["cpu_s"]
    return min(spent.keys() - broken, key=lambda pair: spent[pair] / SHARES[pair[1]])


def all_runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in BOOKS.read_text().splitlines()] if BOOKS.exists() else []


def command(target: str, engine: str) -> list[str]:
    seconds = SECONDS[engine]
    if engine == "atheris":
        corpus = BUILD / "corpus-oracle"
        corpus.mkdir(exist_ok=True)
        options = [f"-max_total_time={seconds}", "-max_len=600", "-timeout=30", "-print_final_stats=1"]
        options += [f"-artifact_prefix={BUILD}/oracle-", "-dict=http.dict"]
        return [sys.executable, "fuzz_oracle.py", *options, str(corpus), str(BUILD / "seeds")]
    return ["make", "-s", f"{'afl' if engine == 'afl' else 'fuzz'}-{target}", f"SECONDS={seconds}"]


def last_number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def turn(target: str, engine: str) -> dict[str, object]:
    """Run it, and read what it says. Building is not counted: it is done before."""
    log = BUILD / f"hours-{target}-{engine}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(target, engine), cwd=HERE, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    if engine == "libfuzzer":
        text += (BUILD / f"{target}.log").read_text(errors="replace")
    executions = last_number(r"number_of_executed_units: *(\d+)", text)
    coverage = last_number(r"\bcov: (\d+)", text)
    if engine == "afl":
        stats = (BUILD / f"afl-{target}/default/fuzzer_stats").read_text()
        executions, coverage = (
            last_number(r"execs_done *: (\d+)", stats),
            last_number(r"edges_found *: (\d+)", stats),
        )
    return {
        "target": target,
        "engine": engine,
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "executions": executions,
        "coverage": coverage,
        "found": process.returncode != 0,
    }


def build() -> None:
    """What the turns need, so that no turn counts a compiler's time."""
    targets = all_targets()
    wanted = [f"build/{kind}/{target}" for target in targets for kind in ("fuzz", "afl")]
    wanted += [f"build/inputs-{target}" for target in targets]
    subprocess.run(["make", "-s", *wanted], cwd=HERE, check=True, stdout=subprocess.DEVNULL)


def fuzz(seconds: float) -> None:
    build()
    end = time.monotonic() + seconds
    broken: set[tuple[str, str]] = set()
    while time.monotonic() < end:
        target, engine = next_turn(broken)
        said = turn(target, engine)
        if said["found"]:
            broken.add((target, engine))
        with BOOKS.open("a") as books:
            books.write(json.dumps({"ended": int(time.time()), **said}) + "\n")
        print(json.dumps(said), flush=True)


def table() -> None:
    runs = all_runs()
    print("| target | engine | CPU minutes | executions | coverage | findings |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for target, engine in sorted({(run["target"], run["engine"]) for run in runs}):
        mine = [run for run in runs if (run["target"], run["engine"]) == (target, engine)]
        minutes = sum(run["cpu_s"] for run in mine) / 60
        # afl-fuzz goes on where it was, and counts on
        executions = (max if engine == "afl" else sum)(run["executions"] for run in mine)
        most = max(run["coverage"] for run in mine)
        found = sum(run["found"] for run in mine)
        print(f"| {target} | {engine} | {minutes:.1f} | {executions:,} | {most} | {found} |")
    total = sum(run["cpu_s"] for run in runs) / 3600
    print(f"\n{total:.2f} CPU-hours, {len(runs)} turns")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("seconds", type=float, nargs="?", default=3600)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        table()
    else:
        fuzz(args.seconds)


if __name__ == "__main__":
    main()
