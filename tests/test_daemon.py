"""fastwsgi/daemon.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastwsgi.errors import EXIT_CONFIG

# Writes what it is to `report`, which is a FIFO: whoever reads it knows that the daemon is gone.
CODE = """
import os, sys
from fastwsgi.daemon import daemonize
before = os.getsid(0)
print("said before")
daemon = daemonize()
os.write(2, b"in the background\\n")
{then}
with open("report", "w") as report:
    umask = os.umask(0)
    links = [os.readlink(f"/proc/self/fd/{{fd}}") == os.devnull for fd in (0, 1, 2)]
    print(os.getsid(0) != before, os.getsid(0) != os.getpid(), oct(umask), *links, file=report)
os._exit(0)
"""


def run(directory: Path, then: str) -> subprocess.CompletedProcess[str]:
    os.mkfifo(directory / "report")
    return subprocess.run(
        [sys.executable, "-c", CODE.format(then=then)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_foreground_ends_when_the_daemon_has_started(tmp_path: Path) -> None:
    # it returns although the daemon waits: for us, to read its report
    result = run(tmp_path, "daemon.started(keep_streams=False)")
    assert (result.returncode, result.stdout) == (0, "said before\n")
    assert result.stderr == "in the background\n"
    assert (tmp_path / "report").read_text().split() == ["True", "True", "0o22", "True", "True", "True"]


def test_the_streams_can_be_kept(tmp_path: Path) -> None:
    # with the streams the daemon holds the pipes that run() reads to the end: its report comes first
    os.mkfifo(tmp_path / "report")
    with subprocess.Popen(
        [sys.executable, "-c", CODE.format(then="daemon.started(keep_streams=True)")],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.wait(60) == 0
        assert (tmp_path / "report").read_text().split()[3:] == ["True", "False", "False"]
        assert process.communicate(timeout=60) == (b"said before\n", b"in the background\n")


@pytest.mark.parametrize("end", ["sys.exit('no')", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_the_foreground_fails_when_the_daemon_does(tmp_path: Path, end: str) -> None:
    assert run(tmp_path, end).returncode == EXIT_CONFIG
