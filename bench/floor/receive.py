"""The least that taking an upload in costs: recv into a buffer, write that to a file without a name.

    receive.py PORT        (0: the kernel's choice)

One connection at a time, one request a connection.
"""

from __future__ import annotations

import re
import socket
import sys
import tempfile

BLOCK = 65536


def take(connection: socket.socket, buffer: memoryview) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    fields, _, rest = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", fields)
    left = int(length[1]) - len(rest) if length else 0
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(rest)
        while left > 0:
            count = connection.recv_into(buffer)
            file.write(buffer[:count])
            left -= count
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    buffer = memoryview(bytearray(BLOCK))
    while True:
        connection, _ = listener.accept()
        with connection:
            take(connection, buffer)


if __name__ == "__main__":
    main()
