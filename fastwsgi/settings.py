"""Every setting, declared once: its flags, how a value is read, its default, group and help.

The command line's options, the help and the checks all come from the declarations in `Settings`. Where values
come from (the command line, `run()`, ...) is not decided here: a source of values is a `Layer`, and later
layers win. Names, flags and defaults are gunicorn's, with one deliberate difference: connections are kept
alive for 75 s, because an idle one holds no worker here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

from fastwsgi.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import NoReturn

T = TypeVar("T")


class Layer(NamedTuple):
    """Values from one source, by setting name, as they were written there."""

    source: str
    values: Mapping[str, object]


class Setting(Generic[T]):
    """The declaration of one setting; on a `Settings` object, its value.

    `parse` turns what was written (text, or any Python object) into the value, or raises ValueError with what
    would be right. `default` is given as a person would write it, and is parsed too. A setting with `repeats`
    may have its flag given several times, each with one element of its value. One without flags cannot be set
    on the command line.
    """

    def __init__(
        self,
        *flags: str,
        parse: Callable[[object], T],
        default: object,
        group: str,
        help: str,
        metavar: str = "",
        repeats: bool = False,
    ) -> None:
        self.name = ""
        self.flags = flags
        self.parse = parse
        self.default = default
        self.group = group
        self.help = help
        self.metavar = metavar
        self.repeats = repeats

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, settings: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, settings: Settings, owner: type) -> T: ...
    def __get__(self, settings: Settings | None, owner: type) -> Setting[T] | T:
        if settings is None:
            return self
        value: T = settings.entries[self.name].value
        return value

    def __set__(self, settings: Settings, value: object) -> NoReturn:
        raise AttributeError(f"{self.name}: settings are replaced whole, never changed")


class Entry(NamedTuple):
    """The value of a setting and the source it came from."""

    value: Any
    source: str


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value.strip()


def optional_text(value: object) -> str | None:
    return None if value is None else text(value)


# What fits wherever a number is handed on to: to C, to the kernel.
MOST = 2**31 - 1


def count(value: object) -> int:
    """A whole number from 0 up; as text also hexadecimal, octal and binary with their prefixes."""
    expected = "expected a whole number, 0 or more"
    if isinstance(value, str):
        try:
            value = int(value, 0 if value.strip().startswith(("0x", "0o", "0b")) else 10)
        except ValueError:
            raise ValueError(expected) from None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(expected)
    if value > MOST:
        raise ValueError(f"expected a whole number, at most {MOST}")
    return value


def texts(value: object) -> tuple[str, ...]:
    """Several texts, or a single one on its own."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (text(value),)
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected a list of texts")
    return tuple(text(item) for item in value)


def addresses(value: object) -> tuple[str, ...]:
    # imported late: it brings the socket module, which --help and --version do not need
    from fastwsgi.sockets import parse_address

    found = texts(value)
    if not found:
        raise ValueError("expected at least one address")
    for item in found:
        parse_address(item)
    return found


def assignments(value: object) -> tuple[str, ...]:
    found = texts(value)
    for item in found:
        if "=" not in item or item.startswith("="):
            raise ValueError("expected NAME=VALUE")
    return found


def directory(value: object) -> str:
    """An existing directory, made absolute from where the server was started."""
    path = os.path.normpath(os.path.join(typed_directory(), text(value)))
    if not os.path.isdir(path):
        raise ValueError("expected the path of a directory that exists")
    return path


def typed_directory() -> str:
    """The current directory, by the path it was entered by.

    A deploy that switches a symbolic link wants the path through the link, which only the shell knows.
    """
    typed, real = os.environ.get("PWD", ""), os.getcwd()
    try:
        if typed and os.path.samefile(typed, real):
            return typed
    except OSError:
        pass
    return real


# What a person coming from gunicorn may ask for, and what serves them here instead.
OTHER_WORKER_CLASSES = ("gthread", "gevent", "gevent_wsgi", "gevent_pywsgi", "eventlet", "tornado", "asgi")


def worker_class(value: object) -> str:
    name = text(value)
    if name == "sync":
        return name
    if name in OTHER_WORKER_CLASSES:
        raise ValueError(
            "fastwsgi has no such worker; use 'sync', with more workers if calls wait: "
            "idle and slow connections hold no worker here"
        )
    raise ValueError("expected 'sync'")


