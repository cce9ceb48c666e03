"""The pool: the child processes of an arbiter. It forks them, watches them, and tells them to go.

How many there should be, and of which generation, it is told; what follows from a death, others decide.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from fastwsgi._board import BOOTING, FREE, LEAVING, RETIRING, SERVING, Board
from fastwsgi.access_format import environ_of_line
from fastwsgi.errors import EXIT_INTERNAL
from fastwsgi.log import wants_access
from fastwsgi.message import Request, Response
from fastwsgi.process import end_process, fork_process
from fastwsgi.stuck import Stacks, doing
from fastwsgi.workers import KINDS
from fastwsgi.workers.base import Place

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import NoReturn

    from fastwsgi.app.base import BaseApplication
    from fastwsgi.arbiter import Arbiter
    from fastwsgi.preload import Template
    from fastwsgi.settings import Settings
    from fastwsgi.workers.base import Worker

TIMED_OUT = "504 Gateway Timeout"

# All times are in seconds.
LOOK = 1.0
"""How often the board is looked at for workers that are stuck."""
ABORT_GRACE = 1.0
"""From SIGABRT, which lets a worker say where it is stuck, to SIGKILL."""
LEAVE_MARGIN = 1.0
"""A worker ends its own grace; past this it is stuck while leaving."""
YOUNG = 5.0
"""A worker that fails before this age would probably fail again at once."""
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 5.0


class Generation:
    """What one reading of the settings brought.

    Each has an application object of its own, so that an older one can still be served when a younger fails.
    """

    def __init__(self, number: int, app: BaseApplication) -> None:
        self.number = number
        self.app = app
        self.settings: Settings = app.cfg


class Member:
    """One child process, as the arbiter knows it."""

    title: ClassVar[str] = "Worker"

    def __init__(
        self, generation: Generation, slot: int, patience: float, worker: Worker | None = None, seat: int = 0
    ) -> None:
        """`patience`: how long it may take to boot; 0: as long as it likes.

        `worker`: what it was made of; the one in its own process is another. None: it is a template.
        """
        self.worker = worker
        self.generation = generation
        self.slot = slot
        self.seat = seat
        """Which of the listeners are its."""
        self.patience = patience
        self.pid = 0
        """0: it is being forked from a template, which has not yet told its pid."""
        self.started = time.monotonic()
        self.leaving = False
        """It was told to go: it does not count as one of the wanted workers any more."""
        self.told = 0
        """The last signal it was sent, or is to be sent as soon as there is a pid."""
        self.kill_at: float | None = None
        self.killed = False
        self.stuck = ""
        """What it was doing, and for how long, when it was told to go because of that."""
        self.dead = False
        self.seen = (BOOTING, 0)
        """State and turn on the board ..."""
        self.seen_since = self.started
        """... and since when they have been the same."""

    def __str__(self) -> str:
        return f"{self.title} (pid:{self.pid})"


class Death(NamedTuple):
    """How a member has ended."""

    member: Member
    code: int
    """Less than 0: by that signal."""
    booting: bool
    """It had not come to serve."""
    young: bool

    def __str__(self) -> str:
        how = (
            f"exited with code {self.code}"
            if self.code >= 0
            else f"was sent {signal.Signals(-self.code).name}"
        )
        return f"{self.member} {how}"


class Pool:
    """The children of `server`."""

    def __init__(self, server: Arbiter, slots: int) -> None:
        self.server = server
        self.board = Board(slots)
        self.stacks = Stacks()
        self.workers: dict[int, Member] = {}
        """By slot, the oldest first."""
        self.templates: list[Template] = []
        self.age = 0
        """Workers made so far."""
        self.served = False
        """Some worker once got as far as serving: from then on no failure to boot ends the server."""
        self.failures = 0
        self.failed_at = 0.0
        self.fork_at = 0.0

    def everybody(self) -> list[Member]:
        """All that live, or are about to."""
        return [*self.workers.values(), *(template for template in self.templates if not template.dead)]

    def state(self, member: Member) -> int:
        return self.board.read(member.slot).state

    def is_booting(self, member: Member) -> bool:
        return self.state(member) == BOOTING

    def serving(self, generation: Generation) -> int:
        """How many of its workers serve, and are to stay."""
        return sum(
            not member.leaving and member.generation is generation and self.state(member) == SERVING
            for member in self.workers.values()
        )

    def has_served(self) -> bool:
        self.served = self.served or any(self.state(member) != BOOTING for member in self.workers.values())
        return self.served

    # numbers

    def balance(self, target: Generation, wanted: int, patience: float) -> None:
        """One step towards `wanted` workers of `target`: dismiss who is too many, fork who is missing.

        Workers of other generations, and those that have served long enough, are old. An old one goes when a
        new one serves in its place, and while old ones serve, new ones boot one by one.
        """
        new, old = [], []
        for member in self.workers.values():
            state = self.state(member)
            if member.leaving or state == LEAVING:
                continue
            if member.generation is target and state != RETIRING:
                new.append(member)
            elif state == BOOTING:
                self.dismiss(member)
            else:
                old.append(member)
        serving = sum(self.state(member) == SERVING for member in new)

        too_many = max(0, len(old) + serving - wanted)
        self.dismiss_all(old[:too_many] + self.spare(new, serving, wanted))
        old = old[too_many:]

        if time.monotonic() < self.fork_at:
            return
        template = None
        # with `reload` each worker has to load the application itself
        if target.settings.preload_app and not target.settings.reload:
            template = next((item for item in self.templates if item.forks_for(target)), None)
            if template is None:
                self.fork_template(target, patience)
                return
            if self.is_booting(template) or template.hung_up:
                # the latter is about to be reaped
                return
        missing = wanted - len(new)
        if missing <= 0:
            # the seats of those who died have been taken again
            self.server.listeners.close_seats(self.server.listeners.seats.keys() - self.seats())
        if old:
            one_more = 1 if serving == len(new) else 0
            missing = min(missing, max(one_more, wanted - len(old) - len(new)))
        for _ in range(missing):
            if not self.fork_worker(target, patience, template):
                break

    def spare(self, members: list[Member], serving: int, wanted: int) -> list[Member]:
        """Who is too many: the oldest, but none who serves before enough others do, who get its clients."""
        spare: list[Member] = []
        for member in members[: max(0, len(members) - wanted)]:
            if self.state(member) == SERVING:
                if serving <= wanted:
                    break
                serving -= 1
            spare.append(member)
        return spare

    def back_off(self) -> None:
        """Wait before the next fork, twice as long each time it goes on like this."""
        now = time.monotonic()
        if now - self.failed_at > 2 * BACKOFF_MOST + YOUNG:
            self.failures = 0
        pause = min(BACKOFF_FIRST * 2.0**self.failures, BACKOFF_MOST)
        self.failures = min(self.failures + 1, 16)
        self.failed_at = now
        self.fork_at = now + pause

    # beginning

    def fork_worker(self, generation: Generation, patience: float, template: Template | None) -> bool:
        """Fork a worker, or have it forked from `template`. False: not now."""
        slot = self.take_slot()
        if slot is None:
            return False
        try:
            seat = self.server.listeners.take_seat(self.seats())
        except OSError as error:
            self.board.clear(slot)
            self.server.log.error("Can't open listeners for a worker: %s", error.strerror)
            self.back_off()
            return False
        self.board.set_generation(slot, generation.number)
        self.age += 1
        worker = self.make_worker(generation, slot, self.age, seat)
        member = Member(generation, slot, patience, worker, seat)
        pid = 0
        try:
            if template is not None:
                template.ask(slot, self.age)
            else:
                self.server.settings.pre_fork(self.server, worker)
                pid = fork_process(lambda: self.become_worker(worker))
        except Exception as error:
            self.board.clear(slot)
            self.cannot_fork(error)
            return False
        self.workers[slot] = member
        if pid:
            self.attach(member, pid)
        return True

    def fork_template(self, generation: Generation, patience: float) -> None:
        from fastwsgi.preload import Template  # late: few servers preload

        slot = self.take_slot()
        if slot is None:
            return
        self.board.set_generation(slot, generation.number)
        try:
            template = Template(generation, slot, patience)
            template.pid = fork_process(lambda: template.become(self))
        except OSError as error:
            self.board.clear(slot)
            self.cannot_fork(error)
            return
        template.parted()
        self.board.set_pid(slot, template.pid)
        self.templates.append(template)
        self.server.listen_to(template.sock, lambda: self.hear(template))

    def try_at_once(self) -> None:
        """What failed before says nothing about what comes now."""
        self.failures = 0
        self.fork_at = 0.0

    def take_slot(self) -> int | None:
        slot = next((slot for slot in range(self.board.count) if self.board.read(slot).state == FREE), None)
        if slot is not None:
            self.board.take(slot)
        return slot

    def seats(self) -> list[int]:
        """Those of the workers that stay."""
        return [member.seat for member in self.workers.values() if not member.leaving]

    def make_worker(self, generation: Generation, slot: int, age: int, seat: int | None = None) -> Worker:
        server, settings = self.server, generation.settings
        # with `reload` a sibling may have code that is older than ours
        share = None if settings.reload else server.share
        place = Place(self.board, slot, server.watch_fd, server.tell_fd, self.stacks, share)
        kind = KINDS[settings.worker_class_str]
        listeners = server.listeners.of_seat(seat, settings)
        worker = kind(
            age, server.pid, listeners, generation.app, settings.timeout, settings, server.log, place
        )
        worker.own_listeners = server.listeners.own_seats
        return worker

    def cannot_fork(self, error: Exception) -> None:
        self.log_failed_fork(error)
        self.back_off()

    def log_failed_fork(self, error: Exception) -> None:
        if isinstance(error, OSError):
            self.server.log.error("Can't fork a worker: %s", error.strerror)
        else:
            self.server.log.error("Exception in the hook pre_fork", exc_info=error)

    def attach(self, member: Member, pid: int) -> None:
        """It lives. What it was to be told while it had no pid, it is told now."""
        member.pid = pid
        if member.worker is not None:
            member.worker.pid = pid
        self.board.set_pid(member.slot, pid)
        if member.told:
            self.send(member, member.told)

    def hear(self, template: Template) -> None:
        """Take note of the workers that were forked from `template`, and of the end of its line."""
        for slot, pid in template.answers():
            member = self.workers.get(slot)
            if member is None or member.pid:
                # it took so long that it was given up, and the slot may be another's now
                if pid:
                    os.kill(pid, signal.SIGKILL)
            elif pid:
                self.attach(member, pid)
            else:
                self.forget(member)
                self.back_off()
        if template.hung_up and not template.closed:
            for member in list(self.workers.values()):
                if member.pid == 0 and member.generation is template.generation:
                    self.forget(member)
            self.server.stop_listening_to(template.sock)
            template.close()
            self.templates = [item for item in self.templates if not item.dead or not item.closed]

    def become_worker(self, worker: Worker) -> NoReturn:
        """The child's side of the fork. Never returns to the arbiter's code."""
        self.let_go(worker.sockets)
        self.run_worker(worker)

    def run_worker(self, worker: Worker) -> NoReturn:
        code, quick = EXIT_INTERNAL, False
        try:
            self.server.surroundings.worker_title()
            code = worker.run(self.server)
            quick = worker.quick
        except BaseException:
            self.server.log.exception("Exception in worker process")
        finally:
            end_process(code, quick=quick)

    def let_go(self, listeners: list[socket.socket]) -> None:
        """In a child: close what is the arbiter's alone, and the listeners that are not its own."""
        self.server.let_go(listeners)
        for template in self.templates:
            template.close()
        self.templates.clear()

    # ending

    def tell_serving(self) -> None:
        """Tell the workers of another master, if there is one, who is here."""
        server = self.server
        if server.share is None:
            return
        count = sum(
            not member.leaving and self.state(member) in (SERVING, RETIRING)
            for member in self.workers.values()
        )
        takes = server.exit_code is None and not server.settings.reload
        server.share.tell(count if takes else 0)

    def dismiss_all(self, members: list[Member]) -> None:
        """Those who go do not pass connections to each other: all are known before the first hears of it."""
        for member in members:
            self.board.set_dismissed(member.slot)
            member.leaving = True
        self.tell_serving()
        for member in members:
            self.dismiss(member)

    def close(self) -> None:
        """All will go: they pass connections to nobody, unless there is another server."""
        self.board.set_ending()
        self.tell_serving()

    def dismiss(self, member: Member, signum: int = signal.SIGTERM, grace: float | None = None) -> None:
        """Tell it to go; it is killed if it has not gone after `grace` (by default the setting's)."""
        if grace is None:
            grace = member.generation.settings.graceful_timeout + LEAVE_MARGIN
        self.board.set_dismissed(member.slot)
        member.leaving = True
        member.kill_at = time.monotonic() + grace
        if signum == signal.SIGTERM and member.seat not in self.seats():
            # before it knows: whoever comes now is given to others
            self.server.listeners.close_seats([member.seat])
        self.send(member, signum)

    def dismiss_templates(self, keep: Iterable[Generation]) -> None:
        """Those from which nobody will be forked any more."""
        for template in self.templates:
            if not template.leaving and template.generation not in keep:
                self.dismiss(template)

    def kill(self, member: Member) -> None:
        member.killed = True
        member.kill_at = None
        if member.pid:
            self.send(member, signal.SIGKILL)
        else:
            self.forget(member)

    def send(self, member: Member, signum: int) -> None:
        """Only to our own children, which stay ours until they are reaped: the pid cannot be another's."""
        member.told = signum
        if member.pid:
            os.kill(member.pid, signum)

    def tell_all(self, signum: int) -> None:
        """Send a signal that ends nobody."""
        for member in self.everybody():
            if not member.leaving:
                self.send(member, signum)

    def reap(self) -> list[Death]:
        """Take note of every child that has ended."""
        deaths: list[Death] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return deaths
            if pid == 0:
                return deaths
            member = self.find(pid)
            code = os.waitstatus_to_exitcode(status)
            if member is not None:
                deaths.append(self.bury(member, code))
            elif not self.server.surroundings.reap(pid, code):
                self.server.log.debug("Reaped a child that is no worker (pid:%s)", pid)

    def find(self, pid: int) -> Member | None:
        if any(member.pid == 0 for member in self.workers.values()):
            # who was forked from a template became our child only after its pid had been sent to us
            for template in self.templates:
                self.hear(template)
        return next((member for member in self.everybody() if member.pid == pid), None)

    def bury(self, member: Member, code: int) -> Death:
        """Say how it ended."""
        log = self.server.log
        booting = self.is_booting(member)
        self.tell_where_it_was(member, code)
        if member.stuck and member.killed:
            self.log_unwritten(member)
        self.forget(member)
        if code > 0:
            log.error("%s exited with code %s", member, code)
        elif code == -signal.SIGKILL and not member.killed:
            log.error("%s was sent SIGKILL! Perhaps out of memory?", member)
        elif code < 0 and not member.killed:
            level = log.info if -code == signal.SIGTERM else log.warning
            level("%s was sent %s!", member, signal.Signals(-code).name)
        if member.worker is not None:
            self.served |= not booting
            self.server.call_hook("child_exit", self.server, member.worker)
        return Death(member, code, booting, time.monotonic() - member.started < YOUNG)

    def tell_where_it_was(self, member: Member, code: int) -> None:
        """Log the stack of one that was stuck, or that has crashed."""
        stack = self.stacks.take(member.slot)
        if member.stuck:
            self.server.log.error(
                "%s %s, and is stuck here, most recent call last:\n%s",
                member,
                member.stuck,
                stack or "  (it could not even say where)",
            )
        elif stack and code != 0:
            self.server.log.error(
                "%s %s, and got the signal here, most recent call last:\n%s",
                member,
                doing(self.board.read(member.slot), member.started),
                stack,
            )

    def log_unwritten(self, member: Member) -> None:
        """The access line of a call in whose midst its worker was killed, since it did not come back."""
        slot, log = self.board.read(member.slot), self.server.log
        if not slot.since_ns or not wants_access(log):
            return
        environ = environ_of_line(slot.request, slot.client)
        took = timedelta(microseconds=(time.monotonic_ns() - slot.since_ns) // 1000)
        response = Response(TIMED_OUT, [], sent=0, length=None, headers_sent=True, closes=True)
        try:
            log.access(response, Request(environ), environ, took)
        except Exception:
            log.exception("Exception in the access log")

    def forget(self, member: Member) -> None:
        """It is gone, and its slot is free."""
        self.board.clear(member.slot)
        member.dead = True
        self.workers.pop(member.slot, None)
        self.templates = [template for template in self.templates if not template.dead or not template.closed]

    # time

    def next_deadline(self) -> float | None:
        """Seconds until something has to be done without news; None: there is no such thing."""
        now = time.monotonic()
        everybody = self.everybody()
        deadlines = [member.kill_at for member in everybody if member.kill_at is not None]
        if any(self.is_watched(member) for member in everybody):
            deadlines.append(now + LOOK)
        if self.fork_at > now:
            deadlines.append(self.fork_at)
        return max(0.0, min(deadlines) - now) if deadlines else None

    def look_after(self) -> list[Member]:
        """Abort those that are stuck, and kill those that do not go. Returns whom it aborted."""
        now = time.monotonic()
        aborted = []
        for member in self.everybody():
            if member.kill_at is not None:
                if now >= member.kill_at:
                    self.server.log.warning("%s does not leave: killed", member)
                    self.kill(member)
            elif not member.leaving and self.is_stuck(member, now):
                if member.stuck:
                    # one whose other threads serve on until there is another, if it could be told at all
                    if self.state(member) not in (RETIRING, LEAVING):
                        self.kill(member)
                    continue
                self.server.log.critical("WORKER TIMEOUT (pid:%s)", member.pid)
                member.stuck = doing(self.board.read(member.slot), member.started)
                if self.has_others(member):
                    self.send(member, signal.SIGABRT)
                else:
                    self.dismiss(member, signal.SIGABRT, ABORT_GRACE)
                aborted.append(member)
        return aborted

    def has_others(self, member: Member) -> bool:
        """Has it threads that serve on while one is stuck? Then it is replaced as one that retires."""
        serving = self.state(member) in (SERVING, RETIRING)
        return serving and member.worker is not None and member.worker.multithread

    def is_watched(self, member: Member) -> bool:
        limited = bool(member.generation.settings.timeout)
        return limited or (member.patience > 0 and self.is_booting(member))

    def is_stuck(self, member: Member, now: float) -> bool:
        """Has it been loading the application, in one call of it, or leaving of itself, for too long?"""
        slot = self.board.read(member.slot)
        if (slot.state, slot.turn) != member.seen:
            member.seen, member.seen_since = (slot.state, slot.turn), now
            return False
        waited = now - member.seen_since
        settings = member.generation.settings
        if slot.state == BOOTING:
            return 0 < member.patience < waited
        if not settings.timeout:
            return False
        if slot.state == LEAVING:
            return waited > settings.graceful_timeout + settings.timeout
        return waited > settings.timeout and slot.turn % 2 == 1
