"""Applications that PasteDeploy configurations (`.ini` files) declare, and fastwsgi as the server in one.

    [server:main]
    use = egg:fastwsgi#main
    host = 127.0.0.1
    port = 8000
    workers = 2

PasteDeploy is needed only here, and is imported only when it is used.
"""

from __future__ import annotations

import configparser
import importlib
import os
from typing import TYPE_CHECKING, Any

from fastwsgi.app.base import Application
from fastwsgi.errors import EXIT_BOOT, AppNotFoundError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from wsgiref.types import WSGIApplication


def load_paste_application(uri: str, globals: Mapping[str, str]) -> WSGIApplication:
    """The application at config:PATH or config:PATH#NAME.

    AppNotFoundError: PasteDeploy is not installed.
    """
    try:
        deploy: Any = importlib.import_module("paste.deploy")
    except ModuleNotFoundError as error:
        if error.name not in ("paste", "paste.deploy"):
            raise
        raise AppNotFoundError(
            f"{uri} needs the package PasteDeploy: pip install 'fastwsgi[paste]'", EXIT_BOOT
        ) from None
    application: WSGIApplication = deploy.loadapp(uri, relative_to=os.getcwd(), global_conf=dict(globals))
    return application


def paste_file(location: str, source: str) -> tuple[str, str]:
    """The path of the file in FILE.ini#NAME, and all of it as PasteDeploy wants it.

    ConfigError: there is no such file.
    """
    uri = os.path.abspath(location)
    path = uri.partition("#")[0]
    if not os.path.isfile(path):
        raise ConfigError("paste", location, source, "expected FILE.ini or FILE.ini#NAME; no such file")
    return path, f"config:{uri}"


def paste_settings(path: str) -> dict[str, object]:
    """The settings that come with the configuration at `path`: it may configure logging as well."""
    settings: dict[str, object] = {"default_proc_name": path}
    parser = configparser.RawConfigParser()
    parser.read(path)
    if parser.has_section("loggers"):
        settings["logconfig"] = path
    return settings


class PasteServer(Application):
    """An application that a PasteDeploy configuration has built, served by the settings beside it."""

    def __init__(self, app: WSGIApplication, path: str, settings: Mapping[str, object]) -> None:
        self.app = app
        self.path = path
        self.ini = settings
        super().__init__(argv=())

    def load_config(self) -> None:
        self.layer(paste_settings(self.path), self.path)
        settings = dict(self.ini)
        location = settings.pop("config", None)
        self.load_file(None if location is None else str(location), self.path)
        self.layer(settings, self.path)

    def load(self) -> WSGIApplication:
        return self.app


def serve(app: WSGIApplication, global_conf: Mapping[str, str], **local_conf: str) -> None:
    """The entry point `paste.server_runner`: serve `app` by the settings of a [server:NAME] section."""
    settings: dict[str, object] = dict(local_conf)
    host, port = settings.pop("host", ""), settings.pop("port", "")
    if port:
        settings["bind"] = f"{host or '127.0.0.1'}:{port}"
    elif host:
        settings["bind"] = str(host).split(",")
    PasteServer(app, global_conf["__file__"], settings).run()


def server_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[[WSGIApplication], None]:
    """The entry point `paste.server_factory`: what serves an application by these settings."""

    def run(app: WSGIApplication) -> None:
        serve(app, global_conf, **local_conf)

    return run
