"""The setting `spew`: every line of Python is shown before it is executed."""

from __future__ import annotations

import linecache
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType


def spew() -> None:
    """From now on, in this thread, in new ones, and in processes forked from them."""
    threading.settrace(_trace)
    sys.settrace(_trace)


def _trace(frame: FrameType, event: str, argument: object) -> Any:
    if event == "line" and sys.stderr is not None:
        path, number = frame.f_code.co_filename, frame.f_lineno
        line = linecache.getline(path, number, frame.f_globals).rstrip()
        sys.stderr.write(f"{path}:{number}: {line}\n")
    return _trace
