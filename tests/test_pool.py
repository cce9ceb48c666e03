"""fastwsgi/pool.py, with an arbiter that does not run."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastwsgi import pool, process
from fastwsgi._board import BOOTING, FREE, LEAVING, RETIRING, SERVING, Board, Slot
from fastwsgi.app.base import GivenApplication
from fastwsgi.arbiter import Arbiter
from fastwsgi.pool import Generation, Member, Pool
from fastwsgi.reload import RELOAD_PATIENCE


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Arbiter]:
    """An arbiter that does not run, of two workers with a timeout of 10 s."""
    settings = {"workers": 2, "timeout": 10, "errorlog": str(tmp_path / "log"), "graceful_timeout": 5}
    made = Arbiter(GivenApplication("nothing", settings, "test"))
    yield made
    made.close()


def test_pauses_grow_while_workers_die_young(idle: Arbiter, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pool.time, "monotonic", lambda: now)
    pauses = []
    for _ in range(8):
        idle.pool.back_off()
        pauses.append(round(idle.pool.fork_at - now, 3))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    now += 60.0
    idle.pool.back_off()
    assert round(idle.pool.fork_at - now, 3) == 0.1


def test_a_fork_that_fails_is_tried_again_later(idle: Arbiter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        # a signal between the fork and the worker's own handlers would be taken for the arbiter's
        assert {signal.SIGTERM, signal.SIGINT} < signal.pthread_sigmask(signal.SIG_BLOCK, ())
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(process.os, "fork", fork)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not idle.pool.fork_worker(idle.reload.target, 10, None)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert not idle.pool.workers
    assert idle.pool.fork_at > 0
    assert all(idle.pool.board.read(slot).state == FREE for slot in range(9))


class FakeBoard:
    def __init__(self, *slots: Slot) -> None:
        self.slots = slots

    def read(self, slot: int) -> Slot:
        return self.slots[slot]


@pytest.mark.parametrize(
    ("state", "turn", "stuck_after"),
    [
        (BOOTING, 0, 7),
        (SERVING, 7, 10),  # inside the application
        (SERVING, 8, None),  # waiting for requests
        (RETIRING, 7, 10),
        (LEAVING, 8, 15),
    ],
)
def test_who_is_stuck(idle: Arbiter, state: int, turn: int, stuck_after: float | None) -> None:
    idle.pool.board = FakeBoard(Slot(1, state, turn, 0, 0, 0))
    member = Member(idle.reload.target, 0, patience=7)
    member.seen = (state, turn - 2)
    assert not idle.pool.is_stuck(member, 1000.0)  # something has changed since it was looked at
    since = 1000.0
    if stuck_after is None:
        assert not idle.pool.is_stuck(member, since + 1e6)
    else:
        assert not idle.pool.is_stuck(member, since + stuck_after)
        assert idle.pool.is_stuck(member, since + stuck_after + 0.5)


def test_it_sleeps_without_end_when_there_is_nothing_to_watch(idle: Arbiter) -> None:
    assert idle.pool.next_deadline() is None
    idle.pool.workers[0] = Member(idle.reload.target, 0, patience=10)
    assert idle.pool.next_deadline() == pytest.approx(pool.LOOK, abs=0.5)
    endless = Generation(1, GivenApplication("nothing", {"timeout": 0}, "test"))
    idle.pool.workers[0] = Member(endless, 0, patience=0)
    assert idle.pool.next_deadline() is None
    idle.pool.workers[0] = Member(endless, 0, patience=300)
    idle.pool.board.set_state(0, BOOTING)
    assert idle.pool.next_deadline() == pytest.approx(pool.LOOK, abs=0.5)
    idle.pool.board.set_state(0, SERVING)
    assert idle.pool.next_deadline() is None


def test_without_a_timeout_a_reload_has_patience_but_an_end(idle: Arbiter) -> None:
    endless = GivenApplication("nothing", {"timeout": 0}, "test")
    idle.reload.kept = idle.reload.target = Generation(1, endless)
    assert idle.reload.patience == 0
    idle.reload.target = Generation(2, endless)
    assert idle.reload.patience == RELOAD_PATIENCE
    idle.reload.target = Generation(3, GivenApplication("nothing", {"timeout": 8}, "test"))
    assert idle.reload.patience == 8


def test_all_who_go_are_known_before_the_first_hears_of_it(
    idle: Arbiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(idle, monkeypatch)
    stage.balance(idle.reload.target, 3)
    stage.set(SERVING, 0, 1, 2)
    assert idle.share is not None
    idle.pool.tell_serving()
    assert idle.share.numbers[1] == 3
    seen = []

    def note(member: Member, signum: int) -> None:
        dismissed = [idle.pool.board.read(slot).dismissed for slot in range(3)]
        seen.append((member.slot, dismissed, idle.share.numbers[1]))

    monkeypatch.setattr(idle.pool, "send", note)
    stage.balance(idle.reload.target, 1)
    assert seen == [(0, [True, True, False], 1), (1, [True, True, False], 1)]


class Stage:
    """A pool whose workers are only told of: `states` has what each has come to, by its number."""

    def __init__(self, server: Arbiter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pool: Pool = server.pool
        self.board: Board = server.pool.board
        monkeypatch.setattr(self.pool, "fork_worker", self.fork_worker)
        monkeypatch.setattr(self.pool, "send", lambda member, signum: None)

    def fork_worker(self, generation: Generation, patience: float, template: object) -> bool:
        slot = self.pool.take_slot()
        assert slot is not None
        self.pool.workers[slot] = Member(generation, slot, patience)
        return True

    def set(self, state: int, *slots: int) -> None:
        for slot in slots:
            self.board.set_state(slot, state)

    def balance(self, target: Generation, wanted: int) -> str:
        """One step; then each worker's generation and state: b, s, r or l, or - if it was dismissed."""
        self.pool.balance(target, wanted, 0)
        return " ".join(
            f"{member.generation.number}{'-' if member.leaving else '_bsrl'[self.pool.state(member)]}"
            for member in self.pool.workers.values()
        )

    def bury_the_dismissed(self) -> None:
        for member in list(self.pool.workers.values()):
            if member.leaving:
                self.pool.forget(member)


