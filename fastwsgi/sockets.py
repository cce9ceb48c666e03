"""Listeners: what an address means, opening it, and cleaning up behind it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import NamedTuple

from fastwsgi.errors import ListenError

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

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TCPAddress | UnixAddress


def parse_address(text: str) -> Address:
    """HOST, HOST:PORT, :PORT, [IPV6], [IPV6]:PORT, tcp://..., unix:PATH or unix://PATH.

    ValueError: it is none of these; the message says what would be right.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//")
        if not path or "\0" in path:
            raise ValueError("expected unix:PATH")
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


def listen(address: Address, backlog: int) -> socket.socket:
    """A bound, listening, non-blocking socket that does not outlive an exec. OSError, ListenError: why not.

    TCP_NODELAY set here is inherited by every connection that is accepted.
    """
    if isinstance(address, UnixAddress):
        return _listen_unix(address, backlog)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)
        listener.bind(address)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _listen_unix(address: UnixAddress, backlog: int) -> socket.socket:
    _remove_stale(address)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # a proxy under another user has to reach it: as gunicorn, whose umask setting is 0 by default
        umask = os.umask(0)
        try:
            listener.bind(address.path)
        finally:
            os.umask(umask)
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


def close(listener: socket.socket) -> None:
    """Close it, and remove the file of a unix socket: for the process that opened it."""
    name = listener.getsockname()
    path = name if listener.family == socket.AF_UNIX else ""
    listener.close()
    if path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def url(listener: socket.socket) -> str:
    """Where clients reach it: with the port that the kernel chose if it was asked to."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return str(UnixAddress(name))
    return f"http://{TCPAddress(*name[:2])}"
