"""The error log and the access log.

Messages go through the standard logger `fastwsgi.error`. Access lines do not: their format is compiled once
into a function that computes what it uses, and the lines of one turn of the loop are written together.
"""

from __future__ import annotations

import logging
import os
import re
import select
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, TextIO

from fastwsgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastwsgi.settings import Settings

LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

ERROR_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
ERROR_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"

STDOUT = 1

# A turn of the loop serves no more than this many requests before lines are written anyway.
LINES_HELD = 512


class Record(NamedTuple):
    """One answered request, as the access log sees it."""

    environ: Mapping[str, object]
    status: str
    sent: int
    """Bytes of the body that were sent."""
    headers: list[tuple[str, str]]
    duration_ns: int


class Logger:
    """Where the server and its workers write. The arbiter opens it; workers inherit it."""

    def __init__(self, settings: Settings) -> None:
        """ConfigError: a file cannot be opened, or the access log's format cannot be used."""
        self.error_log = logging.getLogger("fastwsgi.error")
        self.error_log.propagate = False
        self._lines: list[str] = []
        self._access_fd = -1
        self._handler: logging.StreamHandler[TextIO] | None = None
        self.setup(settings)

        self.critical = self.error_log.critical
        self.error = self.error_log.error
        self.warning = self.error_log.warning
        self.info = self.error_log.info
        self.debug = self.error_log.debug
        self.exception = self.error_log.exception
        self.log = self.error_log.log

        if settings.loglevel.lower() not in LEVELS:
            self.warning("there is no log level %r; using 'info'", settings.loglevel)

    def setup(self, settings: Settings) -> None:
        """Write as these settings say from now on. ConfigError: it goes on as it was."""
        line, errors = _checked_format(settings), _error_stream(settings)
        try:
            access_fd = _access_fd(settings)
        except ConfigError:
            _close_stream(errors)
            raise
        self._close_files()
        self._settings = settings
        self._format, self._access_fd, self.errors = line, access_fd, errors
        self._handler = logging.StreamHandler(errors)
        self._handler.setFormatter(logging.Formatter(ERROR_FORMAT, ERROR_DATE_FORMAT))
        self.error_log.addHandler(self._handler)
        self.error_log.setLevel(LEVELS.get(settings.loglevel.lower(), logging.INFO))

    def reopen_files(self) -> None:
        """The files were renamed: write to new ones of their names. What holds the old ones open follows."""
        self.flush()
        if self.errors is not sys.stderr:
            _reopen(str(self._settings.errorlog), self.errors.fileno())
        if self._access_fd > STDOUT:
            _reopen(str(self._settings.accesslog), self._access_fd)

    @property
    def access_enabled(self) -> bool:
        return self._access_fd >= 0

    def access(
        self,
        environ: Mapping[str, object],
        status: str,
        sent: int,
        headers: list[tuple[str, str]],
        duration_ns: int,
    ) -> None:
        """Note an answered request. Its line is written by the next flush()."""
        self._lines.append(self._format(Record(environ, status, sent, headers, duration_ns)))
        if len(self._lines) >= LINES_HELD:
            self.flush()

    def refused(self, remote_addr: str, status: int, reason: str, request_line: str) -> None:
        """Note a request that was answered before it could reach the application.

        `status` 0: it got no answer, since the client went away or was too slow. That is no news.
        """
        if status == 0:
            self.debug("Closed the connection from ip=%s: %s", remote_addr, reason)
            return
        self.warning("Invalid request from ip=%s: %s", remote_addr, reason)
        if self.access_enabled:
            environ = {"REMOTE_ADDR": remote_addr}
            words = request_line.split(" ")
            if len(words) == 3:
                environ.update(zip(("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"), words, strict=True))
            self.access(environ, str(status), 0, [], 0)

    def flush(self) -> None:
        """Write the access lines noted since the last time, in one go. What cannot be written is lost."""
        if self._lines:
            lines, self._lines = self._lines, []
            _write("\n".join([*lines, ""]).encode(errors="backslashreplace"), self._access_fd)

    def close(self) -> None:
        """Write what is left and close the files: nothing can be logged any more."""
        self._close_files()

    def _close_files(self) -> None:
        self.flush()
        if self._handler is not None:
            self.error_log.removeHandler(self._handler)
            _close_stream(self.errors)
        if self._access_fd > STDOUT:
            os.close(self._access_fd)
        self._access_fd = -1


