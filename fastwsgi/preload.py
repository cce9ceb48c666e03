"""--preload: the application is loaded once, and workers share its memory.

The arbiter itself never imports the application, or a reload could not bring new code. It forks a *template*,
which loads the application, moves all objects there are out of the garbage collector's sight (so that no
collection writes to pages that workers share), and then forks a worker whenever the arbiter asks for one:

    arbiter   -> template   "slot age": fork a worker
    template  -> arbiter    "slot pid": it is there; "slot 0": it could not be forked, which has been logged

A worker is forked by way of a process that ends at once. It is an orphan then, and goes to the nearest
ancestor that asked for orphans, which is the arbiter: to it, it is a child like any other. Its pid is sent
before the process between has ended, so the arbiter knows it before it can see it die.

A reload makes another template; the old one stays until the new generation serves. A template leaves when the
arbiter is gone, since that held the other end of its socket.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from typing import TYPE_CHECKING, ClassVar

from fastwsgi._board import SERVING
from fastwsgi.errors import EXIT_INTERNAL
from fastwsgi.pool import Generation, Member
from fastwsgi.process import become_subreaper, fork_process
from fastwsgi.workers.base import IGNORED, load_failed, tell

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    from fastwsgi.pool import Pool
    from fastwsgi.workers.base import Worker

LONGEST_MESSAGE = 64


class Template(Member):
    """The template of one generation. On the board it is like a worker: it serves when it has loaded."""

    title: ClassVar[str] = "Template"

    def __init__(self, generation: Generation, slot: int, patience: float) -> None:
        """OSError: this system cannot have one."""
        super().__init__(generation, slot, patience)
        become_subreaper()
        # messages stay apart, and the end of the other side is seen
        self.sock, self.far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)
        self.hung_up = False
        """Neither the template nor a process between it and a worker will say anything more."""

    # the arbiter's side

    def parted(self) -> None:
        """The fork has happened: the other end is the template's alone."""
        self.far_end.close()

    def forks_for(self, generation: Generation) -> bool:
        return self.generation is generation and not (self.leaving or self.dead)

    def ask(self, slot: int, age: int) -> None:
        """Have a worker forked. OSError: it does not listen."""
        self.sock.send(b"%d %d" % (slot, age))

    def answers(self) -> list[tuple[int, int]]:
        """What it has answered since: slots, and the pids of their workers or 0."""
        found: list[tuple[int, int]] = []
        while not self.hung_up:
            try:
                message = self.sock.recv(LONGEST_MESSAGE)
            except BlockingIOError:
                break
            except ConnectionResetError:
                message = b""
            if message:
                slot, pid = map(int, message.split())
                found.append((slot, pid))
            else:
                self.hung_up = True
        return found

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0

    def close(self) -> None:
        self.sock.close()
        self.far_end.close()

    # the child's side

    def become(self, pool: Pool) -> NoReturn:
        """Never returns to the arbiter's code. What the application gave to atexit is its workers' matter."""
        code = EXIT_INTERNAL
        try:
            pool.let_go(pool.server.listeners.of_seat(settings=self.generation.settings))
            self.sock.close()
            self.take_signals(pool)
            code = self.load(pool)
            if code == 0:
                self.fork_on_demand(pool)
        except BaseException:
            pool.server.log.exception("Exception in the template process")
        finally:
            os._exit(code)

    def take_signals(self, pool: Pool) -> None:
        def leave(signum: int, frame: FrameType | None) -> None:
            os._exit(0)

        def abort(signum: int, frame: FrameType | None) -> None:
            os._exit(EXIT_INTERNAL)

        def reopen_logs(signum: int, frame: FrameType | None) -> None:
            pool.server.reopen_own_logs()

        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGQUIT, leave)
        signal.signal(signal.SIGABRT, abort)
        pool.stacks.watch(self.slot)
        signal.signal(signal.SIGUSR1, reopen_logs)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for signum in (signal.SIGINT, *IGNORED):
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def load(self, pool: Pool) -> int:
        """Load the application. 0, or the exit code."""
        pool.server.log.info("Loading the application with pid: %s", os.getpid())
        try:
            self.generation.app.wsgi()
        except BaseException as error:
            return load_failed(pool.server.log, error)
        gc.collect()
        gc.freeze()
        pool.board.set_state(self.slot, SERVING)
        tell(pool.server.tell_fd)
        return 0

    def fork_on_demand(self, pool: Pool) -> None:
        """Until the arbiter hangs up."""
        while message := self.far_end.recv(LONGEST_MESSAGE):
            slot, age = map(int, message.split())
            worker = pool.make_worker(self.generation, slot, age)
            try:
                pool.server.settings.pre_fork(pool.server, worker)
                pid = fork_process(lambda: self.fork_an_orphan(pool, worker))  # noqa: B023
                os.waitpid(pid, 0)
            except Exception as error:
                pool.log_failed_fork(error)
                self.answer(slot, 0)

    def fork_an_orphan(self, pool: Pool, worker: Worker) -> NoReturn:
        pid = 0
        try:
            pid = fork_process(lambda: self.become_worker(pool, worker))
        except OSError as error:
            pool.log_failed_fork(error)
        finally:
            self.answer(worker.place.slot, pid)
            os._exit(0)

    def become_worker(self, pool: Pool, worker: Worker) -> NoReturn:
        self.far_end.close()
        pool.run_worker(worker)

    def answer(self, slot: int, pid: int) -> None:
        with contextlib.suppress(OSError):  # the arbiter is gone: so will the worker be
            self.far_end.send(b"%d %d" % (slot, pid))
