"""One line of the access log, in Python: gunicorn's atoms, and the JSON line.

The core writes the same lines (csrc/fw_access) where it can. These here are for what only Python has: a
format that names response headers or environ keys, a logger of the user's own, handlers of the logging
module. And they are what the tests hold the core's lines to.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

JSON = "json"
"""The name by which `access_log_format` asks for JSON lines."""

CLIENT_GONE = "499 Client Closed Request"
"""The status of a request whose client went away before it had the whole answer."""

REQUEST_LINE = "fastwsgi.request_line"
"""Environ key of a request line that was refused, since it is not three words."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SafeAtoms(dict[str, Any]):
    """The atoms of one request, escaped. What is not among them is '-'."""

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        super().__init__(
            (key, escaped(value) if isinstance(value, str) else value) for key, value in atoms.items()
        )

    def __getitem__(self, key: str) -> Any:
        return self.get(key.lower() if key.startswith("{") else key, "-")


def atoms(
    resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta, now: str
) -> dict[str, Any]:
    """Every atom that a format may name, with headers and environ keys in braces. `now` is the atom `t`."""
    microseconds = request_time // request_time.resolution
    status = resp.status
    made: dict[str, Any] = {
        "h": environ.get("REMOTE_ADDR") or "-",  # empty: a unix socket
        "l": "-",
        "u": user(environ) or "-",
        "t": now,
        "r": request_line(environ),
        "s": status.split(None, 1)[0] if isinstance(status, str) else status,
        "m": environ.get("REQUEST_METHOD", "-"),
        "U": environ.get("PATH_INFO", "-"),
        "q": environ.get("QUERY_STRING", "-"),
        "H": environ.get("SERVER_PROTOCOL", "-"),
        "b": str(resp.sent) if getattr(resp, "sent", None) is not None else "-",
        "B": getattr(resp, "sent", None),
        "f": environ.get("HTTP_REFERER", "-"),
        "a": environ.get("HTTP_USER_AGENT", "-"),
        "T": microseconds // 1_000_000,
        "D": microseconds,
        "M": microseconds // 1_000,
        "L": f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}",
        "p": f"<{os.getpid()}>",
    }
    made.update((f"{{{name}}}i", value) for name, value in joined(getattr(req, "headers", req)).items())
    made.update((f"{{{name}}}o", value) for name, value in joined(resp.headers).items())
    made.update((f"{{{name.lower()}}}e", value) for name, value in environ.items())
    return made


def joined(fields: Any) -> dict[str, str]:
    """Fields by their name in lower case; the values of repeated ones with a comma between them."""
    found: dict[str, str] = {}
    pairs: Iterable[tuple[str, str]] = fields.items() if hasattr(fields, "items") else fields
    for name, value in pairs:
        key = name.lower()
        found[key] = f"{found[key]},{value}" if key in found else value
    return found


def request_line(environ: Mapping[str, Any]) -> str:
    if "REQUEST_METHOD" not in environ:
        return environ.get(REQUEST_LINE) or "-"
    return f"{environ['REQUEST_METHOD']} {environ.get('RAW_URI', '-')} {environ.get('SERVER_PROTOCOL', '-')}"


def environ_of_line(line: str, address: str) -> dict[str, Any]:
    """What is known of a request of which there is only the first line, or the beginning of it."""
    environ: dict[str, Any] = {"REMOTE_ADDR": address, REQUEST_LINE: line}
    words = line.split(" ")
    if len(words) == 3 and all(words) and words[2].startswith("HTTP/"):
        path, _, query = words[1].partition("#")[0].partition("?")
        environ.update(
            REQUEST_METHOD=words[0],
            RAW_URI=words[1],
            PATH_INFO=path,
            QUERY_STRING=query,
            SERVER_PROTOCOL=words[2],
        )
    return environ


def user(environ: Mapping[str, Any]) -> str | None:
    """The user of HTTP Basic authentication (RFC 7617)."""
    scheme, _, credentials = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(credentials.strip(" \t"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded.partition(b":")[0].decode("latin-1") or None


def clock() -> str:
    """The time in the form of the common log format. Names of months do not follow the locale."""
    now = time.localtime()
    return time.strftime(f"[%d/{MONTHS[now.tm_mon - 1]}/%Y:%H:%M:%S %z]", now)


# escaping

HIDDEN = [*range(0x20), *range(0x7F, 0xA1), 0xAD]
"""Control characters, and those that look like nothing at all."""

ESCAPES = {chr(code): f"\\x{code:02x}" for code in HIDDEN} | {
    '"': '\\"',
    "\\": "\\\\",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}

ODD = re.compile(f"[{re.escape(''.join(ESCAPES))}]")


def escaped(value: str) -> str:
    """As it can stand between quotes on one line: a client must not be able to write lines of its own."""
    if value.isascii():
        if value.isprintable() and '"' not in value and "\\" not in value:
            return value
    else:
        value = decoded(value)
    return ODD.sub(lambda match: ESCAPES[match[0]], value)


def decoded(value: str) -> str:
    """Native strings are bytes in disguise (PEP 3333): mostly those of UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


# JSON


def json_line(resp: Any, environ: Mapping[str, Any], request_time: timedelta) -> str:
    """The line of `access_log_format = "json"`. docs/logs.md says what its keys mean."""
    now = time.time()
    local = time.localtime(now)
    zone = time.strftime("%z", local)
    target = environ.get("RAW_URI")
    record: dict[str, Any] = {
        "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(now % 1 * 1000):03d}{zone[:3]}:{zone[3:]}",
        "remote_addr": environ.get("REMOTE_ADDR") or None,
        "user": user(environ),
        "method": environ.get("REQUEST_METHOD"),
        "path": None if target is None else re.split("[?#]", target, maxsplit=1)[0],
        "query": environ.get("QUERY_STRING"),
        "protocol": environ.get("SERVER_PROTOCOL"),
        "status": int(str(resp.status)[:3]),
        "bytes": resp.sent,
        "duration_ms": 0,
        "host": environ.get("HTTP_HOST"),
        "referer": environ.get("HTTP_REFERER"),
        "user_agent": environ.get("HTTP_USER_AGENT"),
        "request_id": environ.get("HTTP_X_REQUEST_ID"),
        "pid": os.getpid(),
    }
    if "REQUEST_METHOD" not in environ and environ.get(REQUEST_LINE):
        record["request_line"] = environ[REQUEST_LINE]
    record = {key: decoded(value) if isinstance(value, str) else value for key, value in record.items()}
    microseconds = request_time // request_time.resolution
    duration = f"{microseconds // 1_000}.{microseconds % 1_000:03d}"
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    line = line.replace('"duration_ms":0', f'"duration_ms":{duration}', 1)
    return re.sub("[\x7f-\x9f\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", line)
