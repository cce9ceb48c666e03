"""One listener: what an address means, opening it, taking one over, and cleaning up behind it.

Which of them a server has, and which worker gets which, is fastwsgi/listeners.py's matter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple

from fastwsgi.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PORT = 8000

# Worth another try in a moment: the old server may be on its way out, the interface on its way up.
RETRIED = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)


class TCPAddress(NamedTuple):
    host: str
    """A name, an IPv4 or an IPv6 address (without brackets); empty: every IPv4 address of the machine."""
    port: int
    """0: the kernel chooses."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host or "0.0.0.0"
        return f"{host}:{self.port}"


class UnixAddress(NamedTuple):
    path: str
    """Of a file, or, if it begins with a NUL byte, a name in the abstract namespace."""

    @property
    def is_abstract(self) -> bool:
        return self.path.startswith("\0")

    def __str__(self) -> str:
        return f"unix:@{self.path[1:]}" if self.is_abstract else f"unix:{self.path}"


class FdAddress(NamedTuple):
    fd: int
    """A descriptor that whoever started us left open."""

    def __str__(self) -> str:
        return f"fd://{self.fd}"


Address = TCPAddress | UnixAddress | FdAddress


def parse_address(text: str) -> Address:
    """HOST, HOST:PORT, :PORT, [IPV6], [IPV6]:PORT, tcp://..., unix:PATH, unix://PATH, unix:@NAME or fd://N.

    ValueError: it is none of these; the message says what would be right.
    """
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        if not (number.isascii() and number.isdigit()):
            raise ValueError("expected fd://N, the number of an open file descriptor")
        return FdAddress(int(number))
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//")
        if path.startswith("@"):
            # a file of such a name is unix:./@NAME
            path = "\0" + path[1:]
        if path in ("", "\0") or "\0" in path[1:]:
            raise ValueError("expected unix:PATH or unix:@NAME")
        return UnixAddress(path)

    text = text.removeprefix("tcp://")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError("expected [IPV6] or [IPV6]:PORT")
        port = rest[1:] if rest else str(DEFAULT_PORT)
    else:
        host, colon, port = text.partition(":")
        if not colon:
            port = str(DEFAULT_PORT)
        elif ":" in port:
            raise ValueError("expected HOST:PORT; an IPv6 address stands in brackets")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("expected a port number, 0 to 65535, after the colon")
    return TCPAddress(host.lower(), int(port))


# The kernel hands a connection over when its first bytes are there, or after about so long anyway. Clients of
# HTTP speak first, so that accept, recv, send and close follow each other without a turn through the poller.
DEFER_SECONDS = 1


class Owner(NamedTuple):
    """Whose the file of a unix socket becomes."""

    uid: int
    gid: int


def listen(
    address: Address,
    backlog: int,
    *,
    umask: int = 0,
    owner: Owner | None = None,
    reuse_port: bool = False,
    v6_only: bool = False,
) -> socket.socket:
    """A bound, non-blocking socket that does not outlive an exec. OSError, ListenError: why not.

    It listens, unless it has `reuse_port`: with the first listen() the kernel hands it its share of the
    connections, which is for the worker to say. `umask` and `owner` are those of a unix socket's file.
    `v6_only`: `[::]` is every IPv6 address, and no IPv4 address with them.
    """
    if isinstance(address, FdAddress):
        return adopt(address.fd, backlog)
    if isinstance(address, UnixAddress):
        return _listen_unix(address, backlog, umask, owner)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if v6_only:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # inherited by every connection that is accepted
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if reuse_port:
            # not deferred: a worker that leaves has to find all who have connected to it in its queue
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)
        listener.bind(address)
        if not reuse_port:
            listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def adopt(fd: int, backlog: int) -> socket.socket:
    """The listener that another process left open for us as `fd`. ListenError: that is not one."""
    try:
        # its family and kind are read from the kernel
        listener = socket.socket(fileno=fd)
    except OSError as error:
        raise ListenError(f"Can't listen on fd://{fd}: {error.strerror}") from None
    try:
        if listener.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            raise ListenError(f"Can't listen on fd://{fd}: it is neither a TCP nor a unix socket")
        if listener.type != socket.SOCK_STREAM:
            raise ListenError(f"Can't listen on fd://{fd}: it is not a stream socket")
        if listener.family != socket.AF_UNIX:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.listen(backlog)
    except OSError as error:
        listener.detach()
        raise ListenError(f"Can't listen on fd://{fd}: {error.strerror}") from None
    except BaseException:
        # it is not ours to close: who set this up wrong may need it for something else
        listener.detach()
        raise
    listener.setblocking(False)
    listener.set_inheritable(False)
    return listener


# Where tcpi_unacked stands in the kernel's struct tcp_info (linux/tcp.h): of a listener, its accept queue.
TCPI_UNACKED = 24


def waiting(listener: socket.socket) -> int:
    """How many connections wait to be accepted; 0 for a unix socket, of which the kernel does not tell."""
    if listener.family == socket.AF_UNIX:
        return 0
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_UNACKED + 4)
    return int.from_bytes(info[TCPI_UNACKED:], sys.byteorder)


def _listen_unix(address: UnixAddress, backlog: int, umask: int, owner: Owner | None) -> socket.socket:
    if not address.is_abstract:
        _remove_stale(address)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(umask)
        try:
            listener.bind(address.path)
        finally:
            os.umask(before)
        if owner is not None and not address.is_abstract and owner != (os.geteuid(), os.getegid()):
            os.chown(address.path, *owner, follow_symlinks=False)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_stale(address: UnixAddress) -> None:
    """Remove a socket that a server left behind: one on which nobody listens."""
    try:
        mode = os.stat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{address}: there is a file of that name that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # a full backlog must not hold us: that one is alive as well
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def close(listener: socket.socket, *, remove: bool = True) -> None:
    """Close it, and with `remove` also delete the file of a unix socket: for the process that made it."""
    address = address_of(listener)
    listener.close()
    if remove and isinstance(address, UnixAddress) and not address.is_abstract:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.path)


def address_of(listener: socket.socket) -> Address:
    """Where it is bound: with the port that the kernel chose if it was asked to."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return UnixAddress(name if isinstance(name, str) else os.fsdecode(name))
    return TCPAddress(*name[:2])


def url(listener: socket.socket) -> str:
    """Where clients reach it."""
    address = address_of(listener)
    return f"http://{address}" if isinstance(address, TCPAddress) else str(address)


def start_listening(listeners: Iterable[socket.socket], backlog: int) -> None:
    """Let those that only were bound up to now have connections. OSError: another took the port meanwhile."""
    for listener in listeners:
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.listen(backlog)
