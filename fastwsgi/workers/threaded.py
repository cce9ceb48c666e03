"""The threaded worker: several threads call the application, one at a time serves the loop (csrc/fw_baton.h).

The main thread does neither: it is there for signals, whose handlers Python runs nowhere else, and which so
are handled at once, however long the application's calls take.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from fastwsgi._board import RETIRING
from fastwsgi.workers.base import Worker

if TYPE_CHECKING:
    from types import FrameType

    from fastwsgi._loop import Loop


class ThreadedWorker(Worker):
    multithread = True

    def run_loop(self, loop: Loop) -> None:
        """Start the threads, and handle signals until the first of them comes back: then the loop is done.

        What others are still in, after the grace that they had, ends with the process.
        """
        news, tell_fd = os.pipe()
        os.set_blocking(tell_fd, False)
        failures: list[BaseException | None] = []
        signal.set_wakeup_fd(tell_fd, warn_on_full_buffer=False)

        def work(index: int) -> None:
            failure = None
            try:
                loop.work(index)
            except BaseException as error:
                failure = error
            failures.append(failure)
            os.write(tell_fd, b".")

        loop.show()
        loop.arm()
        for index in range(self.cfg.threads):
            threading.Thread(target=work, args=(index,), name=f"fastwsgi-{index}", daemon=True).start()
        while not failures:
            os.read(news, 64)
        loop.finish()
        if failures[0] is not None:
            raise failures[0]

    def abort(self, signum: int, frame: FrameType | None) -> None:
        """A call takes too long. Its client has been answered, and its thread is lost.

        The other threads serve on until another worker does in this one's place.
        """
        if not self.booted or self.loop is None:
            super().abort(signum, frame)
            return
        self.aborted = True
        self.call_hook("worker_abort")
        # faulthandler has taken itself out of the way, and our own handler with it
        self.place.stacks.watch(self.place.slot)
        self.loop.arm()
        if self.alive:
            self.show(RETIRING)