def _error_stream(settings: Settings) -> TextIO:
    if settings.errorlog is None or settings.errorlog == "-":
        return sys.stderr
    try:
        # by lines, as standard error is: the application writes here too, through wsgi.errors
        stream = open(settings.errorlog, "a", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    except OSError as error:
        raise _cannot_open(settings, "errorlog", error) from None
    return stream


def _reopen(path: str, fd: int) -> None:
    new = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(new, fd, inheritable=False)
    os.close(new)


def _close_stream(stream: TextIO) -> None:
    if stream is not sys.stderr:
        stream.close()


def _access_fd(settings: Settings) -> int:
    """Where access lines go; -1: nowhere."""
    if settings.accesslog is None:
        return -1
    if settings.accesslog == "-":
        return STDOUT
    try:
        return os.open(settings.accesslog, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise _cannot_open(settings, "accesslog", error) from None


def _cannot_open(settings: Settings, name: str, error: OSError) -> ConfigError:
    value = str(dict(settings)[name].value)
    return ConfigError(
        name, value, settings.source(name), f"it cannot be opened for writing: {error.strerror}"
    )


def _write(data: bytes, fd: int) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            # somebody made our standard output non-blocking: it is shared with who started us
            select.select([], [fd], [])
        except OSError:
            return


def compile_format(text: str) -> Callable[[Record], str]:
    """The function that makes the line of a record by gunicorn's format, computing only the atoms it names.

    An atom that does not exist, or has no value, is '-'.
    """
    names: list[str] = []

    def positional(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%%"
        names.append(match[1])
        return "%"

    template = re.sub(r"%%|%\(([^)]*)\)", positional, text)
    atoms = [_atom(name) for name in names]

    def line(record: Record) -> str:
        return template % tuple([atom(record) for atom in atoms])

    return line


def _checked_format(settings: Settings) -> Callable[[Record], str]:
    line = compile_format(settings.access_log_format)
    try:
        line(Record({}, "200 OK", 0, [], 0))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "access_log_format", settings.access_log_format, settings.source("access_log_format"), str(error)
        ) from None
    return line


def escaped(value: str) -> str:
    """As it can stand between quotes on one line: a client must not be able to write lines of its own."""
    if value.isprintable() and '"' not in value:
        return value
    return "".join(
        char if char.isprintable() and char != '"' else '\\"' if char == '"' else f"\\x{ord(char):02x}"
        for char in value
    )


def _from_environ(*keys: str) -> Callable[[Record], str]:
    def atom(record: Record) -> str:
        for key in keys:
            value = record.environ.get(key)
            if value is not None:
                return escaped(str(value))
        return "-"

    return atom


def _from_response(name: str) -> Callable[[Record], str]:
    name = name.lower()

    def atom(record: Record) -> str:
        return next((escaped(value) for key, value in record.headers if key.lower() == name), "-")

    return atom


def _request_line(record: Record) -> str:
    environ = record.environ
    method = environ.get("REQUEST_METHOD")
    if method is None:
        return "-"
    return escaped(f"{method} {environ.get('RAW_URI', '-')} {environ.get('SERVER_PROTOCOL', '-')}")


def _user(record: Record) -> str:
    scheme, _, credentials = str(record.environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() != "basic":
        return "-"
    import binascii  # late: few sites let the server see passwords

    try:
        user = binascii.a2b_base64(credentials.strip()).partition(b":")[0].decode()
    except ValueError:
        return "-"
    return escaped(user) or "-"


def _time() -> Callable[[Record], str]:
    """The time of the line, in the form of the common log format; made anew once a second."""
    second, text = -1, ""

    def atom(record: Record) -> str:
        nonlocal second, text
        now = int(time.time())
        if now != second:
            second, text = now, time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(now))
        return text

    return atom


def _atom(name: str) -> Callable[[Record], object]:
    """The function that computes one atom of the access log's format."""
    if name.startswith("{"):
        key, _, source = name[1:].rpartition("}")
        if source.lower() == "i":
            return _from_environ(*_header_keys(key))
        if source.lower() == "o":
            return _from_response(key)
        if source.lower() == "e":
            return _from_environ(key, key.upper(), key.lower())
    if name == "t":
        return _time()
    return ATOMS.get(name, lambda record: "-")


def _header_keys(name: str) -> tuple[str, ...]:
    key = name.upper().replace("-", "_")
    return (key,) if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else (f"HTTP_{key}",)


ATOMS: dict[str, Callable[[Record], object]] = {
    "h": lambda record: record.environ.get("REMOTE_ADDR") or "-",  # empty: a unix socket
    "l": lambda record: "-",
    "u": _user,
    "r": _request_line,
    "m": _from_environ("REQUEST_METHOD"),
    "U": _from_environ("PATH_INFO"),
    "q": _from_environ("QUERY_STRING"),
    "H": _from_environ("SERVER_PROTOCOL"),
    "s": lambda record: record.status[:3],
    "B": lambda record: record.sent,
    "b": lambda record: str(record.sent),
    "f": _from_environ("HTTP_REFERER"),
    "a": _from_environ("HTTP_USER_AGENT"),
    "T": lambda record: record.duration_ns // 1_000_000_000,
    "D": lambda record: record.duration_ns // 1_000,
    "M": lambda record: record.duration_ns // 1_000_000,
    "L": lambda record: f"{record.duration_ns / 1_000_000_000:.6f}",
    "p": lambda record: f"<{os.getpid()}>",
}
"""gunicorn's atoms; `t` and those in braces are made by `_atom`."""
