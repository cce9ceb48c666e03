"""One server process: started pinned in a session of its own, found ready, ended with all its children."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench import procfs
from bench.errors import CandidateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.candidates import Candidate
    from bench.environments import Installed

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
LAUNCH = HERE / "launchers" / "launch.py"

_START_S = 20.0
_STOP_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Server:
    """A running server: the root of its process tree, and where it listens."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(candidate: Candidate, app: str, installed: Installed, cores: int | str) -> Iterator[Server]:
    """Run `candidate` with `app`; ended when the block is left, however it is left.

    `cores` is one, or a list as taskset has it.

    Raises CandidateError when it ends by itself or does not listen in time, with what it wrote.
    """
    port = 0 if candidate.any_port else _free_port()
    command = [
        part.format(bin=installed.bin, python=installed.python, launch=LAUNCH, app=app, port=port)
        for part in candidate.command
    ]
    environment = os.environ | {
        "PATH": f"{installed.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(APPS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "VIRTUAL_ENV": str(installed.bin.parent),
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(cores), *command],
            cwd=APPS,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            listening = _wait_until_listening(process, port)
            if listening is None:
                raise CandidateError(f"did not start: {_reason(output)}")
            try:
                yield Server(process, listening)
            except CandidateError as error:
                if process.poll() is None:
                    raise
                raise CandidateError(f"{error}; it ended: {_reason(output)}") from error
        finally:
            _end(process)


def _free_port() -> int:
    """A port that was free a moment ago; for servers that do not take port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> int | None:
    """The port it listens on (`port`, or any when that is 0), or None when it ended or the time is up."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        ports = procfs.tree_listening_ports(process.pid)
        if port in ports:
            return port
        if ports and not port:
            return ports[0]
        time.sleep(_POLL_S)
    return None


def _reason(output: IO[bytes]) -> str:
    """The line of its log that says why: the last that names an exception, or else the last."""
    output.seek(0)
    text = output.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"\w(Error|Exception)\b", line)]
    return (named or lines or ["it said nothing"])[-1][:200]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the tree: asked first, killed when it does not leave. What left the session is ended by its pid."""
    pids = procfs.tree_pids(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pid in pids:
        if pid != process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
