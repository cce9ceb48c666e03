"""What is around a master: its terminal, its pid file, the service manager, another master beside it.

The arbiter calls each method at one place of a server's life, in the order they stand here. The parts know
nothing of each other; what they have to agree on is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastwsgi import privileges
from fastwsgi.daemon import daemonize
from fastwsgi.errors import StartError
from fastwsgi.pidfile import Pidfile
from fastwsgi.proctitle import set_title
from fastwsgi.systemd import Notifier
from fastwsgi.upgrade import Upgrade, inherited_fds

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastwsgi.daemon import Daemon
    from fastwsgi.listeners import Listeners
    from fastwsgi.log import Logger
    from fastwsgi.origin import Origin
    from fastwsgi.settings import Settings
    from fastwsgi.share import Share

PROMOTION_PAUSE = 0.25
"""Seconds between two looks whether the old master is gone."""


class Surroundings:
    """One for each master. `settings` are replaced by a reload."""

    def __init__(self, settings: Settings, log: Logger, origin: Origin) -> None:
        self.settings = settings
        self.log = log
        self.origin = origin
        self.upgrade = Upgrade(origin)
        # asked for now: they were left to the process that may be about to go to the background
        self.fds, self.activated = inherited_fds(self.upgrade)
        self.notifier = Notifier(origin.environ)
        self.pidfile = Pidfile(None)
        self.daemon: Daemon | None = None

    def enter(self) -> None:
        """Before anything else: go to the background, say who we are. StartError: that is not possible."""
        privileges.check(self.settings)
        if self.settings.daemon and not self.upgrade.old:
            self.daemon = daemonize()
        set_title("master", self.name)

    def listen(self, listeners: Listeners, pause: Callable[[str], bool]) -> None:
        """Write the pid file, take over or open the listeners. StartError: that is not possible."""
        self.pidfile.move(self.pidfile_path())
        listeners.inherit(self.fds, lent=self.activated)
        listeners.open(pause)
        if self.daemon is not None:
            self.daemon.started(keep_streams=self.settings.enable_stdio_inheritance)
            self.daemon = None

    def beat(self, now: float, status: str | None) -> None:
        """Once in a turn of the arbiter's loop; `status` says how the server is, once a worker serves."""
        if self.upgrade.is_promoted():
            self.log.info("The old master is gone: this one takes its place")
            set_title("master", self.name)
            self.move_pidfile()
        if not self.upgrade.old:
            self.notifier.beat(now, status)

    def next_beat(self, now: float) -> float | None:
        """When beat() wants to be called at the latest; None: never."""
        return now + PROMOTION_PAUSE if self.upgrade.old else self.notifier.next_beat(now)

    def start_new_master(
        self, listeners: Listeners, shared: Share | None, pre_exec: Callable[[], None]
    ) -> None:
        """The binary upgrade."""
        fds = sorted(listener.fileno() for listener in listeners.of_seat())
        self.upgrade.start(fds, shared, activated=self.activated, pre_exec=pre_exec, log=self.log)

    def reap(self, pid: int, code: int) -> bool:
        """Whether the child that has ended is none of the workers, but ours."""
        if not self.upgrade.reap(pid):
            return False
        self.log.error("The new master (pid:%s) has ended with code %s: this one goes on", pid, code)
        return True

    def reloading(self) -> None:
        """A reload begins; reloaded() has to follow, whatever comes of it."""
        if not self.upgrade.old:
            self.notifier.reloading()

    def adopt(self, settings: Settings) -> None:
        """The settings have been read anew."""
        self.settings = settings
        self.origin.set_environment(settings.env)
        set_title("master", self.name)
        self.move_pidfile()

    def reloaded(self, status: str | None) -> None:
        """A reload is over, or was given up."""
        if status is not None and not self.upgrade.old:
            self.notifier.ready(status)

    def stopping(self, listeners: Listeners) -> None:
        """The server ends: nothing new is accepted. The other master, if there is one, goes on."""
        if not self.upgrade.old:
            self.notifier.stopping(self.upgrade.new or None)
        listeners.close(keep_files=self.upgrade.is_under_way)

    def leave(self) -> None:
        """The last worker is gone, and so will be this process, or the program goes on without the server."""
        self.pidfile.remove()
        self.origin.set_environment({})

    @property
    def name(self) -> str:
        """The server's, for the titles of its processes."""
        return f"{self.settings.proc_name}{self.upgrade.suffix}"

    def pidfile_path(self) -> str | None:
        path = self.settings.pidfile
        return path + self.upgrade.suffix if path else None

    def move_pidfile(self) -> None:
        """Let the pid file be where it belongs now; the server goes on without if that is not possible."""
        try:
            self.pidfile.move(self.pidfile_path())
        except StartError as error:
            self.log.error("%s", error)

    def worker_title(self) -> None:
        """In a worker, just after the fork."""
        set_title("worker", self.name)
