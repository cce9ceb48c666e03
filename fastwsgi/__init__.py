"""fastwsgi: a WSGI server for Linux that replaces gunicorn by changing one word.

    $ fastwsgi project.wsgi:application --bind 0.0.0.0:8000 --workers 4

or, from a program, `fastwsgi.run(application, bind="0.0.0.0:8000", workers=4)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastwsgi import compiled

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

__all__ = ["__version__", "run"]

__version__ = "0.1.0"

compiled.install()


def run(app: str | WSGIApplication, **settings: object) -> None:
    """Serve `app`, a WSGI callable or a specification such as "module:name", until a signal ends the server.

    `settings` are those of the command line by their long names with underscores, or as gunicorn's
    configuration file has them (`bind`, `workers`, `keepalive`, ...). Call it from the main thread of a
    process that has started no other threads: the workers are forked from it.

    Raises ConfigError for a setting that is wrong, and SystemExit with gunicorn's exit code when the server
    could not start or run (1: an address cannot be listened on, 3 and 4: the application cannot be loaded).
    """
    from fastwsgi.app.base import GivenApplication

    GivenApplication(app, settings, "run()").run()
