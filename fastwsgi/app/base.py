"""A server as a program embeds it: its settings, its application, `run()`.

The interface is gunicorn's: a subclass says what the settings are in `load_config()` and which callable is
served in `load()`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fastwsgi import __version__
from fastwsgi.app.loader import enter_project, load
from fastwsgi.errors import EXIT_CONFIG, AppNotFoundError, ConfigError
from fastwsgi.settings import Config, Settings
from fastwsgi.settings.arguments import environment_arguments, given, make_parser, parse_arguments
from fastwsgi.settings.values import typed_directory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import NoReturn
    from wsgiref.types import WSGIApplication


COMMAND_LINE = "command line"


class BaseApplication:
    """Settings and an application. ConfigError: a setting is wrong.

    While `load_config()` runs, `cfg` is a `Config`, which has `set(name, value)`; from then on it is a
    `Settings`, which cannot be changed.
    """

    cfg: Settings

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.callable: WSGIApplication | None = None
        self.start_directory = typed_directory()
        self.start_environment = dict(os.environ)
        self.cfg = self.read_config()

    def load_config(self) -> None:
        """Set what differs from the defaults, with `self.cfg.set(name, value)`."""
        raise NotImplementedError

    def load_config_from_file(self, location: str, source: str = "load_config()") -> None:
        """Set what the configuration file PATH, file:PATH or python:MODULE says."""
        from fastwsgi.settings.file import read_file

        assert isinstance(self.cfg, Config), "only load_config() sets"
        file = read_file(location)
        self.cfg.set("config", file.path, source)
        self.cfg.files += (file.path,)
        self.layer(file.values, file.path)
        for name, setting in file.misspelt.items():
            self.cfg.remark(f"{name} in {file.path} is no setting; did you mean {setting!r}?")

    def layer(self, values: Mapping[str, object], source: str) -> None:
        """Set all these, over what is there."""
        for name, value in values.items():
            self.cfg.set(name, value, source)

    def load(self) -> WSGIApplication:
        """The application that is served. Called in every worker, or once with `preload_app`."""
        raise NotImplementedError

    def read_config(self) -> Settings:
        """The settings as they are now, read anew. ConfigError: one of them is wrong."""
        self.cfg = config = Config(environ=self.start_environment)
        self.load_config()
        return config.freeze()

    def reload(self) -> None:
        """Replace the settings by what is written now. ConfigError: nothing has changed."""
        before, directory = self.cfg, os.getcwd()
        # what is relative was relative to where the server was started
        os.chdir(self.start_directory)
        try:
            self.cfg = self.read_config()
        except BaseException:
            self.cfg = before
            raise
        finally:
            os.chdir(directory)

    def wsgi(self) -> WSGIApplication:
        """What load() returned the first time."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> None:
        """Serve until a signal ends the server. SystemExit: it could not start, or failed.

        With the settings `check_config` or `print_config` it only tells whether it could: SystemExit.
        """
        if self.cfg.print_config:
            print(self.cfg.described())
        if self.cfg.print_config or self.cfg.check_config:
            sys.exit(self.check())
        if self.cfg.spew:
            from fastwsgi.app.spew import spew

            spew()

        from fastwsgi.arbiter import Arbiter

        code = Arbiter(self).run()
        if code:
            raise SystemExit(code)

    def check(self) -> int:
        """Load the application, as a worker would; the exit code. What is wrong is said on standard error."""
        for line in self.cfg.warnings():
            print(f"Warning: {line}", file=sys.stderr)
        enter_project(self.cfg.chdir, self.cfg.pythonpath)
        os.environ.update(self.cfg.env)
        try:
            self.wsgi()
        except AppNotFoundError as error:
            print(f"Error: {error}", file=sys.stderr)
            return EXIT_CONFIG
        except Exception as error:
            import traceback

            from fastwsgi.workers.base import applications_part

            print("Error: the application cannot be loaded:", file=sys.stderr)
            traceback.print_exception(type(error), error, applications_part(error))
            return EXIT_CONFIG
        return 0


class GivenApplication(BaseApplication):
    """An application, or its specification, and settings that somebody has at hand."""

    def __init__(self, app: str | WSGIApplication, settings: Mapping[str, object], source: str) -> None:
        self.app = app
        self.given = settings
        self.source = source
        super().__init__()

    def load_config(self) -> None:
        if "config" in self.given:
            self.load_config_from_file(str(self.given["config"]), self.source)
        self.layer({name: value for name, value in self.given.items() if name != "config"}, self.source)

    def load(self) -> WSGIApplication:
        return load(self.app)


class Application(BaseApplication):
    """A `BaseApplication` with a command line. What is wrong there ends the program, with one line.

    A subclass may have `init()`, which returns settings that the command line can override.
    """

    def __init__(
        self, usage: str | None = None, prog: str | None = None, argv: Sequence[str] | None = None
    ) -> None:
        self.argv = sys.argv[1:] if argv is None else argv
        try:
            super().__init__(usage, prog)
        except ConfigError as error:
            self.fail(error)

    def init(
        self, parser: argparse.ArgumentParser, options: argparse.Namespace, arguments: list[str]
    ) -> Mapping[str, object] | None:
        """Settings of a framework, weaker than all that is configured. `arguments`: the positional ones."""
        return None

    def load_config(self) -> None:
        """From the weakest source to the strongest: init(), the configuration file, the arguments in the
        environment, the command line."""
        parser = make_parser(self.usage, self.prog)
        options = parse_arguments(parser, self.argv)
        if options.version:
            print(f"{parser.prog} (version {__version__})")
            sys.exit(0)
        self.layer(self.init(parser, options, options.args) or {}, "framework")
        variable, from_environment = environment_arguments(parser, self.cfg.env_orig)
        from_command_line = given(options)
        environments_file = from_environment.pop("config", None)
        file = from_command_line.pop("config", None)
        if file is None and environments_file is not None:
            self.load_file(str(environments_file), variable)
        else:
            self.load_file(None if file is None else str(file), COMMAND_LINE)
        self.layer(from_environment, variable)
        self.layer(from_command_line, COMMAND_LINE)

    def load_file(self, location: str | None, source: str) -> None:
        """Set what the configuration file at `location` says, or (None) the one that is there by itself."""
        from fastwsgi.settings.file import default_file

        if location is None:
            location, source = default_file(self.start_directory), "where the server was started"
        if location is not None:
            # it may import what stands beside it
            if self.start_directory not in sys.path:
                sys.path.insert(0, self.start_directory)
            self.load_config_from_file(location, source)

    def run(self) -> None:
        try:
            super().run()
        except ConfigError as error:
            self.fail(error)

    def fail(self, error: Exception) -> NoReturn:
        sys.exit(f"{self.prog or 'fastwsgi'}: error: {error}")
