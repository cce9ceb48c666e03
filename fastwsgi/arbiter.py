"""The arbiter, the master process: signals in, workers out. It never touches a request.

One thread, one loop. A signal handler does nothing: the interpreter writes the signal's number to a pipe, and
the loop looks it up in a table. How the workers are it reads from the board; a worker whose state there has
changed writes a byte to another pipe, so that it looks at once.

Here are the life of the server, its signals and its listeners. The processes are in `pool`, generations of
settings and of workers in `reload`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING

from fastwsgi import __version__, share, sockets
from fastwsgi.app.loader import enter_project
from fastwsgi.errors import EXIT_APP, EXIT_BOOT, EXIT_CONFIG, EXIT_INTERNAL, StartError
from fastwsgi.listeners import Listeners
from fastwsgi.origin import Origin
from fastwsgi.pool import Pool
from fastwsgi.reload import Reload
from fastwsgi.reloader import check_engine
from fastwsgi.surroundings import Surroundings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import HasFileno

    from fastwsgi.app.base import BaseApplication
    from fastwsgi.pool import Death, Generation, Member
    from fastwsgi.settings import Settings
    from fastwsgi.workers.base import Worker

# All times are in seconds.
LISTEN_PAUSE = 1.0
QUICK_GRACE = 2.0
BACKLOG_PAUSE = 1.0

# Slots on the board at least: TTIN or a reload may want more workers than there were at first, and in a
# reload two generations are there. What nobody uses takes no memory.
SLOTS = 1024

BOOT_FAILURES = {
    EXIT_BOOT: "Worker failed to boot.",
    EXIT_APP: "App failed to load.",
}


class Arbiter:
    """The arbiter of one server. The public attributes are those that gunicorn's hooks know.

    ConfigError: a log cannot be opened, or what `reload` needs is not there.
    """

    def __init__(self, app: BaseApplication) -> None:
        self.app = app
        self.settings: Settings = app.cfg
        origin = Origin()
        origin.set_environment(self.settings.env)
        enter_project(self.settings.chdir, self.settings.pythonpath)
        self.pid = os.getpid()
        if self.settings.reload:
            check_engine(self.settings)
        self.log = self.settings.logger_class(self.settings)
        self.surroundings = Surroundings(self.settings, self.log, origin)
        self.listeners = Listeners(self.settings)
        self.share = self.surroundings.upgrade.share or self.make_share()
        self.selector = selectors.DefaultSelector()
        self.wake_fd, self.signal_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # workers hold the writing end of this one, and can say no more than that there is news on the board
        self.news_fd, self.tell_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # and the reading end of this one: it hangs up when this process is gone, however it went
        self.watch_fd, self.life_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.selector.register(self.wake_fd, selectors.EVENT_READ)
        self.listen_to(self.news_fd, self.read_news)
        self.exit_code: int | None = None
        """Not None: the server is ending, with this code."""
        self.quick = False
        self.signal_table: dict[int, Callable[[], None]] = {
            signal.SIGTERM: self.stop_gracefully,
            signal.SIGINT: self.stop_quickly,
            signal.SIGQUIT: self.stop_quickly,
            signal.SIGCHLD: self.reap,
            signal.SIGHUP: self.begin_reload,
            signal.SIGTTIN: self.add_worker,
            signal.SIGTTOU: self.remove_worker,
            signal.SIGWINCH: self.dismiss_workers,
            signal.SIGUSR1: self.reopen_logs,
            signal.SIGUSR2: self.start_new_master,
        }
        self.pool = Pool(self, max(SLOTS, 4 * self.settings.workers))
        self.reload = Reload(self, app)
        self.counted = 0
        self.backlog_told = float("-inf")
        self.workers_wanted: int | None = None
        self.num_workers = self.settings.workers

    def make_share(self) -> share.Share | None:
        try:
            return share.create()
        except OSError as error:
            self.log.warning("Workers keep their connections to themselves: %s", error.strerror)
            return None

    # what hooks look at

    @property
    def cfg(self) -> Settings:
        return self.settings

    @property
    def master_pid(self) -> int:
        """Of the server that this one is to replace; 0: there is none."""
        return self.surroundings.upgrade.old

    @property
    def num_workers(self) -> int:
        """How many there should be."""
        return self.workers_wanted or 0

    @num_workers.setter
    def num_workers(self, wanted: int) -> None:
        most = self.pool.board.count // 4
        if wanted > most:
            self.log.warning("There is room for %s workers, not for %s", most, wanted)
            wanted = most
        before, self.workers_wanted = self.workers_wanted, wanted
        if before != wanted:
            self.call_hook("nworkers_changed", self, wanted, before)

    @property
    def worker_age(self) -> int:
        return self.pool.age

    @property
    def WORKERS(self) -> dict[int, Worker]:  # noqa: N802
        """The workers by their pids."""
        members = self.pool.workers.values()
        return {member.pid: member.worker for member in members if member.pid and member.worker}

    @property
    def LISTENERS(self) -> list[socket.socket]:  # noqa: N802
        return self.listeners.of_seat(settings=self.settings)

    @property
    def address(self) -> object:
        return self.settings.address

    def call_hook(self, name: str, *arguments: object) -> bool:
        """Call a server hook. False: it raised, which is logged."""
        try:
            getattr(self.settings, name)(*arguments)
        except Exception:
            self.log.exception("Exception in the hook %s", name)
            return False
        return True

    # life

    def run(self) -> int:
        """Serve until a signal or a failure ends it, and return the exit code. Only from the main thread."""
        restore_signals = self.take_signals()
        try:
            return self.supervise()
        finally:
            restore_signals()
            self.close()

    def supervise(self) -> int:
        try:
            self.surroundings.enter()
            self.pid = os.getpid()
            self.log.info("Starting fastwsgi %s", __version__)
            self.log_settings()
            if not self.start():
                return EXIT_CONFIG
            while self.exit_code is None or self.pool.everybody():
                if self.exit_code is None:
                    self.reload.step()
                self.count_workers()
                self.pool.tell_serving()
                self.tell_backlog()
                for signum in self.wait(self.next_deadline()):
                    self.handle_signal(signum)
                self.look_after_workers()
                self.surroundings.beat(time.monotonic(), self.status())
            self.log.info("Shutting down: Master")
            if self.exit_code in BOOT_FAILURES:
                self.log.error("Reason: %s", BOOT_FAILURES[self.exit_code])
        except StartError as error:
            self.log.critical("%s", error)
            return EXIT_CONFIG
        except Exception:
            self.log.exception("Unhandled exception in the arbiter")
            self.exit_code = EXIT_INTERNAL
            self.pool.close()
            for member in self.pool.everybody():
                self.pool.send(member, signal.SIGTERM)
        self.call_hook("on_exit", self)
        return self.exit_code

    def start(self) -> bool:
        """Open the listeners and say so. False: a hook does not want us to serve. StartError."""
        if not self.call_hook("on_starting", self):
            return False
        self.surroundings.listen(self.listeners, self.pause)
        if self.exit_code is None:
            self.log.info("Listening at: %s (%s)", self.urls(), self.pid)
            self.log.info("Using worker: %s", self.settings.worker_class_str)
            self.log.info("Number of workers: %s", self.num_workers)
            if self.settings.reload:
                self.log.warning("--reload is on: for development only, as errors are shown to everybody")
            if self.settings.reload and self.settings.preload_app:
                self.log.warning("--preload has no effect with --reload: each worker loads the application")
            return self.call_hook("when_ready", self)
        return True

    def count_workers(self) -> None:
        """Tell the logger how many there are when that has changed: to some it is a metric."""
        count = len(self.pool.workers)
        if count != self.counted:
            self.counted = count
            extra = {"metric": "gunicorn.workers", "value": count, "mtype": "gauge"}
            self.log.debug("%s workers", count, extra=extra)

    def tell_backlog(self) -> None:
        """Tell the logger once a second how many connections wait to be accepted, if that is wanted."""
        now = time.monotonic()
        if self.settings.enable_backlog_metric and now >= self.backlog_told + BACKLOG_PAUSE:
            self.backlog_told = now
            count = sum(map(sockets.waiting, self.listeners.all()))
            extra = {"metric": "gunicorn.backlog", "value": count, "mtype": "histogram"}
            self.log.debug("%s connections wait to be accepted", count, extra=extra)

    def log_settings(self) -> None:
        """Say where the settings come from, and what is odd about them."""
        for path in self.settings.files:
            self.log.info("Using configuration: %s", path)
        for line in self.settings.warnings():
            self.log.warning("%s", line)

    def adopt(self, generation: Generation) -> None:
        """Be as its settings say: environment, directory, logs. What is raised is wrong with one of them."""
        self.app, self.settings = generation.app, generation.settings
        enter_project(self.settings.chdir, self.settings.pythonpath)
        self.surroundings.adopt(self.settings)
        importlib.invalidate_caches()
        self.log.setup(self.settings)
        self.log.reopen_files()

    def let_go(self, listeners: list[socket.socket]) -> None:
        """In a child: close what is the arbiter's alone, and all listeners but these."""
        self.selector.close()
        for fd in (self.wake_fd, self.signal_fd, self.news_fd, self.life_fd):
            os.close(fd)
        for listener in self.listeners.all():
            if listener not in listeners:
                listener.close()

    def close(self) -> None:
        """Release all it holds. Workers that are still there see it go, and leave."""
        self.close_listeners()
        if self.share is not None:
            self.share.close()
        self.surroundings.leave()
        self.selector.close()
        for template in self.pool.templates:
            template.close()
        for fd in (self.wake_fd, self.signal_fd, self.news_fd, self.tell_fd, self.watch_fd, self.life_fd):
            os.close(fd)
        self.pool.stacks.close()
        close = getattr(self.log, "close", None)
        if close is not None:  # a logger of the user's own may have only gunicorn's methods
            close()

    # listeners

    def pause(self, why: str) -> bool:
        """Wait before an address is tried again; False: the server is ending."""
        self.log.error("%s. Retrying in 1 second.", why)
        for signum in self.wait(LISTEN_PAUSE):
            self.handle_signal(signum)
        return self.exit_code is None

    def open_more_listeners(self, settings: Settings) -> None:
        """What these settings want and is not there yet. ListenError: something of it cannot be."""
        before = self.listeners.all()
        self.listeners.widen(settings)
        for listener in self.listeners.of_seat(settings=settings):
            if listener not in before:
                self.log.info("Listening at: %s (%s)", sockets.url(listener), self.pid)

    def close_listeners(self) -> None:
        self.surroundings.stopping(self.listeners)

    def close_listeners_except(self, *generations: Generation) -> None:
        """Those that none of these generations wants, of which the last is the one that is served."""
        self.listeners.narrow(*(generation.settings for generation in generations))

    def urls(self) -> str:
        return ",".join(sockets.url(listener) for listener in self.LISTENERS)

    def status(self) -> str | None:
        """What the service manager is told; None: nothing, as it does not serve yet or not any more."""
        return f"Serving at {self.urls()}" if self.exit_code is None and self.pool.has_served() else None

    # signals

    def take_signals(self) -> Callable[[], None]:
        """From now on signals come through wait(). Returns what undoes it."""
        old_fd = signal.set_wakeup_fd(self.signal_fd, warn_on_full_buffer=False)
        old = {signum: signal.signal(signum, lambda *_: None) for signum in self.signal_table}
        old[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, signal.SIG_IGN)

        def restore() -> None:
            signal.set_wakeup_fd(old_fd)
            for signum, handler in old.items():
                signal.signal(signum, signal.SIG_DFL if handler is None else handler)

        return restore

    def wait(self, timeout: float | None) -> bytes:
        """Sleep until there is news or `timeout` is over (None: without end); the numbers of signals."""
        signals = b""
        for key, _ in self.selector.select(timeout):
            if key.fd == self.wake_fd:
                signals = os.read(self.wake_fd, 4096)
            else:
                key.data()
        return signals

    def listen_to(self, source: HasFileno | int, action: Callable[[], None]) -> None:
        """Call `action` when `source` can be read from."""
        self.selector.register(source, selectors.EVENT_READ, action)

    def stop_listening_to(self, source: HasFileno | int) -> None:
        self.selector.unregister(source)

    def read_news(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.news_fd, 4096)

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
            for member in self.pool.everybody():
                self.pool.kill(member)
            return
        self.quick = True
        if self.exit_code is None:
            self.exit_code = 0
        self.pool.close()
        self.close_listeners()
        for member in self.pool.everybody():
            grace = min(QUICK_GRACE, member.generation.settings.graceful_timeout)
            self.pool.dismiss(member, signal.SIGQUIT, grace)

    def stop(self, code: int) -> None:
        """Let the workers finish, and end with `code`."""
        self.exit_code = code
        self.pool.close()
        self.close_listeners()
        for member in self.pool.everybody():
            self.pool.dismiss(member)

    def begin_reload(self) -> None:
        if self.exit_code is None:
            self.reload.begin()

    def add_worker(self) -> None:
        self.num_workers += 1

    def remove_worker(self) -> None:
        if self.num_workers > 1:
            self.num_workers -= 1

    def dismiss_workers(self) -> None:
        """All of them, until a reload: when another server takes over. A terminal means its size by it."""
        if self.settings.daemon:
            self.num_workers = 0

    def reopen_logs(self) -> None:
        self.reopen_own_logs()
        self.pool.tell_all(signal.SIGUSR1)

    def reopen_own_logs(self) -> None:
        try:
            self.log.reopen_files()
        except OSError as error:
            self.log.error("Can't reopen a log: %s", error)

    def start_new_master(self) -> None:
        self.surroundings.start_new_master(self.listeners, self.share, lambda: self.settings.pre_exec(self))

    # what becomes of workers

    def next_deadline(self) -> float | None:
        """Seconds until something has to be done without news; None: there is no such thing."""
        now = time.monotonic()
        beat = self.surroundings.next_beat(now)
        wanted = [self.pool.next_deadline(), None if beat is None else max(0.0, beat - now)]
        if self.settings.enable_backlog_metric:
            wanted.append(max(0.0, self.backlog_told + BACKLOG_PAUSE - now))
        return min((seconds for seconds in wanted if seconds is not None), default=None)

    def reap(self) -> None:
        for death in self.pool.reap():
            if self.exit_code is None and not death.member.leaving:
                self.react(death)

    def react(self, death: Death) -> None:
        """Decide what follows from a death that was not our wish."""
        if death.booting and self.is_on_trial(death.member):
            self.reload.abandon(f"{death} while it booted")
        elif death.code in BOOT_FAILURES and not self.pool.has_served():
            self.stop(death.code)
        elif death.booting or (death.code != 0 and death.young):
            self.pool.back_off()

    def look_after_workers(self) -> None:
        for member in self.pool.look_after():
            if self.is_on_trial(member) and self.pool.is_booting(member):
                self.reload.abandon(f"{member} did not boot in {member.patience:.0f} s")

    def is_on_trial(self, member: Member) -> bool:
        """Is it of a generation that has not come to serve as a whole, while there is one that has?"""
        return self.reload.rolling and member.generation is self.reload.target
