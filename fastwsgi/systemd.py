"""What an init system that speaks systemd's protocols hands down, and what it is told.

Sockets come by LISTEN_FDS (sd_listen_fds(3)), messages go to NOTIFY_SOCKET (sd_notify(3)). Without these in
the environment nothing here does anything.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_FD = 3
LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def listen_fds(environ: Mapping[str, str]) -> list[int]:
    """The descriptors that were opened for this very process."""
    try:
        if int(environ["LISTEN_PID"]) != os.getpid():
            return []
        count = int(environ["LISTEN_FDS"])
    except (KeyError, ValueError):
        return []
    return list(range(FIRST_FD, FIRST_FD + count))


class Notifier:
    """Tells the service manager how the server is. The arbiter calls beat() whenever it is awake."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.address = environ.get("NOTIFY_SOCKET", "")
        if self.address.startswith("@"):
            self.address = "\0" + self.address[1:]
        self.ready_told = False
        self.stopping_told = False
        self.pause: float | None = None
        """Half of the watchdog's patience, in seconds; None: there is no watchdog."""
        self.fed_at = float("-inf")
        if self.address:
            self.pause = _watchdog(environ)

    def ready(self, status: str) -> None:
        """The server serves: for the first time, after a reload, or in this process after an upgrade."""
        if not self.stopping_told:
            self.ready_told = True
            self.send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """ready() has to follow, whatever comes of it."""
        if self.ready_told and not self.stopping_told:
            microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self.send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=Reloading")

    def stopping(self, successor: int | None = None) -> None:
        """The server ends; or another process, `successor`, goes on with it."""
        if not self.stopping_told:
            self.stopping_told = True
            if successor is None:
                self.send("STOPPING=1", "STATUS=Shutting down")
            else:
                self.send(f"MAINPID={successor}")

    def beat(self, now: float, status: str | None) -> None:
        """Feed the watchdog if it is time; say that the server is ready, once `status` says so."""
        if not self.address:
            return
        if status is not None and not self.ready_told:
            self.ready(status)
        if self.pause is not None and now >= self.fed_at + self.pause:
            self.fed_at = now
            self.send("WATCHDOG=1")

    def next_beat(self, now: float) -> float | None:
        """When beat() wants to be called at the latest; None: never."""
        return None if self.pause is None else max(now, self.fed_at + self.pause)

    def send(self, *assignments: str) -> None:
        if not self.address:
            return
        # who does not listen, or not fast enough, must not stop the server
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(assignments).encode(), self.address)


def _watchdog(environ: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environ["WATCHDOG_USEC"])
        meant = int(environ.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    return microseconds / 2e6 if microseconds > 0 and meant == os.getpid() else None
