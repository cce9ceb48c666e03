"""The command, run to its end: for tests of what it says and of what it refuses."""

import subprocess
import sys


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastwsgi", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
