"""Slow clients, as a process of their own: `python -m bench.trickle PORT COUNT`.

Each sends a request byte by byte, one a second: every other one its head, the rest the body of a POST. The
process writes "ready" when all are connected, connects anew where one is cut off, and ends when its standard
input does.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import select
import socket
import sys
import time

TICKS = 500
"""A second. In each a share of the clients has its turn: a few, since so many clients are not in step."""

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


def connect(port: int, number: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(BODY if number % 2 else HEAD)
    client.setblocking(False)
    return client


def main(port: int, count: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients = [connect(port, number) for number in range(count)]
    print("ready", flush=True)
    begun = time.monotonic()
    for tick in itertools.count(1):
        wait = max(0.0, begun + tick / TICKS - time.monotonic())
        if select.select([sys.stdin], [], [], wait)[0]:
            return
        for number in range(tick % TICKS, count, TICKS):
            try:
                clients[number].send(b"x")
            except OSError:
                clients[number].close()
                with contextlib.suppress(OSError):
                    clients[number] = connect(port, number)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
