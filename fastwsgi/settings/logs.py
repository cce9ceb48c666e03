"""Settings: logs, metrics, names of processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastwsgi.errors import ConfigError
from fastwsgi.settings.declaration import Section, Setting
from fastwsgi.settings.values import (
    boolean,
    imported,
    mapping,
    optional_text,
    statsd_address,
    syslog_address,
    text,
    type_or_name,
)

if TYPE_CHECKING:
    from fastwsgi.settings import Settings

DEFAULT_LOGGER = "fastwsgi.log.Logger"
STATSD_LOGGER = "fastwsgi.statsd.Statsd"

# The same, by the names that configurations have for them.
LOGGER_ALIASES = {
    "simple": DEFAULT_LOGGER,
    "gunicorn.glogging.Logger": DEFAULT_LOGGER,
    "fastwsgi.glogging.Logger": DEFAULT_LOGGER,
    "gunicorn.instrument.statsd.Statsd": STATSD_LOGGER,
}


def logger_class(value: object) -> Any:
    written = type_or_name(value)
    return LOGGER_ALIASES.get(written, written) if isinstance(written, str) else written


def imported_logger(settings: Settings, written: Any) -> Any:
    """The class itself. ConfigError: it cannot be imported."""
    if written == DEFAULT_LOGGER and settings.statsd_host is not None:
        written = STATSD_LOGGER
    try:
        found = imported(written) if isinstance(written, str) else written
    except ValueError as error:
        raise ConfigError("logger_class", written, settings.source("logger_class"), str(error)) from error
    if hasattr(found, "install"):
        found.install()  # as gunicorn, which lets a logger prepare the logging module so
    return found


def process_name(settings: Settings, written: str | None) -> str | None:
    return settings.default_proc_name if written is None else written


class Logging(Section):
    section = "Logging"

    accesslog = Setting(
        "--access-logfile",
        parse=optional_text,
        default=None,
        metavar="FILE",
        help="Where a line for each request goes; '-': standard output.",
    )
    disable_redirect_access_to_syslog = Setting(
        "--disable-redirect-access-to-syslog",
        parse=boolean,
        default=False,
        action="store_true",
        help="Send no access lines to syslog.",
    )
    access_log_format = Setting(
        "--access-logformat",
        parse=text,
        default='%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        metavar="FORMAT",
        help="What such a line says.",
    )
    errorlog = Setting(
        "--error-logfile",
        "--log-file",
        parse=optional_text,
        default="-",
        metavar="FILE",
        help="Where the server's own messages go; '-': standard error.",
    )
    loglevel = Setting(
        "--log-level",
        parse=text,
        default="info",
        metavar="LEVEL",
        help="The least severe message that is logged: debug, info, warning, error or critical.",
    )
    capture_output = Setting(
        "--capture-output",
        parse=boolean,
        default=False,
        action="store_true",
        help="Send standard output and standard error to the file of --error-logfile.",
    )
    logger_class = Setting(
        "--logger-class",
        parse=logger_class,
        default=DEFAULT_LOGGER,
        metavar="NAME",
        derive=imported_logger,
        help="The class that writes the logs, by its dotted name.",
    )
    logconfig = Setting(
        "--log-config",
        parse=optional_text,
        default=None,
        metavar="FILE",
        help="Configure logging from this file, as logging.config.fileConfig reads it.",
    )
    logconfig_dict = Setting(
        parse=mapping,
        default={},
        help="Configure logging from this dict, as logging.config.dictConfig reads it.",
    )
    logconfig_json = Setting(
        "--log-config-json",
        parse=optional_text,
        default=None,
        metavar="FILE",
        help="Configure logging from this file, which has such a dict as JSON.",
    )
    syslog_addr = Setting(
        "--log-syslog-to",
        parse=syslog_address,
        default="udp://localhost:514",
        metavar="ADDRESS",
        help="Where syslog is: unix://PATH#dgram, unix://PATH#stream, udp://HOST:PORT or tcp://HOST:PORT.",
    )
    syslog = Setting(
        "--log-syslog",
        parse=boolean,
        default=False,
        action="store_true",
        help="Send the logs to syslog.",
    )
    syslog_prefix = Setting(
        "--log-syslog-prefix",
        parse=optional_text,
        default=None,
        metavar="NAME",
        help="The program's name in syslog, where it shall not be the process name.",
    )
    syslog_facility = Setting(
        "--log-syslog-facility",
        parse=text,
        default="user",
        metavar="NAME",
        help="The facility in syslog.",
    )
    enable_stdio_inheritance = Setting(
        "-R",
        "--enable-stdio-inheritance",
        parse=boolean,
        default=False,
        action="store_true",
        help="Keep standard output and standard error with --daemon.",
    )
    statsd_host = Setting(
        "--statsd-host",
        parse=statsd_address,
        default=None,
        metavar="ADDRESS",
        help="Send metrics to the statsd server at HOST:PORT or unix://PATH.",
    )
    dogstatsd_tags = Setting(
        "--dogstatsd-tags",
        parse=text,
        default="",
        metavar="TAGS",
        help="Tags for every metric, with commas between them.",
    )
    statsd_prefix = Setting(
        "--statsd-prefix",
        parse=text,
        default="",
        metavar="PREFIX",
        help="What the name of every metric begins with.",
    )
    enable_backlog_metric = Setting(
        "--enable-backlog-metric",
        parse=boolean,
        default=False,
        action="store_true",
        help="Send to statsd, once a second, how many connections wait to be accepted.",
    )


class ProcessNaming(Section):
    section = "Process Naming"

    proc_name = Setting(
        "-n",
        "--name",
        parse=optional_text,
        default=None,
        metavar="NAME",
        derive=process_name,
        help="What the processes are called in ps and top. Needs the package setproctitle.",
    )
    default_proc_name = Setting(
        parse=text,
        default="fastwsgi",
        help="What they are called where there is no --name: the application's specification, usually.",
    )