@pytest.fixture
def stage(idle: Arbiter, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(idle, monkeypatch)


@pytest.fixture
def generation() -> Callable[[int], Generation]:
    """generation(number)"""
    return lambda number: Generation(number, GivenApplication("nothing", {}, "test"))


def test_at_first_all_boot_at_once(stage: Stage, generation: Callable[[int], Generation]) -> None:
    one = generation(1)
    assert stage.balance(one, 3) == "1b 1b 1b"
    assert stage.balance(one, 3) == "1b 1b 1b"
    stage.set(SERVING, 0, 1, 2)
    assert stage.balance(one, 4) == "1s 1s 1s 1b"
    assert stage.balance(one, 2) == "1- 1s 1s 1b"
    assert stage.balance(one, 2) == "1- 1s 1s 1b"
    stage.set(SERVING, 3)
    assert stage.balance(one, 2) == "1- 1- 1s 1s"
    assert stage.balance(one, 0) == "1- 1- 1- 1-"


def test_a_roll_is_one_by_one(stage: Stage, generation: Callable[[int], Generation]) -> None:
    one, two = generation(1), generation(2)
    stage.balance(one, 2)
    stage.set(SERVING, 0, 1)
    assert stage.balance(two, 2) == "1s 1s 2b"
    assert stage.balance(two, 2) == "1s 1s 2b"
    stage.set(SERVING, 2)
    assert stage.balance(two, 2) == "1- 1s 2s 2b"
    assert stage.balance(two, 2) == "1- 1s 2s 2b"
    stage.bury_the_dismissed()
    assert stage.balance(two, 2) == "1s 2s 2b"
    stage.set(SERVING, 3)
    assert stage.balance(two, 2) == "1- 2s 2s"


def test_back_again_is_a_roll_as_well(stage: Stage, generation: Callable[[int], Generation]) -> None:
    one, two = generation(1), generation(2)
    stage.balance(one, 2)
    stage.set(SERVING, 0, 1)
    stage.balance(two, 2)
    stage.set(SERVING, 2)
    assert stage.balance(two, 2) == "1- 1s 2s 2b"
    assert stage.balance(one, 2) == "1- 1s 2s 2- 1b"
    stage.set(SERVING, 4)
    assert stage.balance(one, 2) == "1- 1s 2- 2- 1s"


def test_more_are_wanted_during_a_roll(stage: Stage, generation: Callable[[int], Generation]) -> None:
    one, two = generation(1), generation(2)
    stage.balance(one, 2)
    stage.set(SERVING, 0, 1)
    assert stage.balance(two, 5) == "1s 1s 2b 2b 2b"
    assert stage.balance(two, 1) == "1- 1s 2- 2- 2b"


def test_an_old_one_that_dies_during_a_roll(stage: Stage, generation: Callable[[int], Generation]) -> None:
    one, two = generation(1), generation(2)
    stage.balance(one, 3)
    stage.set(SERVING, 0, 1, 2)
    stage.balance(two, 3)
    for slot in (0, 1):
        stage.pool.forget(stage.pool.workers[slot])
    assert stage.balance(two, 3) == "1s 2b 2b"


def test_one_that_has_served_long_enough(stage: Stage, generation: Callable[[int], Generation]) -> None:
    one = generation(1)
    stage.balance(one, 2)
    stage.set(SERVING, 1)
    stage.set(RETIRING, 0)
    assert stage.balance(one, 2) == "1r 1s 1b"
    stage.set(SERVING, 2)
    assert stage.balance(one, 2) == "1- 1s 1s"


def test_one_that_leaves_by_itself(stage: Stage, generation: Callable[[int], Generation]) -> None:
    one = generation(1)
    stage.balance(one, 2)
    stage.set(SERVING, 0)
    stage.set(LEAVING, 1)
    assert stage.balance(one, 2) == "1s 1l 1b"


def test_nobody_is_forked_before_the_pause_is_over(
    stage: Stage, generation: Callable[[int], Generation]
) -> None:
    stage.pool.back_off()
    assert stage.balance(generation(1), 2) == ""
    stage.pool.try_at_once()
    assert stage.balance(generation(1), 2) == "1b 1b"


class FakeTemplate:
    """Says what it is told to, and that it says nothing more."""

    dead = closed = False
    hung_up = True
    sock = None

    def __init__(self, generation: Generation, *answers: tuple[int, int]) -> None:
        self.generation = generation
        self.said = list(answers)

    def answers(self) -> list[tuple[int, int]]:
        return self.said

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def asked(idle: Arbiter, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool that has asked a template for three workers, in slots 0 to 2."""
    monkeypatch.setattr(idle, "stop_listening_to", lambda source: None)
    for _ in range(3):
        slot = idle.pool.take_slot()
        assert slot is not None
        idle.pool.workers[slot] = Member(idle.reload.target, slot, 0)
    return idle.pool


def test_what_a_template_answers(asked: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(pool.os, "kill", lambda pid, signum: signals.append((pid, signum)))
    dismissed = asked.workers[1]
    asked.dismiss(dismissed)
    assert signals == []  # there is nobody yet whom it could be sent to
    template = FakeTemplate(dismissed.generation, (0, 70), (1, 71), (9, 79))
    asked.hear(template)
    assert {slot: member.pid for slot, member in asked.workers.items()} == {0: 70, 1: 71}
    assert signals == [(71, signal.SIGTERM), (79, signal.SIGKILL)]  # nobody knows the last one any more
    assert template.closed  # and nothing will come of slot 2
    assert asked.board.read(2).state == FREE


def test_a_fork_that_fails_in_a_template(asked: Pool) -> None:
    asked.hear(FakeTemplate(asked.workers[0].generation, (0, 0)))
    assert not asked.workers
    assert asked.fork_at > 0


def test_one_that_never_came_to_be_can_be_given_up(asked: Pool) -> None:
    asked.kill(asked.workers[1])
    assert list(asked.workers) == [0, 2]
