"""The socket of a connection, for an application that speaks another protocol on it: `gunicorn.socket`.

An ordinary blocking socket, but for two things. It is still the server's until it is used: what only asks
(fileno(), getpeername(), getsockopt(), repr()) leaves the request an ordinary one, and the first call that
reads, writes or changes something takes the connection over. And what the server has read beyond the request
comes first: from recv() and the like, and in what fileno() tells of.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed import ReadableBuffer, WriteableBuffer


class HandedSocket(socket.socket):
    """Made by the gateway, for one request; it closes what is left open when the application returns.

    `take` makes the descriptor this object's own and returns the bytes behind the request, of which there are
    some if `ahead`. It raises ConnectionError for a client that has gone, and RuntimeError where the response
    has begun.
    """

    __slots__ = ("_ahead", "_rest", "_signal", "_take", "_watch")

    def __init__(self, descriptor: int, take: Callable[[], bytes], ahead: bool) -> None:
        super().__init__(fileno=descriptor)
        self._take: Callable[[], bytes] | None = take
        self._ahead = ahead
        self._rest = b""
        self._watch: select.epoll | None = None
        self._signal = -1

    def take(self) -> None:
        """From now on the connection is this object's. Nothing, if it is already."""
        if self._take is not None:
            self._rest = self._take()
            self._take = None
            super().setblocking(True)

    def release(self) -> int:
        """For the server: let go of the descriptor and return it; -1 if it is closed."""
        if self._take is None:
            with contextlib.suppress(OSError):  # closed by a thread of the application
                super().setblocking(False)
        self._take = None
        self._drop_watch()
        return super().detach()

    # --- what tells of the descriptor ---

    def fileno(self) -> int:
        """The descriptor. Where bytes were read ahead: one that is readable while this socket has something
        to read, for select, poll and the like; it says nothing of room to write.
        """
        unread = self._ahead if self._take is not None else bool(self._rest)
        if unread and self._watch is None and super().fileno() >= 0:
            self._signal = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._watch = select.epoll()
            self._watch.register(self._signal, select.EPOLLIN)
            self._watch.register(super().fileno(), select.EPOLLIN | select.EPOLLRDHUP)
        return super().fileno() if self._watch is None else self._watch.fileno()

    def _drop_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            os.close(self._signal)
            self._watch, self._signal = None, -1

    def dup(self) -> socket.socket:  # type: ignore[override]
        """A plain socket of its own, which the server does not close."""
        self.take()
        if self._rest:
            raise ValueError("a socket with bytes that were read ahead cannot be duplicated")
        descriptor = socket.dup(super().fileno())
        copy = socket.socket(self.family, self.type, self.proto, descriptor)
        copy.settimeout(self.gettimeout())
        return copy

    def detach(self) -> int:
        """Not while there are bytes that were read ahead: they would be lost."""
        self.take()
        if self._rest:
            raise ValueError("a socket with bytes that were read ahead cannot be detached")
        self._drop_watch()
        return super().detach()

    # --- reading ---

    def _ahead_of(self, size: int, flags: int) -> bytes:
        """At most `size` of the bytes that were read ahead."""
        block = self._rest[:size]
        if not flags & socket.MSG_PEEK:
            self._rest = self._rest[size:]
            if not self._rest and self._watch is not None:
                self._watch.unregister(self._signal)
        return block

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        self.take()
        if not self._rest or bufsize <= 0:
            return super().recv(bufsize, flags)
        block = self._ahead_of(bufsize, flags)
        if flags & socket.MSG_WAITALL and len(block) < bufsize and not flags & socket.MSG_PEEK:
            block += super().recv(bufsize - len(block), flags)
        return block

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        self.take()
        if not self._rest:
            return super().recv_into(buffer, nbytes, flags)
        with memoryview(buffer).cast("B") as view:
            block = self.recv(min(nbytes, len(view)) if nbytes else len(view), flags)
            view[: len(block)] = block
        return len(block)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        return self.recv(bufsize, flags), None

    def recvfrom_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        return self.recv_into(buffer, nbytes, flags), None

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        self.take()
        if not self._rest:
            return super().recvmsg(bufsize, ancbufsize, flags)
        return self.recv(bufsize, flags), [], 0, None

    def recvmsg_into(
        self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        self.take()
        if not self._rest:
            return super().recvmsg_into(buffers, ancbufsize, flags)
        return next((self.recv_into(buffer, 0, flags) for buffer in buffers), 0), [], 0, None

    # --- writing and changing ---

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        self.take()
        return super().send(data, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        self.take()
        super().sendall(data, flags)

    def sendto(self, data: ReadableBuffer, *rest: Any) -> int:
        self.take()
        return super().sendto(data, *rest)

    def sendmsg(self, *arguments: Any) -> int:
        self.take()
        return super().sendmsg(*arguments)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self.take()
        return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined, no-any-return]

    def settimeout(self, value: float | None, /) -> None:
        self.take()
        super().settimeout(value)

    def setblocking(self, flag: bool, /) -> None:
        self.take()
        super().setblocking(flag)

    def setsockopt(self, *arguments: Any) -> None:
        self.take()
        super().setsockopt(*arguments)

    def shutdown(self, how: int, /) -> None:
        self.take()
        super().shutdown(how)

    def _real_close(self) -> None:
        """close(), once no file of makefile() is open any more."""
        self.take()
        self._drop_watch()
        super()._real_close()  # type: ignore[misc]
