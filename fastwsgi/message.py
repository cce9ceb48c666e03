"""A request and its response as server hooks and loggers see them: gunicorn's attributes, made out of WSGI's.

They are made only where somebody asked for them. Both are the hook's to keep and to set attributes on:
nothing here belongs to the connection.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Fields that CGI keeps under names of their own.
UNPREFIXED = ("CONTENT_TYPE", "CONTENT_LENGTH")


class Request:
    """One request, from its environ as it is before the application has it."""

    trailers: Sequence[tuple[str, str]] = ()

    def __init__(self, environ: Mapping[str, Any]) -> None:
        # a copy: the application may change its environ, and does
        self._environ = dict(environ)

    @property
    def method(self) -> str:
        return self._text("REQUEST_METHOD")

    @property
    def uri(self) -> str:
        """The target as the client sent it."""
        return self._text("RAW_URI")

    @property
    def path(self) -> str:
        """The path of the target, still percent-encoded."""
        return self._target[0]

    @property
    def query(self) -> str:
        return self._target[1]

    @property
    def fragment(self) -> str:
        return self._target[2]

    @property
    def version(self) -> tuple[int, int]:
        major, _, minor = self._text("SERVER_PROTOCOL").removeprefix("HTTP/").partition(".")
        return int(major or 0), int(minor or 0)

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """(NAME-IN-CAPITALS, value) of each field; several of one name are one with commas."""
        found = []
        for key, value in self._environ.items():
            if key.startswith("HTTP_"):
                found.append((key[5:].replace("_", "-"), value))
            elif key in UNPREFIXED:
                found.append((key.replace("_", "-"), value))
        return found

    @property
    def body(self) -> Any:
        """wsgi.input: what is read from it, the application does not get."""
        return self._environ.get("wsgi.input")

    @property
    def scheme(self) -> str:
        return self._text("wsgi.url_scheme")

    @property
    def peer_addr(self) -> tuple[str, int] | str:
        """The client's address and port; empty for one on a unix socket."""
        address = self._text("REMOTE_ADDR")
        return (address, int(self._environ.get("REMOTE_PORT") or 0)) if address else ""

    @property
    def remote_addr(self) -> tuple[str, int] | str:
        return self.peer_addr

    @property
    def proxy_protocol_info(self) -> dict[str, Any] | None:
        """What the header of the PROXY protocol has said; None: there was none."""
        protocol = self._environ.get("PROXY_PROTOCOL")
        if protocol is None:
            return None
        named = "PROXY_ADDR" in self._environ
        return {
            "proxy_protocol": protocol,
            "client_addr": self._text("REMOTE_ADDR") if named else None,
            "client_port": int(self._environ.get("REMOTE_PORT") or 0) if named else None,
            "proxy_addr": self._text("PROXY_ADDR") if named else None,
            "proxy_port": int(self._text("PROXY_PORT")) if named else None,
        }

    def should_close(self) -> bool:
        """Does the client want no further request on this connection?"""
        wanted = {token.strip().lower() for token in self._text("HTTP_CONNECTION").split(",")}
        return "close" in wanted or (self.version <= (1, 0) and "keep-alive" not in wanted)

    @cached_property
    def _target(self) -> tuple[str, str, str]:
        uri = self.uri
        scheme, found, rest = uri.partition("://")
        if found and not uri.startswith("/") and "?" not in scheme:
            # the absolute form, which names the host as well
            begin = re.search("[/?#]", rest)
            uri = rest[begin.start() :] if begin else ""
        uri, _, fragment = uri.partition("#")
        path, _, query = uri.partition("?")
        return path, query, fragment

    def _text(self, key: str) -> str:
        return str(self._environ.get(key, ""))


class Response:
    """What a request was answered with. Without a status: the application gave none."""

    def __init__(
        self,
        status: str | None,
        headers: list[tuple[str, str]],
        *,
        sent: int,
        length: int | None,
        headers_sent: bool,
        closes: bool,
    ) -> None:
        self.status = status
        """With its reason, as in "200 OK"."""
        self.headers = headers
        """Those that the application gave."""
        self.sent = sent
        """Bytes of the body that were let through."""
        self.response_length = length
        """The body's length where it was known beforehand."""
        self.headers_sent = headers_sent
        self._closes = closes

    @property
    def status_code(self) -> int | None:
        return None if self.status is None else int(self.status[:3])

    def should_close(self) -> bool:
        """Is the connection closed behind it?"""
        return self._closes
