"""Start a server that has no command of its own, or whose command cannot say what the bench has to say.

    python launch.py SERVER MODULE:ATTRIBUTE PORT

It runs inside the server's own virtual environment and so imports nothing of the bench.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"


def bjoern(app: Any, port: int) -> None:
    import bjoern

    bjoern.run(app, HOST, port)


def cheroot(app: Any, port: int) -> None:
    """The command's defaults listen with a backlog of 5 and close every kept connection past the tenth."""
    from cheroot import wsgi

    server = wsgi.Server((HOST, port), app, request_queue_size=1024)
    server.keep_alive_conn_limit = 1000
    server.start()


def fastpysgi(app: Any, port: int) -> None:
    """The command cannot turn Nagle's algorithm off, and with it answers wait for acknowledgements."""
    import fastpysgi

    fastpysgi.server.tcp_nodelay = 1
    fastpysgi.run(app, host=HOST, port=port)


def freastal(app: Any, port: int) -> None:
    import freastal

    freastal.serve(app, host=HOST, port=port, workers=1)


def limit_py(app: Any, port: int) -> None:
    import limit_py

    limit_py.serve(app, port)


LAUNCHERS: dict[str, Callable[[Any, int], None]] = {
    "bjoern": bjoern,
    "cheroot": cheroot,
    "fastpysgi": fastpysgi,
    "freastal": freastal,
    "limit_py": limit_py,
}


def main(server: str, target: str, port: str) -> None:
    # A C loop never comes back to run Python's handler for Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    module, _, attribute = target.partition(":")
    LAUNCHERS[server](getattr(importlib.import_module(module), attribute), int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
