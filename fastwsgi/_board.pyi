"""The board: a page shared by all processes of one server, with one slot a worker.

The arbiter makes it before it forks and sets BOOTING and the pid; the worker sets SERVING when its loop runs,
RETIRING when it has served long enough and LEAVING when it drains, and counts; anybody reads. There are no
locks: each number is written whole.
"""

from typing import NamedTuple

FREE: int
"""No worker has the slot."""
BOOTING: int
"""Forked; loading the application."""
SERVING: int
"""Its loop runs."""
RETIRING: int
"""Has served long enough, and serves until another does in its place."""
LEAVING: int
"""Finishes what it has, takes nothing new."""

class Slot(NamedTuple):
    """What a slot said at one moment."""

    pid: int
    state: int
    turn: int
    """Calls of the application begun and ended: odd while inside one."""
    requests: int
    """Answered by the application."""
    refused: int
    """Answered or closed without the application."""
    connections: int
    """Open now."""
    generation: int = 0
    """Which reading of the settings and the application it serves."""
    booted_ns: int = 0
    """When it began to serve, by time.monotonic_ns(); 0: it does not yet."""
    request: str = ""
    """The line of the request that it is inside, its first 200 bytes."""
    client: str = ""
    """The address that request came from; empty for a unix socket."""
    since_ns: int = 0
    """When that request was given to the application, by time.monotonic_ns(); 0: it is inside none."""
    dismissed: bool = False
    """The arbiter has told it to go, or is about to."""

class Board:
    """A board of `count` free slots. ValueError: none asked for; MemoryError: no memory for it.

    Slots are numbered from 0; any other number is an IndexError.
    """

    def __init__(self, count: int) -> None: ...
    @property
    def count(self) -> int: ...
    def read(self, slot: int) -> Slot: ...
    def set_state(self, slot: int, state: int) -> None: ...
    def take(self, slot: int) -> None:
        """BOOTING, and from now on among the slots that siblings look at."""
    def set_dismissed(self, slot: int) -> None:
        """It will be told to go: nobody passes connections to it any more."""
    def set_ending(self) -> None:
        """The whole server goes."""
    def set_pid(self, slot: int, pid: int) -> None: ...
    def set_generation(self, slot: int, generation: int) -> None: ...
    def clear(self, slot: int) -> None:
        """Back to FREE, all numbers 0."""
