"""The error log and the access log: gunicorn's Logger, with lines that cost next to nothing.

Messages go through the standard loggers `fastwsgi.error` and `fastwsgi.access`, which have gunicorn's names
as well. With a plain file or standard output, and a class that leaves them alone, access lines do not come by
here: the core writes them to `access_fd`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from fastwsgi import access_format, log_config, log_files
from fastwsgi.access_format import SafeAtoms
from fastwsgi.errors import ConfigError
from fastwsgi.log_config import ERROR_DATE_FORMAT, ERROR_FORMAT, SYSLOG_FORMAT
from fastwsgi.log_files import LogFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from fastwsgi.settings import Settings

LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

# The record's args have the atoms of a JSON line as well.
JSON_MESSAGE = "%(json)s"


class Logger:
    """Where the server and its workers write. The arbiter makes it; workers inherit it.

    Has the methods of gunicorn's Logger, and is made to be subclassed as that is: access(), atoms() and now()
    are called for each request where a subclass has its own.
    """

    error_fmt: ClassVar[str] = ERROR_FORMAT
    datefmt: ClassVar[str] = ERROR_DATE_FORMAT
    access_fmt: ClassVar[str] = "%(message)s"
    syslog_fmt: ClassVar[str] = SYSLOG_FORMAT
    atoms_wrapper_class: ClassVar[type[SafeAtoms]] = SafeAtoms

    def __init__(self, cfg: Settings) -> None:
        """ConfigError: a file cannot be opened, or a format or a logging configuration cannot be used."""
        self.cfg = cfg
        self.error_log = log_config.shared_logger("error")
        self.error_log.propagate = False
        self.access_log = log_config.shared_logger("access")
        self.access_log.propagate = False
        self.errors: TextIO = sys.stderr
        """Where wsgi.errors goes."""
        self._own: list[tuple[logging.Logger, logging.Handler]] = []
        self._access_file: LogFile | None = None
        self._stdout_fd = -1
        self.setup(cfg)

    def setup(self, cfg: Settings) -> None:
        """Begin to log as `cfg` wants it. ConfigError: it cannot be done; then all is as it was."""
        check_format(cfg)
        opened: list[tuple[logging.Logger, logging.Handler]] = []
        try:
            errors = self._open_errors(cfg, opened)
            access = self._open_access(cfg, opened)
            self._open_syslog(cfg, opened)
        except BaseException:
            _end(opened)
            raise
        before = self._own
        handlers = [(log, log.handlers[:]) for log in (self.error_log, self.access_log)]
        for log, handler in before:
            log.removeHandler(handler)
        for log, handler in opened:
            log.addHandler(handler)
        self.loglevel = LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        try:
            log_config.configure(cfg)
        except BaseException:
            for log, kept in handlers:
                log.handlers[:] = kept
            _end(opened)
            raise
        # what a configuration disables are loggers that it does not know; these have two names
        self.error_log.disabled = self.access_log.disabled = False
        _end(before)
        self._own = opened
        self.cfg = cfg
        self.errors = errors.stream if errors is not None else sys.stderr
        self._access_file = access
        self._close_stdout()
        if cfg.capture_output and errors is not None:
            errors.capture()
        if cfg.loglevel.lower() not in LEVELS:
            self.warning("there is no log level %r; using 'info'", cfg.loglevel)

    def _open_errors(
        self, cfg: Settings, opened: list[tuple[logging.Logger, logging.Handler]]
    ) -> LogFile | None:
        formatter = logging.Formatter(self.error_fmt, self.datefmt)
        if cfg.errorlog is None or cfg.errorlog == "-":
            handler: logging.Handler = logging.StreamHandler(sys.stderr)
        else:
            handler = _open(cfg, "errorlog", cfg.errorlog)
        handler.setFormatter(formatter)
        opened.append((self.error_log, handler))
        return handler if isinstance(handler, LogFile) else None

    def _open_access(
        self, cfg: Settings, opened: list[tuple[logging.Logger, logging.Handler]]
    ) -> LogFile | None:
        if cfg.accesslog is None:
            return None
        if cfg.accesslog == "-":
            handler: logging.Handler = logging.StreamHandler(sys.stdout)
        else:
            handler = _open(cfg, "accesslog", cfg.accesslog)
        handler.setFormatter(logging.Formatter(self.access_fmt))
        opened.append((self.access_log, handler))
        return handler if isinstance(handler, LogFile) else None

    def _open_syslog(self, cfg: Settings, opened: list[tuple[logging.Logger, logging.Handler]]) -> None:
        if not cfg.syslog:
            return
        opened.append((self.error_log, log_config.syslog_handler(cfg, "error", self.syslog_fmt)))
        if not cfg.disable_redirect_access_to_syslog:
            opened.append((self.access_log, log_config.syslog_handler(cfg, "access", self.syslog_fmt)))

    # the error log

    def critical(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.critical(msg, *args, **_from_caller(kwargs))

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.error(msg, *args, **_from_caller(kwargs))

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.warning(msg, *args, **_from_caller(kwargs))

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.info(msg, *args, **_from_caller(kwargs))

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.debug(msg, *args, **_from_caller(kwargs))

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.exception(msg, *args, **_from_caller(kwargs))

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        level = LEVELS.get(lvl.lower(), logging.INFO) if isinstance(lvl, str) else lvl
        self.error_log.log(level, msg, *args, **_from_caller(kwargs))

    # the access log

    @property
    def access_log_enabled(self) -> bool:
        cfg = self.cfg
        to_syslog = cfg.syslog and not cfg.disable_redirect_access_to_syslog
        return bool(cfg.accesslog or to_syslog or log_config.is_configured(cfg))

    @property
    def access_fd(self) -> int:
        """Where the core may write access lines by itself; -1: they have to be made by access().

        That is so where this class or a handler is somebody's own.
        """
        kind = type(self)
        if any(getattr(kind, name) is not getattr(Logger, name) for name in OVERRIDDEN):
            return -1
        if self.cfg.accesslog is None:
            return -1
        ours = [handler for log, handler in self._own if log is self.access_log]
        log = self.access_log
        if len(ours) != 1 or log.handlers != ours or log.propagate or log.filters or ours[0].filters:
            return -1
        if log.disabled or not log.isEnabledFor(logging.INFO) or ours[0].level > logging.INFO:
            return -1
        if self._access_file is not None:
            return self._access_file.fileno()
        if self._stdout_fd == -1:  # only now: a daemon has changed it since
            self._stdout_fd = log_files.standard_output()
        return self._stdout_fd

    def _close_stdout(self) -> None:
        if self._stdout_fd > log_files.STDERR:
            os.close(self._stdout_fd)
        self._stdout_fd = -1

    def atoms(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> dict[str, Any]:
        """What a format may name."""
        return access_format.atoms(resp, req, environ, request_time, self.now())

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        """Log an answered request: the record's args are its atoms."""
        if not self.access_log_enabled:
            return
        atoms = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
        message = self.cfg.access_log_format
        if message == access_format.JSON:
            message = JSON_MESSAGE
            atoms["json"] = access_format.json_line(resp, environ, request_time)
        self.access_log.info(message, atoms)

    def now(self) -> str:
        """The atom `t`."""
        return access_format.clock()

    # files

    def reopen_files(self) -> None:
        """After a rotation: go on in the files that have the names now."""
        for error in log_files.reopen_all(self._all_handlers()):
            self.error("Cannot reopen a log: %s", error)
        if self.cfg.capture_output:
            for _, handler in self._own:
                if isinstance(handler, LogFile) and handler is not self._access_file:
                    handler.capture()

    def close_on_exec(self) -> None:
        """Programs that this process executes are not to have the files."""
        for handler in self._all_handlers():
            stream = getattr(handler, "stream", None)
            with contextlib.suppress(AttributeError, OSError, ValueError):
                if stream is not None and stream.fileno() > log_files.STDERR:
                    os.set_inheritable(stream.fileno(), False)

    def _all_handlers(self) -> list[logging.Handler]:
        """Every handler of this process, whoever has made it."""
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        found = [handler for log in loggers if isinstance(log, logging.Logger) for handler in log.handlers]
        return list(dict.fromkeys([*(handler for _, handler in self._own), *found]))

    def close(self) -> None:
        """Close the files: nothing can be logged any more."""
        for log, handler in self._own:
            log.removeHandler(handler)
        _end(self._own)
        self._own = []
        self._access_file = None
        self._close_stdout()


