"""A server as its users run it: a process, its log, the addresses it says it listens at."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, TypeVar

from .client import Client

T = TypeVar("T")

DEADLINE = 20.0  # seconds; for what takes milliseconds, on a machine busy with something else
APPS = Path(__file__).parent / "apps"


def eventually(
    condition: Callable[[], T | None], failure: Callable[[], str], deadline: float = DEADLINE
) -> T:
    """The first true value of `condition()`; AssertionError with `failure()` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, failure()
        time.sleep(0.005)
    return value


def is_gone(pid: int) -> bool:
    """Whether a process has ended; nobody may have waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Server:
    """One server process.  Whoever makes it must call stop() or kill()."""

    running: ClassVar[list["Server"]] = []

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start `command`; its two output streams go to files in `directory`."""
        self.command = list(command)
        self._stdout = directory / "stdout"
        self._stderr = directory / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                self.command,
                cwd=cwd or directory,
                env=clean_environment() | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.seen = 0  # how much of the log is older than the present test
        self.running.append(self)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All of its standard error so far."""
        return self._stderr.read_text(errors="replace")

    @property
    def output(self) -> str:
        """All of its standard output so far."""
        return self._stdout.read_text(errors="replace")

    def explain(self) -> str:
        state = "running" if self.process.poll() is None else f"exited with {self.process.returncode}"
        return f"$ {' '.join(self.command)}\n[{state}]\n{self.log}\n{self.output}"

    @property
    def news(self) -> str:
        """What it has logged since the test began."""
        return self.log[self.seen :]

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """The first match of `pattern` in the news, now or soon. AssertionError: it is not logged."""

        def found() -> re.Match[str] | None:
            exited = self.process.poll() is not None
            match = re.search(pattern, self.news, re.MULTILINE)
            assert match or not exited, f"exited without logging {pattern!r}\n{self.explain()}"
            return match

        match = eventually(found, lambda: f"never logged {pattern!r}\n{self.explain()}")
        assert match is not None
        return match

    @cached_property
    def addresses(self) -> list[str]:
        """Where it listens, as it says in its log: http://127.0.0.1:PORT, http://[::1]:PORT, unix:PATH."""
        listed = self.wait_for_log(r"Listening at: (.+) \(\d+\)$")[1]
        return [address.strip() for address in listed.split(",")]

    @property
    def url(self) -> str:
        """The first of its addresses."""
        return self.addresses[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def connect(
        self, address: str | None = None, receive_buffer: int | None = None, source: str | None = None
    ) -> Client:
        """A new connection to `address`, the first one by default."""
        return Client.open(address or self.url, receive_buffer, source)

    def workers(self) -> list[int]:
        """The process ids of its children, oldest first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return sorted(map(int, children.read_text().split()))

    def wait_for_workers(self, count: int) -> list[int]:
        """Its workers, once there are exactly `count` of them."""

        def there() -> list[int] | None:
            workers = self.workers()
            return workers if len(workers) == count else None

        return eventually(there, lambda: f"{len(self.workers())} workers, not {count}\n{self.explain()}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, deadline: float = DEADLINE) -> int:
        """The exit code of a server that is ending."""
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end\n{self.explain()}") from None

    def stop(self) -> int:
        """End it as an init system does, and return the exit code; kill it if it does not end."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            return self.wait()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its workers at once.  It leads a process group of its own, so nobody else is hit."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        if self in self.running:
            self.running.remove(self)


def clean_environment() -> dict[str, str]:
    """This process's environment without what would configure a server or an application."""
    prefixes = ("FASTWSGI_", "GUNICORN_", "DJANGO_", "FLASK_", "BOARD_")
    names = {
        "PORT",
        "WEB_CONCURRENCY",
        "FORWARDED_ALLOW_IPS",
        "SENDFILE",
        "SCRIPT_NAME",
        "PWD",
        "NOTIFY_SOCKET",
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in names and not name.startswith(prefixes)
    }
    return kept | {"PYTHONPATH": str(APPS), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


# The fixtures that start servers: Start(*arguments, cwd=, env=).
Start = Callable[..., Server]
