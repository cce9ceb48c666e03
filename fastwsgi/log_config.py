"""What an operator configures of Python's logging: syslog, and logconfig in its three forms."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import socket
from logging.handlers import SysLogHandler
from typing import TYPE_CHECKING, Any

from fastwsgi.errors import ConfigError

if TYPE_CHECKING:
    from fastwsgi.settings import Settings

ERROR_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
ERROR_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
SYSLOG_FORMAT = "[%(process)d] %(message)s"

CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": True,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": True,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {"format": ERROR_FORMAT, "datefmt": ERROR_DATE_FORMAT, "class": "logging.Formatter"},
    },
}
"""What the keys of logconfig_dict and logconfig_json stand beside: each replaces the one here whole."""


def shared_logger(kind: str) -> logging.Logger:
    """The logger fastwsgi.KIND, which is gunicorn.KIND as well.

    Configurations and applications know the loggers by gunicorn's names. Were there two of each, one of them
    would have the handlers, the other one the messages.
    """
    ours = logging.getLogger(f"fastwsgi.{kind}")
    by_name = logging.root.manager.loggerDict
    for name, logger in (("gunicorn", logging.getLogger("fastwsgi")), (f"gunicorn.{kind}", ours)):
        theirs = by_name.get(name)
        if isinstance(theirs, logging.Logger) and theirs is not logger:
            # somebody holds it already, and what is said to it has to come out somewhere
            theirs.parent = logger
            theirs.propagate = True
        by_name[name] = logger
    return ours


def configure(settings: Settings) -> bool:
    """Apply the first that is set of logconfig_dict, logconfig_json and logconfig. ConfigError names it.

    False: none is set.
    """
    if settings.logconfig_dict:
        _apply_dict(settings, "logconfig_dict", settings.logconfig_dict)
    elif settings.logconfig_json:
        _apply_dict(settings, "logconfig_json", _read_json(settings, settings.logconfig_json))
    elif settings.logconfig:
        _apply_file(settings, settings.logconfig)
    else:
        return False
    return True


def is_configured(settings: Settings) -> bool:
    return bool(settings.logconfig_dict or settings.logconfig_json or settings.logconfig)


def _apply_dict(settings: Settings, name: str, given: dict[str, Any]) -> None:
    config = CONFIG_DEFAULTS | given
    if "root" not in given and "loggers" not in given:
        # both are the defaults, and a line would come out of each
        config["loggers"] = {key: {**each, "propagate": False} for key, each in config["loggers"].items()}
    try:
        logging.config.dictConfig(config)
    except (ValueError, TypeError, AttributeError, ImportError, KeyError, OSError) as error:
        raise _refused(settings, name, _reason(error)) from None


def _read_json(settings: Settings, path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise _refused(settings, "logconfig_json", f"it cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _refused(settings, "logconfig_json", f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _refused(settings, "logconfig_json", "it is not a JSON object")
    return found


def _apply_file(settings: Settings, path: str) -> None:
    if not os.path.exists(path):
        raise _refused(settings, "logconfig", "there is no such file")
    here = {"__file__": path, "here": os.path.dirname(path)}
    defaults = {key: value.replace("%", "%%") for key, value in here.items()}
    try:
        logging.config.fileConfig(path, defaults=defaults, disable_existing_loggers=False)
    except Exception as error:  # the file names classes, and has expressions that are evaluated
        raise _refused(settings, "logconfig", _reason(error)) from None


def _reason(error: BaseException) -> str:
    """dictConfig says where, and has for its cause what."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    cause = error.__cause__ or error.__context__
    text = str(error) or type(error).__name__
    return f"{text}: {cause}" if cause is not None and str(cause) not in text else text


def _refused(settings: Settings, name: str, expected: str) -> ConfigError:
    value = dict(settings)[name].value
    return ConfigError(name, value, settings.source(name), expected)


# syslog


def syslog_handler(settings: Settings, kind: str, text: str) -> SysLogHandler:
    """A handler that sends messages, formatted as `text`, as fastwsgi.PREFIX.KIND.

    ConfigError: there is no such facility, or nobody at the address.
    """
    facility = settings.syslog_facility.lower()
    if facility not in SysLogHandler.facility_names:
        known = ", ".join(SysLogHandler.facility_names)
        raise _refused(settings, "syslog_facility", f"expected one of {known}")
    try:
        socktype, address = syslog_address(settings.syslog_addr)
        handler = SysLogHandler(address, SysLogHandler.facility_names[facility], socktype)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _refused(settings, "syslog_addr", f"it cannot be reached: {reason}") from None
    prefix = settings.syslog_prefix or (settings.proc_name or "fastwsgi").replace(":", ".")
    tag = f"fastwsgi.{prefix}.{kind}".replace("%", "%%")
    handler.setFormatter(logging.Formatter(f"{tag}: {text}"))
    return handler


def syslog_address(text: str) -> tuple[socket.SocketKind | None, str | tuple[str, int]]:
    """unix://PATH[#dgram|#stream], udp://HOST[:PORT], tcp://HOST[:PORT]. ValueError: it is none of these."""
    scheme, _, rest = text.partition("://")
    if scheme == "unix":
        path, _, kind = rest.partition("#")
        if kind not in ("", "dgram", "stream"):
            raise ValueError(f"{kind!r} is neither dgram nor stream")
        # without a kind SysLogHandler tries both
        kinds = {"dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}
        return kinds.get(kind), path
    if scheme not in ("udp", "tcp"):
        raise ValueError(f"{text!r} is not unix://, udp:// or tcp://")
    host, port = rest, "514"
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        port = tail.removeprefix(":") or port
    elif ":" in rest:
        host, _, port = rest.rpartition(":")
    return socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM, (host or "localhost", int(port))
