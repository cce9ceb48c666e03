"""`python -m bench.probe PORT SECONDS`: how long small requests take, one every few milliseconds, as JSON."""

from __future__ import annotations

import json
import socket
import sys
import time

PAUSE_S = 0.002
REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"


def probe(port: int, seconds: float) -> list[float]:
    """Milliseconds of each."""
    took = []
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            connection.sendall(REQUEST)
            if not connection.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise SystemExit("a probe was not answered")
            took.append((time.perf_counter() - begun) * 1000)
            time.sleep(PAUSE_S)
    return took


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]), float(sys.argv[2]))))
