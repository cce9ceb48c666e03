"""The pid file: which process the server is, for those who send it signals.

It is written whole or not at all, and never through a link. What it says is believed only if root or this
user wrote it: in a directory that is everybody's, anybody could keep the server from starting. It stays
root's where the workers run as another user, since what is written in it is what root will signal.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from fastwsgi.errors import StartError

MODE = 0o644
LONGEST = 32
"""More bytes than any process id has."""


class Pidfile:
    """The pid file of this process; with no path, every method does nothing."""

    def __init__(self, path: str | None) -> None:
        # the application, or a hook, may change the directory
        self.path = os.path.abspath(path) if path else None

    def write(self) -> None:
        """StartError: it names another process that is alive, or cannot be written."""
        if self.path is None:
            return
        try:
            other = recorded(self.path)
            if other is not None and other != os.getpid() and is_alive(other):
                raise StartError(
                    f"Already running on PID {other} (if that is another program, remove {self.path!r})"
                )
            _replace(self.path, f"{os.getpid()}\n".encode())
        except OSError as error:
            raise StartError(f"Can't write the pid file {self.path!r}: {error.strerror}") from None

    def move(self, path: str | None) -> None:
        """Let it be `path` from now on, or write it anew. StartError: it cannot, and all stays as it was."""
        new = Pidfile(path)
        new.write()
        if new.path != self.path:
            self.remove()
        self.path = new.path

    def remove(self) -> None:
        """Remove it, unless another process has written it since."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                if recorded(self.path) == os.getpid():
                    os.unlink(self.path)


def recorded(path: str) -> int | None:
    """The process id in a pid file that can be trusted; None: there is none. OSError: it is no plain file."""
    try:
        # opening a FIFO must not wait for whoever writes to it
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        if os.path.islink(path):
            return None
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "that is not a plain file")
        text = os.read(fd, LONGEST).strip(b" \t\r\n\0")
    finally:
        os.close(fd)
    if found.st_uid not in (0, os.geteuid()) or not text.isdigit():
        return None
    return int(text)


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended: nobody may have waited for it yet."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (ProcessLookupError, OverflowError):
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        # hidden, as another user's processes may be
        return True
    return state not in ("Z", "X")


def _replace(path: str, data: bytes) -> None:
    """Put a file with `data` at `path` in one step."""
    fd, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    try:
        try:
            os.write(fd, data)
            os.fchmod(fd, MODE)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
