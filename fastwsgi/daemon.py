"""Going to the background: away from the terminal, its session and whoever started the server.

The process that was started waits until the server listens, or has failed to, and says which by its exit
code. Until then the server's messages still reach the terminal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastwsgi.errors import EXIT_CONFIG
from fastwsgi.process import flush_standard_streams

if TYPE_CHECKING:
    from typing import NoReturn

UMASK = 0o022
STARTED = b"1"


class Daemon:
    """A server in the background. Made by `daemonize`, in the process that it becomes."""

    def __init__(self, started_fd: int) -> None:
        self.started_fd = started_fd

    def started(self, *, keep_streams: bool) -> None:
        """The server listens: let the process that waits go, and let go of the terminal as well."""
        if not keep_streams:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            if null > 2:
                os.close(null)
        os.write(self.started_fd, STARTED)
        os.close(self.started_fd)


def daemonize() -> Daemon:
    """Return in a new process without a terminal; the present one ends when that has started, or failed."""
    # what stands in their buffers is this process's to write
    flush_standard_streams()
    reading, writing = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(writing)
        wait_for_start(reading)
    os.setsid()
    # a process that leads no session is never given a terminal, whatever it opens
    if os.fork():
        os._exit(0)
    os.close(reading)
    os.umask(UMASK)
    return Daemon(writing)


def wait_for_start(reading: int) -> NoReturn:
    # not sys.exit(): what was given to atexit, or stands in a `finally`, is the server's now
    os._exit(0 if os.read(reading, 1) == STARTED else EXIT_CONFIG)
