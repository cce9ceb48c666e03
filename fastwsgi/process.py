"""How a process of ours begins and ends: the one fork, what an orphan's parent is, and the way out."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

PR_SET_CHILD_SUBREAPER = 36


def fork_process(child: Callable[[], NoReturn]) -> int:
    """The pid of a new process, in which `child` runs, at first with all signals blocked. OSError."""
    # what stands in their buffers would be written by both
    flush_standard_streams()
    # between the fork and its own handlers the child must not take a signal for its parent's
    old_mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            try:
                child()
            finally:
                os._exit(255)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
    return pid


def become_subreaper() -> None:
    """From now on orphans among the descendants of this process are its children. OSError.

    By ctypes and only when it is needed, as the arbiter imports no extension module for it.
    """
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    arguments = (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if prctl(*map(ctypes.c_ulong, arguments)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def end_process(code: int, *, quick: bool) -> NoReturn:
    """End this process as the interpreter does, without going back up the stack it was forked from.

    That stack is the arbiter's, and under `fastwsgi.run()` a program's: its `finally` blocks are not ours.
    Threads of the application are waited for (unless `quick`), then what it gave to atexit is called.
    """
    try:
        if not quick:
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        flush_standard_streams()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code & 0xFF)


def flush_standard_streams() -> None:
    """Write what their buffers hold, if they can still be written to."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
