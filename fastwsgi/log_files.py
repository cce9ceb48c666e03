"""Files of the logs: appended to, given to whom the workers run as, replaced when they are rotated."""

from __future__ import annotations

import logging
import os
import stat
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from fastwsgi.settings import Settings

STDOUT = 1
STDERR = 2


class LogFile(logging.StreamHandler[TextIO]):
    """A handler that writes to a file, and to the new one after reopen().

    The descriptor stays the same number, so that whoever else writes to it (the core, wsgi.errors, standard
    output under capture_output) goes along.
    """

    def __init__(self, path: str, settings: Settings) -> None:
        """OSError: it cannot be opened."""
        self.path = os.path.abspath(path)
        self.owner = (settings.uid, settings.gid)
        fd = self.open()
        # by lines, as standard error is: the application writes here too, through wsgi.errors
        stream = open(fd, "a", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        super().__init__(stream)

    def open(self) -> int:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.set_blocking(fd, False)  # who reads it may stop doing so
        if os.geteuid() == 0 and self.owner != (os.geteuid(), os.getegid()):
            os.fchown(fd, *self.owner)  # workers that run as somebody else will reopen it
        return fd

    def fileno(self) -> int:
        return self.stream.fileno()

    def reopen(self) -> None:
        """OSError: it cannot be opened; the old file stays."""
        fd = self.open()
        self.acquire()
        try:
            self.flush()
            os.dup2(fd, self.fileno(), inheritable=False)
        finally:
            self.release()
            os.close(fd)

    def capture(self) -> None:
        """Let standard output and standard error end here."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for fd in (STDOUT, STDERR):
            os.dup2(self.fileno(), fd)

    def end(self) -> None:
        """Close the file. close() does not: logging calls that for all handlers whenever it is configured."""
        self.close()
        self.stream.close()


def reopen_all(handlers: list[logging.Handler]) -> list[OSError]:
    """After a rotation: what these handlers write from now on goes to the files that have the names now."""
    failures = []
    for handler in handlers:
        try:
            if isinstance(handler, LogFile):
                handler.reopen()
            elif isinstance(handler, logging.FileHandler):
                reopen_plain(handler)
        except OSError as error:
            failures.append(error)
    return failures


def reopen_plain(handler: logging.FileHandler) -> None:
    handler.acquire()
    try:
        if handler.stream:
            handler.stream.close()
            handler.stream = handler._open()
    finally:
        handler.release()


def standard_output() -> int:
    """A descriptor for lines on standard output, which is never waited at for ever.

    A pipe is opened once more: making ours non-blocking would make it so for everybody who has it.
    """
    try:
        fd = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        fd = STDOUT
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        pass  # it belongs to somebody else, or there is no /proc
    return fd
