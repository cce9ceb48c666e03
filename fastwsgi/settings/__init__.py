"""Every setting, declared once: its flags, how a value is read, its default, section and help.

The command line's options, the help and the checks all come from the declarations: the tables in this
package, which `Settings` puts together. Where values come from (the command line, `run()`, ...) is not
decided here: a source of values is a `Layer`, and later layers win. Names, flags and defaults are gunicorn's,
with a few deliberate differences: connections are kept alive for 75 s, because an idle one holds no worker.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

from fastwsgi.errors import ConfigError, UnknownSettingError, nearest
from fastwsgi.settings.declaration import Entry, Section, Setting
from fastwsgi.settings.hooks import DirtyArbiterHooks, ServerHooks
from fastwsgi.settings.limits import TimeLimits
from fastwsgi.settings.logs import Logging, ProcessNaming
from fastwsgi.settings.mechanics import ServerMechanics
from fastwsgi.settings.protocols import HTTP2, SSL
from fastwsgi.settings.serving import (
    ConfigFile,
    Control,
    Debugging,
    DirtyArbiters,
    Security,
    ServerSocket,
    WorkerProcesses,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fastwsgi.sockets import Address

__all__ = ["Config", "Entry", "Layer", "Setting", "Settings", "declared"]


class Layer(NamedTuple):
    """Values from one source, by setting name, as they were written there."""

    source: str
    values: Mapping[str, object]


class Settings(
    ConfigFile,
    ServerSocket,
    WorkerProcesses,
    Security,
    TimeLimits,
    Debugging,
    ServerMechanics,
    Logging,
    ProcessNaming,
    SSL,
    HTTP2,
    ServerHooks,
    DirtyArbiters,
    DirtyArbiterHooks,
    Control,
):
    """What the server was told, checked and complete. Frozen: a reload makes a new one."""

    def __init__(self, layers: Iterable[Layer] = (), environ: Mapping[str, str] | None = None) -> None:
        """Later layers win. `environ` stands for this process's environment.

        ConfigError: a name is no setting, or a value is not valid.
        """
        self.env_orig = dict(os.environ if environ is None else environ)
        """The environment as it was when the server was started."""
        self.files: tuple[str, ...] = ()
        """The configuration files that were read."""
        self.remarks: tuple[str, ...] = ()
        self.entries = {name: _default(setting, self.env_orig) for name, setting in declared().items()}
        for layer in layers:
            for name, value in layer.values.items():
                self.entries[name] = Entry(_parsed(name, value, layer.source), layer.source)
        self.check()

    def check(self) -> None:
        """ConfigError: it would not be safe to serve by these settings, since one of them is not built.

        Only in the end: an earlier source may have a value, for gunicorn say, that a later one takes back.
        """
        for name, setting in declared().items():
            value, source = self.entries[name]
            if setting.refuse is not None and (reason := setting.refuse(value)):
                raise ConfigError(name, value, source, reason)

    @property
    def settings(self) -> Mapping[str, Setting[object]]:
        """The declarations, by name."""
        return declared()

    @property
    def address(self) -> list[Address]:
        """Where to listen."""
        from fastwsgi.sockets import parse_address

        return [parse_address(item) for item in self.bind]

    @property
    def uid(self) -> int:
        return self.user

    @property
    def gid(self) -> int:
        return self.group

    @property
    def is_ssl(self) -> bool:
        return bool(self.certfile or self.keyfile)

    @property
    def worker_class_str(self) -> str:
        """The kind of worker that is meant: with several threads a sync worker is a threaded one."""
        return "gthread" if self.threads > 1 else self.worker_class

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of `raw_env`."""
        return _pairs(self.raw_env)

    @property
    def paste_global_conf(self) -> dict[str, str]:
        """The globals of `raw_paste_global_conf`."""
        return _pairs(self.raw_paste_global_conf)

    def without_effect(self) -> list[Setting[object]]:
        """The settings that were changed, and that change nothing here."""
        return [
            setting
            for name, setting in declared().items()
            if setting.no_effect and self.entries[name].value != setting.parse(setting.default)
        ]

    def warnings(self) -> list[str]:
        """What the operator should know of what was set, one line each."""
        lines = list(self.remarks)
        reasons: dict[str, list[str]] = {}
        for setting in self.without_effect():
            reasons.setdefault(setting.no_effect, []).append(setting.name)
        if reasons:
            told = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
            lines.append(f"These settings have no effect: {told}")
        streaming = [name for name in ("stream_request_body", "stream_request_paths") if getattr(self, name)]
        if streaming and self.threads == 1:
            lines.append(
                f"{streaming[0]} with one thread: a client whose body comes slowly holds the worker "
                "while it is read; use --threads"
            )
        return lines

    def described(self) -> str:
        """Every setting by name, its value and where that comes from, one line each."""
        width = max(map(len, self.entries))
        return "\n".join(
            f"{name:{width}} = {_shown(entry.value)}  ({entry.source})"
            for name, entry in sorted(self.entries.items())
        )

    def source(self, name: str) -> str:
        """Where the value of a setting came from, in words."""
        return self.entries[name].source

    def set(self, name: str, value: object, source: str = "") -> None:
        """Only a `Config` can be changed, which is what `cfg` is while load_config() runs."""
        raise AttributeError(
            f"{name}: settings are set in load_config() or a configuration file, not while serving"
        )

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return iter(self.entries.items())


class Config(Settings):
    """Settings that are still being collected."""

    def set(self, name: str, value: object, source: str = "load_config()") -> None:
        """ConfigError: a name is no setting (an AttributeError too), or a value is not valid."""
        self.entries[name] = Entry(_parsed(name, value, source), source)

    def remark(self, line: str) -> None:
        """Something that is not wrong, but that the operator should know."""
        self.remarks += (line,)

    def freeze(self) -> Settings:
        """What has been collected, for good. ConfigError: as check()."""
        self.check()
        made = Settings(environ=self.env_orig)
        made.entries, made.files, made.remarks = self.entries, self.files, self.remarks
        return made


@functools.cache
def declared() -> dict[str, Setting[object]]:
    """All declarations by name, in the order they are declared, which is the help's order too."""
    return {
        name: item
        for table in Settings.__mro__
        if issubclass(table, Section)
        for name, item in vars(table).items()
        if isinstance(item, Setting)
    }


def _default(setting: Setting[object], environ: Mapping[str, str]) -> Entry:
    if setting.variable and (written := environ.get(setting.variable)):
        source = f"environment variable {setting.variable}"
        return Entry(_parsed(setting.name, setting.from_variable(written), source), source)
    return Entry(setting.parse(setting.default), "default")


def _parsed(name: str, value: object, source: str) -> object:
    try:
        setting = declared()[name]
    except KeyError:
        similar = nearest(name, declared())
        hint = "there is no such setting" + (f"; did you mean {similar!r}?" if similar else "")
        raise UnknownSettingError(name, value, source, hint) from None
    try:
        return setting.parse(value)
    except ValueError as error:
        if setting.repeats and isinstance(value, list) and len(value) == 1:
            value = value[0]
        raise ConfigError(name, value, source, str(error)) from error.__cause__


def _shown(value: object) -> str:
    """A value as gunicorn prints it."""
    if isinstance(value, tuple):
        return str(list(value))
    if callable(value):
        return f"<{getattr(value, '__qualname__', value)}()>"
    return str(value)


def _pairs(assignments: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (item.partition("=") for item in assignments)}
