"""The application that the command `fastwsgi` serves: what its arguments or its configuration name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastwsgi.app.base import COMMAND_LINE, Application
from fastwsgi.app.loader import load
from fastwsgi.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from wsgiref.types import WSGIApplication as Callable


class WSGIApplication(Application):
    """Serves APP of the command line, or else the setting `wsgi_app`; with `paste`, what that names."""

    app_uri: str | None

    def init(
        self, parser: argparse.ArgumentParser, options: argparse.Namespace, arguments: list[str]
    ) -> Mapping[str, object] | None:
        if len(arguments) > 1:
            raise UsageError(f"one application is served, and there is a second argument: {arguments[1]!r}")
        self.app_uri = arguments[0] if arguments else None
        return None

    def load_config(self) -> None:
        super().load_config()
        if self.cfg.paste:
            from fastwsgi.app.pasterapp import paste_file, paste_settings

            file, self.app_uri = paste_file(self.cfg.paste, self.cfg.source("paste"))
            self.defaults(paste_settings(file), file)
            return
        if self.app_uri is not None:
            self.cfg.set("wsgi_app", self.app_uri, COMMAND_LINE)
        if not self.cfg.wsgi_app:
            raise UsageError(
                "no application given: expected MODULE:NAME, as in 'fastwsgi project.wsgi:application'"
            )
        self.app_uri = self.cfg.wsgi_app
        self.defaults({"default_proc_name": self.app_uri}, self.cfg.source("wsgi_app"))

    def defaults(self, values: Mapping[str, object], source: str) -> None:
        """Set those of `values` that nobody has set."""
        self.layer({name: values[name] for name in values if self.cfg.source(name) == "default"}, source)

    def load(self) -> Callable:
        assert self.app_uri is not None
        if self.cfg.paste:
            from fastwsgi.app.pasterapp import load_paste_application

            return load_paste_application(self.app_uri, self.cfg.paste_global_conf)
        return load(self.app_uri)


def run(prog: str | None = None, argv: Sequence[str] | None = None) -> None:
    """Run the command with `argv` (default: this process's arguments)."""
    WSGIApplication(prog=prog, argv=argv).run()
