"""fastwsgi/_board.pyx: the page that processes share."""

import os
import re
from pathlib import Path

import pytest

from fastwsgi import _board
from fastwsgi._board import BOOTING, FREE, LEAVING, SERVING, Board, Slot

EMPTY = Slot(pid=0, state=FREE, turn=0, requests=0, refused=0, connections=0)


def test_a_new_board_is_free() -> None:
    board = Board(3)
    assert board.count == 3
    assert all(board.read(slot) == EMPTY for slot in range(3))


def test_slots_are_apart() -> None:
    board = Board(3)
    board.set_pid(1, 77)
    board.set_state(1, SERVING)
    board.set_generation(1, 3)
    assert board.read(1) == EMPTY._replace(pid=77, state=SERVING, generation=3)
    assert board.read(0) == board.read(2) == EMPTY
    board.clear(1)
    assert board.read(1) == EMPTY


def test_a_slot_is_taken_dismissed_and_free_again() -> None:
    board = Board(3)
    board.take(1)
    assert board.read(1) == EMPTY._replace(state=BOOTING)
    board.set_dismissed(1)
    assert board.read(1) == EMPTY._replace(state=BOOTING, dismissed=True)
    board.clear(1)
    assert board.read(1) == EMPTY
    for method in (board.take, board.set_dismissed):
        with pytest.raises(IndexError):
            method(3)


def test_states_differ() -> None:
    assert len({FREE, BOOTING, SERVING, LEAVING}) == 4


def test_what_a_child_writes_its_parent_reads() -> None:
    board = Board(2)
    pid = os.fork()
    if pid == 0:
        board.set_pid(1, os.getpid())
        board.set_state(1, LEAVING)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert board.read(1)[:2] == (pid, LEAVING)


@pytest.mark.parametrize("slot", [2, 2**32 - 1])
def test_no_such_slot(slot: int) -> None:
    board = Board(2)
    for use in (board.read, board.clear):
        with pytest.raises(IndexError):
            use(slot)
    for write in (board.set_state, board.set_pid):
        with pytest.raises(IndexError):
            write(slot, 1)


def test_wrong_numbers() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Board(0)
    with pytest.raises(ValueError, match="state"):
        Board(1).set_state(0, LEAVING + 1)
    with pytest.raises(OverflowError):
        Board(1).read(-1)


def test_the_stub_names_what_there_is() -> None:
    text = Path(_board.__file__).with_name("_board.pyi").read_text()
    for name in ("FREE", "BOOTING", "SERVING", "LEAVING"):
        assert f"{name}: int" in text
    for name in dir(Board):
        assert name.startswith("__") or f"def {name}(" in text
    fields = re.findall(r"^    (\w+): (?:int|str|bool)(?: = .*)?$", text.split("class Slot")[1], re.MULTILINE)
    assert tuple(fields) == Slot._fields
