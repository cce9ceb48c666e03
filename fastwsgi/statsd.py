"""Metrics for a statsd server: a logger that counts what it is told, chosen when `statsd_host` is set.

Names and forms are gunicorn's, since dashboards are made of them. One datagram a metric: there are servers
that read only the first line of one.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastwsgi.log import Logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastwsgi.settings import Settings

MILLISECOND = timedelta(milliseconds=1)


class Statsd(Logger):
    """Logs as Logger does, and sends metrics.

    Any call with extra={"metric": NAME, "value": NUMBER, "mtype": KIND} sends one; KIND is "gauge",
    "counter", "histogram" or "timer". Where `msg` is empty nothing is logged. A metric that cannot be sent at
    once is lost: the server neither waits nor fails for it.
    """

    # before there is anything to send with, there is something to log
    sock: socket.socket | None = None
    server: tuple[object, ...] | str = ""
    prefix = ""
    dogstatsd_tags = ""

    def setup(self, cfg: Settings) -> None:
        super().setup(cfg)
        self.prefix = f"{cfg.statsd_prefix.rstrip('.')}." if cfg.statsd_prefix else ""
        self.dogstatsd_tags = cfg.dogstatsd_tags
        self._hang_up()
        if cfg.statsd_host is None:
            return
        try:
            self.sock, self.server = _open(cfg.statsd_host)
        except OSError as error:
            self.warning("No metrics are sent: statsd_host %s: %s", cfg.statsd_host, error)

    def close(self) -> None:
        super().close()
        self._hang_up()

    def _hang_up(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def critical(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().critical(msg, *args, **_from_caller(kwargs))
        self.increment("gunicorn.log.critical", 1)

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().error(msg, *args, **_from_caller(kwargs))
        self.increment("gunicorn.log.error", 1)

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().warning(msg, *args, **_from_caller(kwargs))
        self.increment("gunicorn.log.warning", 1)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().exception(msg, *args, **_from_caller(kwargs))
        self.increment("gunicorn.log.exception", 1)

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.INFO, msg, *args, **_from_caller(kwargs))

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.DEBUG, msg, *args, **_from_caller(kwargs))

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        extra = kwargs.get("extra")
        if isinstance(extra, dict):
            self._measure(extra.get("metric"), extra.get("value"), extra.get("mtype"))
        if msg:
            super().log(lvl, msg, *args, **_from_caller(kwargs))

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        super().access(resp, req, environ, request_time)
        self.timer("gunicorn.request.duration", request_time / MILLISECOND)
        self.increment("gunicorn.requests", 1)
        self.increment(f"gunicorn.request.status.{resp.status_code}", 1)

    def gauge(self, name: str, value: object) -> None:
        self._send(f"{name}:{value}|g")

    def increment(self, name: str, value: object, sampling_rate: float = 1.0) -> None:
        self._send(f"{name}:{value}|c|@{sampling_rate}")

    def decrement(self, name: str, value: object, sampling_rate: float = 1.0) -> None:
        self._send(f"{name}:-{value}|c|@{sampling_rate}")

    def timer(self, name: str, value: object) -> None:
        """`value` is in milliseconds."""
        self._send(f"{name}:{value}|ms")

    def histogram(self, name: str, value: object) -> None:
        self._send(f"{name}:{value}|h")

    def _measure(self, name: object, value: object, kind: object) -> None:
        if not name or value is None:
            return
        if kind == "gauge":
            self.gauge(str(name), value)
        elif kind == "counter":
            self.increment(str(name), value)
        elif kind == "histogram":
            self.histogram(str(name), value)
        elif kind == "timer":
            self.timer(str(name), value)

    def _send(self, metric: str) -> None:
        if self.sock is None:
            return
        tags = f"|#{self.dogstatsd_tags}" if self.dogstatsd_tags else ""
        # nobody may be listening, or not fast enough
        with contextlib.suppress(OSError):
            self.sock.sendto(f"{self.prefix}{metric}{tags}".encode(), self.server)


def _from_caller(kwargs: dict[str, Any]) -> dict[str, Any]:
    """So that %(funcName)s is not ours."""
    return {**kwargs, "stacklevel": kwargs.get("stacklevel", 1) + 1}


def _open(address: tuple[str, int] | str) -> tuple[socket.socket, tuple[object, ...] | str]:
    """A socket that never blocks, and where to send with it.

    It is not connected: a server that is started later, or anew, gets what is sent from then on.
    """
    server: tuple[object, ...] | str
    if isinstance(address, str):
        family, server = socket.AF_UNIX, address
    else:
        family, _, _, _, server = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    return sock, server
