"""gunicorn's module names, for configuration files that import from it.

A `gunicorn.conf.py` may say `from gunicorn.glogging import Logger` and mean the server's own logger. Where
gunicorn is not installed, such an import finds our module of the same purpose, while the file is executed and
never else.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

# Those of gunicorn's modules that there is something for here.
MODULES = {
    "gunicorn": "fastwsgi",
    "gunicorn.app": "fastwsgi.app",
    "gunicorn.app.base": "fastwsgi.app.base",
    "gunicorn.app.wsgiapp": "fastwsgi.app.wsgiapp",
    "gunicorn.arbiter": "fastwsgi.arbiter",
    "gunicorn.config": "fastwsgi.settings",
    "gunicorn.errors": "fastwsgi.errors",
    "gunicorn.glogging": "fastwsgi.glogging",
    "gunicorn.instrument": "fastwsgi",
    "gunicorn.instrument.statsd": "fastwsgi.statsd",
    "gunicorn.workers": "fastwsgi.workers",
    "gunicorn.workers.base": "fastwsgi.workers.base",
    "gunicorn.workers.sync": "fastwsgi.workers.sync",
}


class StandIn(MetaPathFinder, Loader):
    """Finds a module of gunicorn's, and loads one with the same contents as ours."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = MODULES.get(name)
        if ours is None or importlib.util.find_spec(ours) is None:
            return None
        return ModuleSpec(name, self, is_package=any(other.startswith(f"{name}.") for other in MODULES))

    def exec_module(self, module: ModuleType) -> None:
        ours = vars(importlib.import_module(MODULES[module.__name__]))
        vars(module).update(
            {
                name: value
                for name, value in ours.items()
                if not name.startswith("__") or name == "__version__"
            }
        )


@contextlib.contextmanager
def gunicorn_names() -> Iterator[None]:
    """Within it gunicorn's modules can be imported, its own if it is installed."""
    if "gunicorn" in sys.modules or importlib.util.find_spec("gunicorn") is not None:
        yield
        return
    finder = StandIn()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in MODULES:
            sys.modules.pop(name, None)
