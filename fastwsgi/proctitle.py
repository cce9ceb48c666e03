"""What `ps` shows for our processes, where the package setproctitle is installed."""

from __future__ import annotations


def set_title(role: str, name: str) -> None:
    """`role` is "master" or "worker", `name` the server's."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"fastwsgi: {role} [{name}]")
