"""The least that taking an upload in costs: recv into a buffer, write that to a file without a name.

    receive.py PORT [again]        (0: the kernel's choice)

One connection at a time, one request a connection. The file is let go when its answer is out, so what that
costs the kernel falls on the upload behind it. With "again" one file is written over by each upload, in
pieces of 256 KiB that end at multiples of that: as the server does it, without all else that it does.
"""

from __future__ import annotations

import re
import socket
import sys
import tempfile
from contextlib import ExitStack
from typing import IO

BLOCK = 65536
LARGE = 262144


def take(connection: socket.socket, buffer: memoryview, file: IO[bytes]) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    fields, _, rest = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", fields)
    total, done = int(length[1]) if length else 0, len(rest)
    file.write(rest)
    while done < total:
        room = len(buffer) - done % LARGE if len(buffer) == LARGE else len(buffer)
        count = connection.recv_into(buffer[:room])
        file.write(buffer[:count])
        done += count
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    again = len(sys.argv) > 2
    buffer = memoryview(bytearray(LARGE if again else BLOCK))
    with ExitStack() as stack:
        kept = stack.enter_context(tempfile.TemporaryFile(buffering=0)) if again else None
        while True:
            connection, _ = listener.accept()
            with connection:
                if kept is not None:
                    kept.seek(0)
                    take(connection, buffer, kept)
                else:
                    with tempfile.TemporaryFile(buffering=0) as file:
                        take(connection, buffer, file)


if __name__ == "__main__":
    main()
