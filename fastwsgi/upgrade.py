"""The binary upgrade: on USR2 a master starts the program anew, beside itself, with the same listeners.

Both serve, until somebody ends one of them. If that is the old master, the new one is *promoted*: it learns
so from having another parent. If it is the new one, or it fails to start, the old one goes on as if nothing
had been. Until then the pid file and the process title of the new one end in `.2`.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from fastwsgi import share, systemd
from fastwsgi.process import fork_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from fastwsgi.log import Logger
    from fastwsgi.origin import Origin
    from fastwsgi.share import Share

SUFFIX = ".2"


class Upgrade:
    """What one master knows of another, older or newer one. There are never more than two."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        handed = origin.handed_down
        self.fds = fds_from(handed.get("FASTWSGI_FD") or handed.get("GUNICORN_FD", ""))
        """The listeners of the old master."""
        self.old = pid_from(handed.get("FASTWSGI_PID") or handed.get("GUNICORN_PID", ""))
        """The old master, as long as this one is not promoted; 0: there is none."""
        self.share = share.inherit(handed.get("FASTWSGI_SHARE", ""))
        """What this master and the other have in common; None: nothing, or there is no other."""
        self.pid = os.getpid()
        self.new = 0
        """The new master that this one has started; 0: there is none."""

    @property
    def suffix(self) -> str:
        return SUFFIX if self.old else ""

    @property
    def is_under_way(self) -> bool:
        """Another master uses the same listeners."""
        return bool(self.old or self.new)

    def start(
        self,
        fds: list[int],
        shared: Share | None,
        *,
        activated: bool,
        pre_exec: Callable[[], None],
        log: Logger,
    ) -> None:
        """Start the new master; `activated`: the listeners were systemd's, and it shall know them as such."""
        if self.new:
            log.warning("USR2 ignored: the new master (pid:%s) is still there", self.new)
            return
        if self.old:
            log.warning("USR2 ignored: the old master (pid:%s) is still there", self.old)
            return
        self.pid = os.getpid()
        self.share = shared
        try:
            pid = fork_process(lambda: self.become_master(fds, activated, pre_exec, log))
        except OSError as error:
            log.error("Can't fork a new master: %s", error.strerror)
            return
        self.new = pid
        log.info("Started a new master (pid:%s)", pid)

    def become_master(
        self, fds: list[int], activated: bool, pre_exec: Callable[[], None], log: Logger
    ) -> NoReturn:
        """The child's side: end as the new program, or end."""
        try:
            let_signals_go()
            pre_exec()
            pass_only(fds + (self.share.fds() if self.share is not None else []))
            os.chdir(self.origin.directory)
            os.execve(self.origin.argv[0], self.origin.argv, self.environment(fds, activated))
        except BaseException:
            log.exception("The new master could not be started")
        finally:
            os._exit(1)

    def environment(self, fds: list[int], activated: bool) -> dict[str, str]:
        """The new master's: as it was for this one, and what it needs to know."""
        environ = dict(self.origin.environ)
        # the service manager does not know the new process, but it is the same service's
        environ.pop("WATCHDOG_PID", None)
        environ["FASTWSGI_PID"] = str(self.pid)
        if activated:
            names = self.origin.handed_down.get("LISTEN_FDNAMES")
            environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds))}
            environ |= {"LISTEN_FDNAMES": names} if names else {}
        else:
            environ["FASTWSGI_FD"] = ",".join(map(str, fds))
        if self.share is not None:
            environ["FASTWSGI_SHARE"] = self.share.handed_down()
        return environ

    def is_promoted(self) -> bool:
        """True once, when the old master is gone and this one takes its place."""
        if self.old == 0 or self.old == os.getppid():
            return False
        self.old = 0
        self.is_alone()
        return True

    def reap(self, pid: int) -> bool:
        """Whether the child that has ended was the new master: then another try is possible."""
        if pid != self.new:
            return False
        self.new = 0
        self.is_alone()
        return True

    def is_alone(self) -> None:
        """The other master is gone."""
        if self.share is not None:
            self.share.forget_other()


def let_signals_go() -> None:
    """Give every signal its default action: what comes now means this process, and is to end it."""
    signal.set_wakeup_fd(-1)
    for signum in signal.valid_signals():
        if callable(signal.getsignal(signum)):
            signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGWINCH, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def pass_only(fds: list[int]) -> None:
    """Of the open descriptors, let the next program have the standard streams and `fds`."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2:
            try:
                os.set_inheritable(fd, fd in fds)
            except OSError:
                # the one of the directory that was listed
                continue


def fds_from(text: str) -> list[int]:
    return [int(item) for item in text.split(",") if item.isascii() and item.isdigit()]


def pid_from(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def inherited_fds(upgrade: Upgrade) -> tuple[list[int], bool]:
    """The listeners that this process was started with, and whether they are systemd's."""
    activated = systemd.listen_fds(upgrade.origin.handed_down)
    return (activated, True) if activated else (upgrade.fds, False)