OVERRIDDEN = ("access", "atoms", "now", "atoms_wrapper_class", "access_fmt")
"""What a subclass may have its own of, so that the core cannot write the lines."""


def wants_access(log: Any) -> bool:
    """Are requests to be told to this logger? One with an access() of its own (for metrics, say) hears of
    them without an access log too.
    """
    return bool(log.access_log_enabled) or type(log).access is not Logger.access


def _from_caller(kwargs: dict[str, Any]) -> dict[str, Any]:
    """So that %(funcName)s is not ours."""
    kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
    return kwargs


def _end(handlers: list[tuple[logging.Logger, logging.Handler]]) -> None:
    for _, handler in handlers:
        if isinstance(handler, LogFile):
            handler.end()
        else:
            handler.close()


def _open(cfg: Settings, name: str, path: str) -> LogFile:
    try:
        return LogFile(path, cfg)
    except OSError as error:
        value = str(dict(cfg)[name].value)
        expected = f"it cannot be opened for writing: {error.strerror}"
        raise ConfigError(name, value, cfg.source(name), expected) from None


def check_format(cfg: Settings) -> None:
    """ConfigError: no line can be made with the access log's format."""
    text = cfg.access_log_format
    if text == access_format.JSON:
        return
    sample = SafeAtoms({"B": 0, "T": 0, "D": 0, "M": 0} | dict.fromkeys("hlurstmUqHbfaLp", "-"))
    try:
        if re.search(r"(?<!%)(%%)*%[^%(]", text):
            raise ValueError("a '%' is not followed by the name of an atom in parentheses")
        text % sample
    except (TypeError, ValueError) as error:
        source = cfg.source("access_log_format")
        raise ConfigError("access_log_format", text, source, str(error)) from None
