"""What the figures were measured on: the machine, the kernel, the tools and the state of the working tree."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bench import loader
from bench.environments import ROOT


def describe() -> dict[str, str]:
    """Facts of the machine that a reader of the results needs."""
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libc": " ".join(platform.libc_ver()),
        "wrk": loader.version(),
    }


def commit() -> str:
    """The working tree's commit, with "-dirty" behind it when files differ; "" outside a repository."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--match="],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    except OSError:
        return ""
    return run.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
