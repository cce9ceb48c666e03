"""What can be wrong before a request is served, and the exit codes that say so (they are gunicorn's)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_CONFIG = 1
"""A setting is wrong, or an address cannot be listened on."""
EXIT_BOOT = 3
"""The first workers could not boot: importing the application failed."""
EXIT_APP = 4
"""The module was imported, but what the specification names in it is no WSGI application."""
EXIT_INTERNAL = 255
"""The arbiter itself failed."""


class ConfigError(Exception):
    """The operator's mistake: which setting, which value, where it was written, and what would be right."""

    def __init__(self, setting: str, value: object, source: str, expected: str) -> None:
        super().__init__(f"{setting} = {value!r} ({source}) is not valid: {expected}")
        self.setting = setting
        self.value = value
        self.source = source
        self.expected = expected


class UnknownSettingError(ConfigError, AttributeError):
    """There is no setting of that name. An AttributeError too, as programs expect from `cfg.set`."""


class ConfigFileError(ConfigError):
    """A configuration file that cannot be read or executed. The message has the file's own traceback."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__("config", path, "", reason)
        self.args = (f"the configuration file {path} cannot be used: {reason}",)


class UsageError(ConfigError):
    """Arguments that cannot be understood: not about one setting's value."""

    def __init__(self, message: str) -> None:
        super().__init__("", None, "", message)
        self.args = (message,)


class StartError(Exception):
    """The server cannot run where, or as whom, it was told to. The message is one line that says why."""


class ListenError(StartError):
    """An address cannot be listened on. The message names it and says why."""


class AppNotFoundError(Exception):
    """The specification of the application leads nowhere. The message is one line, with the nearest name."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that was probably meant by `name`."""
    import difflib  # late: most runs make no mistake

    return next(iter(difflib.get_close_matches(name, names, 1)), None)
