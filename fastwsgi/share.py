"""The share: by it the workers of a server pass connections to each other. What they do: csrc/fw_share.h.

The master makes it before it forks, and hands it to the new master of an upgrade, so that connections find
the way from old workers to new ones. Then two masters have it, one on each *side* of a page on which they
tell each other's workers whether somebody would be there.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys

# struct fw_share_page: the magic number, and for each side how many workers serve and are to stay
MAGIC = 0x67705766
SIDES = 2
PAGE = mmap.PAGESIZE

# Notes of so many connections, or thereabouts, may be on their way; the kernel has bounds of its own.
ROOM = 1 << 20


class Share:
    """One pair of sockets and one page, on one side of it."""

    def __init__(self, sending: socket.socket, receiving: socket.socket, page_fd: int, side: int) -> None:
        """OSError, ValueError: it is none."""
        self.sending = sending
        self.receiving = receiving
        self.page_fd = page_fd
        self.side = side
        for end in (sending, receiving):
            if end.family != socket.AF_UNIX or end.type != socket.SOCK_SEQPACKET:
                raise ValueError("these sockets are no share")
        self.page = mmap.mmap(page_fd, PAGE)
        self.numbers = memoryview(self.page).cast("I")
        if self.numbers[0] != MAGIC or side not in range(SIDES):
            raise ValueError("this page is none of a share")
        self.tell(0)

    def fds(self) -> list[int]:
        return [self.sending.fileno(), self.receiving.fileno(), self.page_fd]

    def handed_down(self) -> str:
        """What inherit() takes, for the master on the other side."""
        return ",".join(map(str, [*self.fds(), 1 - self.side]))

    def tell(self, serving: int) -> None:
        """So many workers of this master serve, and are to stay."""
        self.numbers[1 + self.side] = serving

    def forget_other(self) -> None:
        """The other master is gone, however it went."""
        self.numbers[2 - self.side] = 0

    def close(self) -> None:
        self.tell(0)
        self.sending.close()
        self.receiving.close()
        os.close(self.page_fd)
        self.numbers.release()
        self.page.close()


def create() -> Share:
    """OSError: this system gives us none."""
    page_fd = os.memfd_create("fastwsgi-share", os.MFD_CLOEXEC)
    try:
        os.ftruncate(page_fd, PAGE)
        os.pwrite(page_fd, MAGIC.to_bytes(4, sys.byteorder), 0)
        sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        os.close(page_fd)
        raise
    sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    for end in (sending, receiving):
        end.setblocking(False)
    return Share(sending, receiving, page_fd, 0)


def inherit(text: str) -> Share | None:
    """The share that the old master has handed down; None: it has none, or none that we understand.

    Then its descriptors are left alone: whatever they are, they may be somebody's.
    """
    ends: list[socket.socket] = []
    try:
        sending_fd, receiving_fd, page_fd, side = map(int, text.split(","))
        ends += [socket.socket(fileno=sending_fd)]
        ends += [socket.socket(fileno=receiving_fd)]
        made = Share(ends[0], ends[1], page_fd, side)
    except (OSError, ValueError):
        for end in ends:
            end.detach()
        return None
    for fd in made.fds():
        os.set_inheritable(fd, False)
    return made
