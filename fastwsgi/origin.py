"""How this process was started: what a binary upgrade starts again, and a reload goes back to.

Captured before the server changes anything. What is meant for this very process (sockets that were handed
down, who handed them) is taken out of the environment, so that no child takes it for its own.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fastwsgi.settings.values import typed_directory
from fastwsgi.systemd import LISTEN_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

UPGRADE_VARIABLES = ("FASTWSGI_PID", "FASTWSGI_FD", "FASTWSGI_SHARE", "GUNICORN_PID", "GUNICORN_FD")


class Origin:
    """The command line, directory and environment of this process, as they are now."""

    def __init__(self) -> None:
        # the interpreter by its absolute path: the way it was found may lead elsewhere from another directory
        self.argv = [sys.executable or sys.orig_argv[0], *sys.orig_argv[1:]]
        self.directory = typed_directory()
        self.handed_down = {
            name: os.environ.pop(name)
            for name in (*LISTEN_VARIABLES, *UPGRADE_VARIABLES)
            if name in os.environ
        }
        self.environ = dict(os.environ)
        self.added: set[str] = set()

    def set_environment(self, values: Mapping[str, str]) -> None:
        """Set `values`, after what an earlier call has set is as it was before."""
        for name in self.added:
            if name in self.environ:
                os.environ[name] = self.environ[name]
            else:
                os.environ.pop(name, None)
        self.added = set(values)
        os.environ.update(values)