class Settings:
    """What the server was told, checked and complete. Frozen: a reload makes a new one."""

    wsgi_app = Setting(
        parse=optional_text,
        default=None,
        group="Application",
        help="The application, where no APP is given on the command line.",
    )
    bind = Setting(
        "-b",
        "--bind",
        parse=addresses,
        default="127.0.0.1:8000",
        group="Server Socket",
        metavar="ADDRESS",
        repeats=True,
        help="Where to listen: HOST, HOST:PORT, [IPV6]:PORT or unix:PATH. May be given several times.",
    )
    backlog = Setting(
        "--backlog",
        parse=count,
        default=2048,
        group="Server Socket",
        metavar="COUNT",
        help="How many connections may wait to be accepted.",
    )
    workers = Setting(
        "-w",
        "--workers",
        parse=count,
        default=1,
        group="Worker Processes",
        metavar="COUNT",
        help="How many worker processes handle requests.",
    )
    worker_class = Setting(
        "-k",
        "--worker-class",
        parse=worker_class,
        default="sync",
        group="Worker Processes",
        metavar="NAME",
        help="The kind of worker.",
    )
    worker_connections = Setting(
        "--worker-connections",
        parse=count,
        default=1000,
        group="Worker Processes",
        metavar="COUNT",
        help="How many clients one worker has connected at once.",
    )
    max_requests = Setting(
        "--max-requests",
        parse=count,
        default=0,
        group="Worker Processes",
        metavar="COUNT",
        help="Replace a worker after this many requests; 0: never.",
    )
    max_requests_jitter = Setting(
        "--max-requests-jitter",
        parse=count,
        default=0,
        group="Worker Processes",
        metavar="COUNT",
        help="Add up to this many requests, at random, so that workers are not replaced all at once.",
    )
    timeout = Setting(
        "-t",
        "--timeout",
        parse=count,
        default=30,
        group="Worker Processes",
        metavar="SECONDS",
        help="Replace a worker that is in one request, or loads the application, for longer; 0: never.",
    )
    graceful_timeout = Setting(
        "--graceful-timeout",
        parse=count,
        default=30,
        group="Worker Processes",
        metavar="SECONDS",
        help="How long a worker that was told to leave may take to finish its requests.",
    )
    keepalive = Setting(
        "--keep-alive",
        parse=count,
        default=75,
        group="Worker Processes",
        metavar="SECONDS",
        help="How long an idle connection waits for its next request; 0: no connection is used twice.",
    )
    limit_request_line = Setting(
        "--limit-request-line",
        parse=count,
        default=4094,
        group="Security",
        metavar="BYTES",
        help="The longest request line; 0: no limit of its own.",
    )
    limit_request_fields = Setting(
        "--limit-request-fields",
        parse=count,
        default=100,
        group="Security",
        metavar="COUNT",
        help="The most header fields of one request.",
    )
    limit_request_field_size = Setting(
        "--limit-request-field_size",
        parse=count,
        default=8190,
        group="Security",
        metavar="BYTES",
        help="The longest header field; 0: no limit of its own.",
    )
    chdir = Setting(
        "--chdir",
        parse=directory,
        default=".",
        group="Server Mechanics",
        metavar="DIRECTORY",
        help="Go there before anything else is opened or loaded.",
    )
    raw_env = Setting(
        "-e",
        "--env",
        parse=assignments,
        default=(),
        group="Server Mechanics",
        metavar="NAME=VALUE",
        repeats=True,
        help="Set an environment variable for the application. May be given several times.",
    )
    pythonpath = Setting(
        "--pythonpath",
        parse=optional_text,
        default=None,
        group="Server Mechanics",
        metavar="DIRECTORIES",
        help="Directories to import from, separated by commas.",
    )
    accesslog = Setting(
        "--access-logfile",
        parse=optional_text,
        default=None,
        group="Logging",
        metavar="FILE",
        help="Where a line for each request goes; '-': standard output.",
    )
    access_log_format = Setting(
        "--access-logformat",
        parse=text,
        default='%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        group="Logging",
        metavar="FORMAT",
        help="What such a line says.",
    )
    errorlog = Setting(
        "--error-logfile",
        "--log-file",
        parse=optional_text,
        default="-",
        group="Logging",
        metavar="FILE",
        help="Where the server's own messages go; '-': standard error.",
    )
    loglevel = Setting(
        "--log-level",
        parse=text,
        default="info",
        group="Logging",
        metavar="LEVEL",
        help="The least severe message that is logged: debug, info, warning, error or critical.",
    )

    def __init__(self, layers: Iterable[Layer] = ()) -> None:
        """Later layers win. ConfigError: a name is no setting, or a value is not valid."""
        self.entries = {
            name: Entry(setting.parse(setting.default), "default") for name, setting in declared().items()
        }
        for layer in layers:
            for name, value in layer.values.items():
                self.entries[name] = Entry(_parsed(name, value, layer.source), layer.source)

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of `raw_env`."""
        return {name: value for name, _, value in (item.partition("=") for item in self.raw_env)}

    def source(self, name: str) -> str:
        """Where the value of a setting came from, in words."""
        return self.entries[name].source

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return iter(self.entries.items())


def declared() -> dict[str, Setting[object]]:
    """All declarations by name, in the order they are declared, which is the help's order too."""
    return {name: item for name, item in vars(Settings).items() if isinstance(item, Setting)}


def _parsed(name: str, value: object, source: str) -> object:
    try:
        setting = declared()[name]
    except KeyError:
        similar = nearest(name, declared())
        hint = "there is no such setting" + (f"; did you mean {similar!r}?" if similar else "")
        raise ConfigError(name, value, source, hint) from None
    try:
        return setting.parse(value)
    except ValueError as error:
        if setting.repeats and isinstance(value, list) and len(value) == 1:
            value = value[0]
        raise ConfigError(name, value, source, str(error)) from None
