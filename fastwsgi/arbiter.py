"""The arbiter, the master process: signals in, workers out. It never touches a request.

One thread, one loop. A signal handler does nothing: the interpreter writes the signal's number to a pipe, and
the loop looks it up in a table. How the workers are it reads from the board.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from typing import TYPE_CHECKING

from fastwsgi import __version__, sockets
from fastwsgi._board import BOOTING, FREE, LEAVING, Board
from fastwsgi.app.loader import enter_project
from fastwsgi.errors import EXIT_APP, EXIT_BOOT, EXIT_CONFIG, EXIT_INTERNAL, ListenError
from fastwsgi.workers import KINDS
from fastwsgi.workers.base import end_process, flush_standard_streams

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn

    from fastwsgi.app.base import BaseApplication
    from fastwsgi.log import Logger

# All times are in seconds.
LISTEN_RETRIES = 5
LISTEN_PAUSE = 1.0
LOOK = 1.0
"""How often the board is looked at for workers that are stuck."""
ABORT_GRACE = 1.0
"""From SIGABRT, which lets a worker say where it is stuck, to SIGKILL."""
QUICK_GRACE = 2.0
LEAVE_MARGIN = 1.0
"""A worker ends its own grace; past this it is stuck while leaving."""
YOUNG = 5.0
"""A worker that fails before this age would probably fail again at once."""
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 5.0

# Room on the board for TTIN, and for workers that leave while their replacements serve.
SPARE_SLOTS = 64

BOOT_FAILURES = {
    EXIT_BOOT: "Worker failed to boot.",
    EXIT_APP: "App failed to load.",
}


class Member:
    """One worker process, as the arbiter knows it."""

    def __init__(self, pid: int, slot: int, now: float) -> None:
        self.pid = pid
        self.slot = slot
        self.started = now
        self.leaving = False
        """It was told to go: it does not count as one of the wanted workers any more."""
        self.kill_at: float | None = None
        self.killed = False
        self.seen = (BOOTING, 0)
        """State and turn on the board ..."""
        self.seen_since = now
        """... and since when they have been the same."""


class Arbiter:
    """The arbiter of one server, by the settings of `app`, whose workers serve what it loads.

    ConfigError: a log cannot be opened.
    """

    def __init__(self, app: BaseApplication) -> None:
        self.app = app
        self.settings = self.cfg = settings = app.cfg
        enter_project(settings.chdir, settings.pythonpath)
        self.pid = os.getpid()
        self.log: Logger = settings.logger_class(settings)
        self.wake_fd, self.signal_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.wake_fd, selectors.EVENT_READ)
        # workers hold the reading end: it hangs up when this process is gone, however it went
        self.watch_fd, self.life_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.listeners: list[socket.socket] = []
        self.members: dict[int, Member] = {}
        self.wanted = settings.workers
        self.board = Board(settings.workers * 2 + SPARE_SLOTS)
        self.served = False
        """Some worker once got as far as serving: from then on no failure to boot ends the server."""
        self.failures = 0
        self.failed_at = 0.0
        self.fork_at = 0.0
        self.exit_code: int | None = None
        """Not None: the server is ending, with this code."""
        self.quick = False
        self.signal_table: dict[int, Callable[[], None]] = {
            signal.SIGTERM: self.stop_gracefully,
            signal.SIGINT: self.stop_quickly,
            signal.SIGQUIT: self.stop_quickly,
            signal.SIGCHLD: self.reap,
            signal.SIGTTIN: self.add_worker,
            signal.SIGTTOU: self.remove_worker,
            signal.SIGHUP: self.ignore_signal,
            signal.SIGUSR1: self.ignore_signal,
            signal.SIGUSR2: self.ignore_signal,
        }

    def run(self) -> int:
        """Serve until a signal or a failure ends it, and return the exit code. Only from the main thread."""
        restore_signals = self.take_signals()
        try:
            return self.supervise()
        finally:
            restore_signals()
            self.close()

    def supervise(self) -> int:
        self.log.info("Starting fastwsgi %s", __version__)
        self.log_settings()
        try:
            self.open_listeners()
            if self.exit_code is None:
                urls = ",".join(sockets.url(listener) for listener in self.listeners)
                self.log.info("Listening at: %s (%s)", urls, self.pid)
                self.log.info("Using worker: %s", self.settings.worker_class)
                self.log.info("Number of workers: %s", self.wanted)
            while self.exit_code is None or self.members:
                self.manage_workers()
                for signum in self.wait(self.next_deadline()):
                    self.handle_signal(signum)
                self.look_after_workers()
            self.log.info("Shutting down: Master")
            if self.exit_code in BOOT_FAILURES:
                self.log.error("Reason: %s", BOOT_FAILURES[self.exit_code])
        except ListenError as error:
            self.log.critical("%s", error)
            return EXIT_CONFIG
        except Exception:
            self.log.exception("Unhandled exception in the arbiter")
            for member in self.members.values():
                self.send(member, signal.SIGTERM)
            return EXIT_INTERNAL
        return self.exit_code

    def log_settings(self) -> None:
        """Say where the settings come from, and what is odd about them."""
        for path in self.settings.files:
            self.log.info("Using configuration: %s", path)
        for line in self.settings.warnings():
            self.log.warning("%s", line)

    def close(self) -> None:
        """Release all it holds. Workers that are still there see it go, and leave."""
        self.close_listeners()
        self.selector.close()
        for fd in (self.wake_fd, self.signal_fd, self.watch_fd, self.life_fd):
            os.close(fd)
        close = getattr(self.log, "close", None)
        if close is not None:  # a logger of the user's own may have only gunicorn's methods
            close()

    # listeners

    def open_listeners(self) -> None:
        """ListenError: an address cannot be listened on, or not even after some tries."""
        for text in self.settings.bind:
            address = sockets.parse_address(text)
            for retries_left in range(LISTEN_RETRIES, -1, -1):
                try:
                    self.listeners.append(sockets.listen(address, self.settings.backlog))
                    break
                except OSError as error:
                    if error.errno not in sockets.RETRIED or not retries_left:
                        raise ListenError(f"Can't listen on {address}: {error.strerror}") from None
                    self.log.error("Can't listen on %s: %s. Retrying in 1 second.", address, error.strerror)
                for signum in self.wait(LISTEN_PAUSE):
                    self.handle_signal(signum)
                if self.exit_code is not None:
                    return

    def close_listeners(self) -> None:
        while self.listeners:
            sockets.close(self.listeners.pop())

    # signals

    def take_signals(self) -> Callable[[], None]:
        """From now on signals come through wait(). Returns what undoes it."""
        old_fd = signal.set_wakeup_fd(self.signal_fd, warn_on_full_buffer=False)
        old = {signum: signal.signal(signum, lambda *_: None) for signum in self.signal_table}
        for signum in (signal.SIGPIPE, signal.SIGWINCH):
            old[signum] = signal.signal(signum, signal.SIG_IGN)

        def restore() -> None:
            signal.set_wakeup_fd(old_fd)
            for signum, handler in old.items():
                signal.signal(signum, signal.SIG_DFL if handler is None else handler)

        return restore

    def wait(self, timeout: float | None) -> bytes:
        """Sleep until a signal comes or `timeout` is over (None: without end); the signals' numbers."""
        if not self.selector.select(timeout):
            return b""
        return os.read(self.wake_fd, 4096)

    def handle_signal(self, signum: int) -> None:
        action = self.signal_table.get(signum)
        if action is None:
            # a program that called run() has a handler of its own for it, which has been called
            return
        if signum != signal.SIGCHLD:
            self.log.info("Handling signal: %s", signal.Signals(signum).name.removeprefix("SIG").lower())
        action()

    def stop_gracefully(self) -> None:
        if self.exit_code is None:
            self.stop(0)

    def stop_quickly(self) -> None:
        """The first time workers are told to leave at once; who asks again does not want to wait for them."""
        if self.quick:
            for member in self.members.values():
                self.kill(member)
            return
        self.quick = True
        if self.exit_code is None:
            self.exit_code = 0
        self.close_listeners()
        grace = min(QUICK_GRACE, self.settings.graceful_timeout)
        for member in self.members.values():
            self.dismiss(member, signal.SIGQUIT, grace)

    def stop(self, code: int) -> None:
        """Let the workers finish, and end with `code`."""
        self.exit_code = code
        self.close_listeners()
        for member in self.members.values():
            self.dismiss(member, signal.SIGTERM, self.settings.graceful_timeout + LEAVE_MARGIN)

    def add_worker(self) -> None:
        if self.wanted < self.board.count // 2:
            self.wanted += 1
        else:
            self.log.warning("There is no room for more than %s workers", self.wanted)

    def remove_worker(self) -> None:
        if self.wanted > 1:
            self.wanted -= 1

    def ignore_signal(self) -> None:
        self.log.warning("This signal is not supported yet, and was ignored")

    # workers

    def manage_workers(self) -> None:
        """Fork what is missing, dismiss what is too many, the oldest first."""
        if self.exit_code is not None:
            return
        staying = [member for member in self.members.values() if not member.leaving]
        if len(staying) < self.wanted and time.monotonic() >= self.fork_at:
            for _ in range(self.wanted - len(staying)):
                self.fork_worker()
        for member in staying[: max(0, len(staying) - self.wanted)]:
            self.dismiss(member, signal.SIGTERM, self.settings.graceful_timeout + LEAVE_MARGIN)

    def fork_worker(self) -> None:
        slot = next((slot for slot in range(self.board.count) if self.board.read(slot).state == FREE), None)
        if slot is None:
            return
        self.board.set_state(slot, BOOTING)
        # what stands in their buffers would be written by both
        flush_standard_streams()
        # between the fork and its own handlers the child must not take a signal for the arbiter's
        old_mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                self.become_worker(slot)
        except OSError as error:
            self.board.clear(slot)
            self.log.error("Can't fork a worker: %s", error.strerror)
            self.back_off()
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        self.board.set_pid(slot, pid)
        self.members[pid] = Member(pid, slot, time.monotonic())

    def become_worker(self, slot: int) -> NoReturn:
        """The child's side of the fork. Never returns to the arbiter's code."""
        code, quick = EXIT_INTERNAL, False
        try:
            self.selector.close()
            for fd in (self.wake_fd, self.signal_fd, self.life_fd):
                os.close(fd)
            kind = KINDS[self.settings.worker_class]
            worker = kind(self.settings, self.app, self.log, self.listeners, self.board, slot, self.watch_fd)
            code = worker.run()
            quick = worker.quick
        except BaseException:
            self.log.exception("Exception in worker process")
        finally:
            end_process(code, quick=quick)

    def reap(self) -> None:
        """Take note of every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            member = self.members.pop(pid, None)
            if member is None:
                self.log.debug("Reaped a child that is no worker (pid:%s)", pid)
            else:
                self.bury(member, os.waitstatus_to_exitcode(status))

    def bury(self, member: Member, code: int) -> None:
        """Say how a worker ended, and decide what follows from it. `code` < 0: by that signal."""
        slot = self.board.read(member.slot)
        self.board.clear(member.slot)
        self.served |= slot.state != BOOTING
        if code > 0:
            self.log.error("Worker (pid:%s) exited with code %s", member.pid, code)
        elif code == -signal.SIGKILL and not member.killed:
            self.log.error("Worker (pid:%s) was sent SIGKILL! Perhaps out of memory?", member.pid)
        elif code < 0 and not member.killed:
            level = self.log.info if -code == signal.SIGTERM else self.log.warning
            level("Worker (pid:%s) was sent %s!", member.pid, signal.Signals(-code).name)

        if self.exit_code is not None or member.leaving:
            return
        if code in BOOT_FAILURES and not self.has_served():
            self.stop(code)
        elif slot.state == BOOTING or (code != 0 and time.monotonic() - member.started < YOUNG):
            self.back_off()

    def has_served(self) -> bool:
        self.served = self.served or any(
            self.board.read(member.slot).state != BOOTING for member in self.members.values()
        )
        return self.served

    def back_off(self) -> None:
        """Wait before the next fork, twice as long each time it goes on like this."""
        now = time.monotonic()
        if now - self.failed_at > 2 * BACKOFF_MOST + YOUNG:
            self.failures = 0
        pause = min(BACKOFF_FIRST * 2.0**self.failures, BACKOFF_MOST)
        self.failures = min(self.failures + 1, 16)
        self.failed_at = now
        self.fork_at = now + pause

    # time

    def next_deadline(self) -> float | None:
        """Seconds until something has to be done without a signal; None: there is no such thing."""
        deadlines = [member.kill_at for member in self.members.values() if member.kill_at is not None]
        now = time.monotonic()
        if self.settings.timeout and self.members:
            deadlines.append(now + LOOK)
        if self.exit_code is None and self.fork_at > now:
            deadlines.append(self.fork_at)
        return max(0.0, min(deadlines) - now) if deadlines else None

    def look_after_workers(self) -> None:
        """Abort workers that are stuck, kill those that do not go."""
        now = time.monotonic()
        for member in self.members.values():
            if member.kill_at is not None:
                if now >= member.kill_at:
                    self.log.warning("Worker (pid:%s) does not leave: killed", member.pid)
                    self.kill(member)
            elif self.settings.timeout and not member.leaving and self.is_stuck(member, now):
                self.log.critical("WORKER TIMEOUT (pid:%s)", member.pid)
                self.dismiss(member, signal.SIGABRT, ABORT_GRACE)

    def is_stuck(self, member: Member, now: float) -> bool:
        """Has it been loading the application, in one call of it, or leaving of itself, for too long?"""
        slot = self.board.read(member.slot)
        if (slot.state, slot.turn) != member.seen:
            member.seen, member.seen_since = (slot.state, slot.turn), now
            return False
        waited = now - member.seen_since
        if slot.state == LEAVING:
            return waited > self.settings.graceful_timeout + self.settings.timeout
        return waited > self.settings.timeout and (slot.state == BOOTING or slot.turn % 2 == 1)

    def dismiss(self, member: Member, signum: int, grace: float) -> None:
        """Tell a worker to go; it is killed if it has not gone after `grace`."""
        member.leaving = True
        member.kill_at = time.monotonic() + grace
        self.send(member, signum)

    def kill(self, member: Member) -> None:
        member.killed = True
        member.kill_at = None
        self.send(member, signal.SIGKILL)

    def send(self, member: Member, signum: int) -> None:
        """Only to our own children, which stay ours until they are reaped: the pid cannot be another's."""
        os.kill(member.pid, signum)
