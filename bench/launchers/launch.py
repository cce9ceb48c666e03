"""Start a server that has no command of its own, or whose command cannot say what the bench has to say.

    python launch.py SERVER MODULE:ATTRIBUTE PORT [WORKERS]

It runs inside the server's own virtual environment and so imports nothing of the bench.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"


def bjoern(app: Any, port: int, workers: int) -> None:
    """It has no workers of its own; forking behind `listen` is what its documentation says."""
    import bjoern

    bjoern.listen(app, HOST, port)
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    bjoern.run()


def cheroot(app: Any, port: int, workers: int) -> None:
    """The command's defaults listen with a backlog of 5 and close every kept connection past the tenth."""
    from cheroot import wsgi

    server = wsgi.Server((HOST, port), app, request_queue_size=1024)
    server.keep_alive_conn_limit = 1000
    server.start()


def fastpysgi(app: Any, port: int, workers: int) -> None:
    """The command cannot turn Nagle's algorithm off, and with it answers wait for acknowledgements."""
    import fastpysgi

    fastpysgi.server.tcp_nodelay = 1
    fastpysgi.run(app, host=HOST, port=port, workers=workers)


def freastal(app: Any, port: int, workers: int) -> None:
    import freastal

    freastal.serve(app, host=HOST, port=port, workers=workers)


def limit_py(app: Any, port: int, workers: int) -> None:
    import limit_py

    limit_py.serve(app, port)


LAUNCHERS: dict[str, Callable[[Any, int, int], None]] = {
    "bjoern": bjoern,
    "cheroot": cheroot,
    "fastpysgi": fastpysgi,
    "freastal": freastal,
    "limit_py": limit_py,
}


def main(server: str, target: str, port: str, workers: str = "1") -> None:
    # A C loop never comes back to run Python's handler for Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    module, _, attribute = target.partition(":")
    LAUNCHERS[server](getattr(importlib.import_module(module), attribute), int(port), int(workers))


if __name__ == "__main__":
    main(*sys.argv[1:])
