"""Where a worker was when it did not come back: stacks that are written even if its interpreter is stuck.

A worker that is aborted or crashes writes the stack of the thread that the signal met: `faulthandler` does
it, in C, whoever holds the GIL. It goes to the place of the worker's slot in one unnamed file that all
processes of a server share. The arbiter reads it when the worker is gone, and adds the lines of source.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import linecache
import os
import re
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING

import fastwsgi

if TYPE_CHECKING:
    from fastwsgi._board import Slot

ROOM = 256 * 1024
"""Bytes of the file for one slot: more than a hundred calls take, which is as deep as faulthandler looks."""

LINE_SHOWN = 200
"""Bytes of a request line on the board (FW_SLOT_LINE)."""

# Where the code lies that is not the application's.
PACKAGE = os.path.dirname(fastwsgi.__file__) + os.sep
IMPORT_SYSTEM = ("<frozen importlib", importlib.__file__)

FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')
ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


class Stacks:
    """The file, with a place for each slot. The arbiter makes it before it forks."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("fastwsgi-stacks", os.MFD_CLOEXEC)
        self._own_fd = self._own_slot = -1

    def watch(self, slot: int) -> None:
        """In a worker: from now on signals that end a process write its stack first.

        To be called after the handler of SIGABRT is set, which is then called in the end, and once more when
        the application is loaded, which may have taken the signals for itself. Without /proc there are no
        stacks.
        """
        if slot != self._own_slot:
            self._open_own(slot)
        if self._own_slot < 0:
            return
        # which, if it was enabled before the handler was set, puts back what there was before that
        handler = signal.getsignal(signal.SIGABRT)
        faulthandler.disable()
        if handler is not None:
            signal.signal(signal.SIGABRT, handler)
        if sys.version_info >= (3, 14):
            # the C stack takes functions that are not safe everywhere
            faulthandler.enable(self._own_fd, all_threads=False, c_stack=False)
        else:
            faulthandler.enable(self._own_fd, all_threads=False)

    def _open_own(self, slot: int) -> None:
        # an inherited descriptor has its position in common with those of all siblings: open it anew
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/self/fd/{self._fd}", os.O_WRONLY | os.O_CLOEXEC)
            os.lseek(fd, slot * ROOM, os.SEEK_SET)
            if self._own_slot >= 0:
                os.close(self._own_fd)  # of the process that this one was forked from
            self._own_fd, self._own_slot = fd, slot

    def take(self, slot: int) -> str:
        """What the worker of this slot has written: "" for nothing. Its place is empty afterwards."""
        data = os.pread(self._fd, ROOM, slot * ROOM).partition(b"\0")[0]
        if data:
            os.pwrite(self._fd, bytes(len(data)), slot * ROOM)
        return application_part(data.decode("ascii", "replace"))

    def close(self) -> None:
        os.close(self._fd)


def application_part(dump: str) -> str:
    """The stack in what faulthandler has written, as a traceback from the application's first line on."""
    frames = []
    for line in dump.splitlines():
        if match := FRAME.fullmatch(line):
            path, number, function = _unescaped(match[1]), int(match[2]), _unescaped(match[3])
            # an unprivileged worker has written this: it does not choose what the arbiter reads, or waits for
            source = linecache.getline(path, number) if path.endswith(".py") and os.path.isfile(path) else ""
            frames.append(traceback.FrameSummary(path, number, function, lookup_line=False, line=source))
        elif frames:
            break  # of other threads, or of C
    linecache.clearcache()
    frames.reverse()
    ours = [depth for depth, frame in enumerate(frames) if frame.filename.startswith(PACKAGE)]
    theirs = frames[max(ours, default=-1) + 1 :]
    while theirs and theirs[0].filename.startswith(IMPORT_SYSTEM):
        del theirs[0]
    return "".join(traceback.StackSummary.from_list(theirs or frames).format()).rstrip()


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), text)


def doing(slot: Slot, started: float) -> str:
    """What a worker does by the board, and for how long, as part of a sentence.

    `started`: when it was forked, by time.monotonic().
    """
    now = time.monotonic()
    if slot.since_ns:
        # what a client has sent must not look like lines of ours, nor write to a terminal
        line = slot.request.encode("unicode_escape").decode("ascii")
        if len(slot.request) == LINE_SHOWN:
            line += "..."
        client = f" from {slot.client}" if slot.client else ""
        return f"has been in {line}{client} for {now - slot.since_ns / 1e9:.1f} s"
    if not slot.booted_ns:
        return f"has been booting for {now - started:.1f} s"
    return "is in no request"
