"""fastwsgi/share.py: the pair and the page. What workers do with them is in server/test_share.py."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from fastwsgi import share
from fastwsgi.share import MAGIC, PAGE, Share


@pytest.fixture
def ours() -> Iterator[Share]:
    made = share.create()
    yield made
    made.close()


def numbers(one: Share) -> tuple[int, int, int]:
    return one.numbers[0], one.numbers[1], one.numbers[2]


def inherited(one: Share) -> Share | None:
    """What the other master makes of it, which has descriptors of its own."""
    fds = [os.dup(fd) for fd in one.fds()]
    return share.inherit(",".join(map(str, [*fds, one.handed_down().rpartition(",")[2]])))


def test_messages_go_from_one_end_to_the_other_and_never_wait(ours: Share) -> None:
    for name in (b"first", b"second"):
        ours.sending.send(name)
    assert [ours.receiving.recv(100), ours.receiving.recv(100)] == [b"first", b"second"]
    with pytest.raises(BlockingIOError):
        ours.receiving.recv(100)


def test_none_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(share.socket, "socketpair", fail)
    with pytest.raises(OSError, match="Too many"):
        share.create()
    assert os.listdir("/proc/self/fd") == before


def test_nothing_of_it_outlives_an_exec_by_itself(ours: Share) -> None:
    assert not any(map(os.get_inheritable, ours.fds()))


def test_two_masters_tell_each_other_who_serves(ours: Share) -> None:
    ours.tell(3)
    theirs = inherited(ours)
    assert theirs is not None
    assert (ours.side, theirs.side) == (0, 1)
    assert not any(map(os.get_inheritable, theirs.fds()))
    theirs.tell(2)
    assert numbers(ours) == numbers(theirs) == (MAGIC, 3, 2)
    ours.forget_other()
    assert numbers(theirs) == (MAGIC, 3, 0)

    # the next one has the place of the first, and begins with nobody
    third = inherited(theirs)
    assert third is not None
    assert third.side == 0
    assert numbers(third) == (MAGIC, 0, 0)
    third.tell(1)
    theirs.tell(4)
    theirs.close()
    assert numbers(third) == (MAGIC, 1, 0)
    third.close()


def test_what_is_none_is_not_taken(ours: Share) -> None:
    send, receive, page, side = ours.handed_down().split(",")
    for text in ("", "1,2,3", "a,b,c,d", f"{send},{receive},{page}", "-1,-1,-1,0", "999,999,999,0"):
        assert share.inherit(text) is None

    def is_taken(page_fd: int, side: object, kind: int = socket.SOCK_SEQPACKET) -> bool:
        ends = socket.socketpair(socket.AF_UNIX, kind)
        fds = [os.dup(end.fileno()) for end in ends]
        taken = share.inherit(",".join(map(str, [*fds, page_fd, side])))
        for end in ends:
            end.close()
        if taken is not None:
            taken.close()
            return True
        for fd in fds:
            os.close(fd)  # they are still there
        return False

    empty, wrong = os.memfd_create("test"), os.memfd_create("test")
    os.ftruncate(wrong, PAGE)
    assert not is_taken(int(page), side, socket.SOCK_STREAM)
    assert not is_taken(int(page), 2)
    assert not is_taken(empty, side)
    assert not is_taken(wrong, side)
    assert is_taken(os.dup(int(page)), side)
    os.close(empty)
    os.close(wrong)
