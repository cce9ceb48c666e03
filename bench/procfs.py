"""What a tree of processes is made of, listens on and costs, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_LISTEN: Final = "0A"


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    session: int
    cpu_ticks: int


def _process(pid: int) -> _Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and brackets; behind its last bracket come proc(5)'s fields from the third on.
    fields = text[text.rindex(")") + 2 :].split()
    cpu_ticks = sum(int(fields[n - 3]) for n in (14, 15, 16, 17))
    return _Process(pid, int(fields[4 - 3]), int(fields[6 - 3]), cpu_ticks)


def _tree(root: int) -> list[_Process]:
    """The process `root`, its descendants, and the rest of its session (an orphan's parent is init)."""
    every = [p for entry in os.listdir("/proc") if entry.isdigit() and (p := _process(int(entry)))]
    found = {p.pid: p for p in every if p.session == root or p.pid == root}
    grown = True
    while grown:
        more = {p.pid: p for p in every if p.parent in found and p.pid not in found}
        found |= more
        grown = bool(more)
    return list(found.values())


def tree_pids(root: int) -> list[int]:
    return [process.pid for process in _tree(root)]


def tree_cpu_s(root: int) -> float:
    """User plus system time of the tree in seconds, with that of children that ended and were waited for."""
    return sum(process.cpu_ticks for process in _tree(root)) * _TICK_S


def tree_pss_kib(root: int) -> int:
    """Proportional set size of the tree: a page shared by n processes counts 1/n in each."""
    total = 0
    for pid in tree_pids(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def tree_listening_ports(root: int) -> list[int]:
    """TCP ports (IPv4) that a process of the tree listens on."""
    inodes = set()
    for pid in tree_pids(root):
        try:
            entries = list(os.scandir(f"/proc/{pid}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        for entry in entries:
            try:
                inodes.add(os.readlink(entry.path))
            except FileNotFoundError:
                continue
    ports = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in inodes:
            ports.append(int(fields[1].rpartition(":")[2], 16))
    return ports


def busy_s() -> dict[str, float]:
    """Time not idle since boot in seconds, stolen time included: of "cpu" (all cores), "cpu0", "cpu1", ..."""
    busy = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu"):
            # user nice system idle iowait irq softirq steal; guest time is counted in user already.
            busy[name] = sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7)) * _TICK_S
    return busy
