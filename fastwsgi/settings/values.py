"""What the value of a setting may be: from what was written to it, or ValueError with what would be right.

What was written is text from a command line or any Python object from a configuration file. Modules that only
some values need are imported late: `--help` needs none of them.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastwsgi.proxies import ForwardedFor

# What fits wherever a number is handed on to: to C, to the kernel.
MOST = 2**31 - 1
MOST_BYTES = 2**63 - 1


def anything(value: object) -> object:
    return value


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value.strip()


def optional_text(value: object) -> str | None:
    return None if value is None else text(value)


def boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value is None:
        return False
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError("expected True or False")


def count(value: object) -> int:
    """A whole number from 0 up; as text also hexadecimal, octal and binary with their prefixes."""
    return whole(value, MOST)


def size(value: object) -> int:
    """A number of bytes, written as a count, which may be that of a large file."""
    return whole(value, MOST_BYTES)


def whole(value: object, most: int) -> int:
    expected = "expected a whole number, 0 or more"
    if isinstance(value, str):
        try:
            value = int(value, 0 if value.strip().lower().startswith(("0x", "0o", "0b")) else 10)
        except ValueError:
            raise ValueError(expected) from None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(expected)
    if value > most:
        raise ValueError(f"expected a whole number, at most {most}")
    return int(value)


def mode(value: object) -> int:
    """Permission bits: text with a leading zero is octal, as it is for chmod."""
    if isinstance(value, str) and value.strip().startswith("0") and value.strip().isdigit():
        try:
            return int(value, 8)
        except ValueError:
            raise ValueError("expected an octal number") from None
    return count(value)


def between(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = count(value)
        if not least <= number <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return number

    return parse


def choice(*names: str) -> Callable[[object], str]:
    """One of `names`, which is also what no value (None) means if it stands first."""

    def parse(value: object) -> str:
        name = names[0] if value is None else text(value).lower()
        if name not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return name

    return parse


def texts(value: object) -> tuple[str, ...]:
    """Several texts, or a single one on its own."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (text(value),)
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected a list of texts")
    return tuple(text(item) for item in value)


def listed(value: object) -> tuple[str, ...]:
    """Several texts: a list, or one text with commas between them."""
    if isinstance(value, str):
        value = value.split(",")
    return tuple(item for item in texts(value) if item)


def paths(value: object) -> tuple[str, ...]:
    """Paths as they stand in requests."""
    found = texts(value)
    for item in found:
        if not item.startswith("/") or re.search(r"[^!-~]|[?#]", item):
            raise ValueError(
                "expected paths as they stand in requests: they begin with '/', what is not ASCII is escaped"
            )
    return found


def networks(value: object) -> tuple[str, ...]:
    """IP addresses and networks, or '*' for every one."""
    import ipaddress

    found = listed(value)
    for item in found:
        try:
            if item != "*":
                ipaddress.ip_network(item)
        except ValueError as error:
            raise ValueError(f"expected IP addresses, networks or '*': {error}") from None
    return found


def addresses(value: object) -> tuple[str, ...]:
    from fastwsgi.sockets import parse_address

    found = texts(value)
    if not found:
        raise ValueError("expected at least one address")
    for item in found:
        parse_address(item)
    return found


def statsd_address(value: object) -> tuple[str, int] | str | None:
    """HOST:PORT, or the path of a unix socket as text."""
    from fastwsgi.sockets import TCPAddress, UnixAddress, parse_address

    written = optional_text(value)
    if written is None:
        return None
    host, colon, port = written.partition(":")
    if host == "unix" and port.isdigit():
        # a host of that name: older versions of gunicorn read it so, and this one does again
        return host, int(port)
    if not colon or written.endswith("]"):
        written += ":8125"
    address = parse_address(written)
    if isinstance(address, UnixAddress):
        return address.path
    if not isinstance(address, TCPAddress):
        raise ValueError("expected HOST:PORT or unix:PATH")
    return address.host, address.port


def syslog_address(value: object) -> str:
    written = text(value)
    if not written.startswith(("unix://", "udp://", "tcp://")):
        raise ValueError("expected unix://PATH, udp://HOST:PORT or tcp://HOST:PORT")
    return written


def assignments(value: object) -> tuple[str, ...]:
    found = texts(value)
    for item in found:
        if "=" not in item or item.startswith("="):
            raise ValueError("expected NAME=VALUE")
    return found


def mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("expected a dict")
    return dict(value)


def files(value: object) -> tuple[str, ...]:
    """Paths of existing files, and patterns, which need not match anything yet: absolute, as `directory`."""
    found = texts(value)
    for item in found:
        if not any(sign in item for sign in "*?[") and not os.path.exists(item):
            raise ValueError(f"expected files that exist: {item!r} does not")
    here = typed_directory() if found else ""
    return tuple(os.path.join(here, item) for item in found)


def directory(value: object) -> str:
    """An existing directory, made absolute from where the server was started."""
    path = os.path.normpath(os.path.join(typed_directory(), text(value)))
    if not os.path.isdir(path):
        raise ValueError("expected the path of a directory that exists")
    return path


def writable_directory(value: object) -> str | None:
    """A directory, as above, that files can be made in."""
    if value is None:
        return None
    path = directory(value)
    if not is_writable(path):
        raise ValueError("expected a directory that is writable")
    return path


def is_writable(directory: str) -> bool:
    """May files be made there, by who runs this? Whether there is space for them is another question."""
    return os.access(directory, os.W_OK | os.X_OK)


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


def user(value: object) -> int:
    """The number of a user; None: the one who runs this."""
    if value is None:
        return os.geteuid()
    if isinstance(value, int) or text(value).isdigit():
        return count(value)
    import pwd

    try:
        return pwd.getpwnam(text(value)).pw_uid
    except KeyError:
        raise ValueError("expected a user's name or number: there is no such user") from None


def group(value: object) -> int:
    """The number of a group; None: the one of who runs this."""
    if value is None:
        return os.getegid()
    if isinstance(value, int) or text(value).isdigit():
        return count(value)
    import grp

    try:
        return grp.getgrnam(text(value)).gr_gid
    except KeyError:
        raise ValueError("expected a group's name or number: there is no such group") from None


# The workers, by the names that configurations have for them.
SYNC_WORKERS = (
    "sync",
    "SyncWorker",
    "egg:gunicorn#sync",
    "gunicorn.workers.sync.SyncWorker",
    "fastwsgi.workers.sync.SyncWorker",
)


THREADED_WORKERS = (
    "gthread",
    "threaded",
    "ThreadWorker",
    "ThreadedWorker",
    "egg:gunicorn#gthread",
    "gunicorn.workers.gthread.ThreadWorker",
    "fastwsgi.workers.threaded.ThreadedWorker",
)


def worker_class(value: object) -> str:
    name = value.__name__ if isinstance(value, type) else text(value)
    if name in THREADED_WORKERS:
        return "gthread"
    return "sync" if name in SYNC_WORKERS else name


MOST_THREADS = 1024


def threads(value: object) -> int:
    number = count(value)
    if not 0 < number <= MOST_THREADS:
        raise ValueError(f"expected 1 to {MOST_THREADS}")
    return number


def proxy_protocol(value: object) -> str:
    if isinstance(value, bool) or value is None:
        value = "auto" if value else "off"
    modes = {
        **dict.fromkeys(("off", "false", "0", "none"), "off"),
        **dict.fromkeys(("auto", "true", "1"), "auto"),
        "v1": "v1",
        "v2": "v2",
    }
    try:
        return modes[text(value).lower()]
    except KeyError:
        raise ValueError("expected off, v1, v2 or auto") from None


def forwarded_for(value: object) -> ForwardedFor | None:
    """Which field of a trusted proxy names the client: NAME, NAME:HOPS, or HOPS of X-Forwarded-For alone."""
    from fastwsgi.proxies import MOST_HOPS, ForwardedFor

    expected = (
        f"expected off, x-forwarded-for or forwarded, the latter two perhaps with a number of proxies "
        f"from 1 to {MOST_HOPS}: x-forwarded-for:2"
    )
    if value is None or value is False:
        return None
    if isinstance(value, ForwardedFor):
        return value
    written = str(value).strip().lower() if type(value) is int else text(value).lower()
    if written in ("off", "", "0", "none", "false"):
        return None
    if written.isdecimal():
        written = f"x-forwarded-for:{written}"
    name, colon, hops = written.partition(":")
    if name not in ("x-forwarded-for", "forwarded"):
        raise ValueError(expected)
    if not colon:
        return ForwardedFor(name)
    if not (hops.isascii() and hops.isdecimal() and 1 <= int(hops) <= MOST_HOPS):
        raise ValueError(expected)
    return ForwardedFor(name, int(hops))


def field_names(value: object) -> tuple[str, ...]:
    """Names of header fields, or '*' for all."""
    from fastwsgi.proxies import LONGEST_TEXT, MOST_NAMES

    found = listed(value)
    if len(found) > MOST_NAMES:
        raise ValueError(f"expected at most {MOST_NAMES} names")
    for item in found:
        if not (item.isascii() and 0 < len(item) <= LONGEST_TEXT):
            raise ValueError(f"expected names of header fields: {item!r} is none")
    return found


def scheme_headers(value: object) -> dict[str, str]:
    """Names of header fields and the value of each that means https."""
    from fastwsgi.proxies import LONGEST_TEXT

    found = mapping(value)
    for name, meaning in found.items():
        for item in (name, meaning):
            if not (isinstance(item, str) and item.isascii() and len(item) <= LONGEST_TEXT):
                raise ValueError(
                    "expected a dict of header fields and the value of each that means https, all of it "
                    f"text: {item!r} cannot be sent"
                )
        if not name:
            raise ValueError("expected a dict of header fields and values: '' is no name of a field")
    return found


def http_protocols(value: object) -> tuple[str, ...]:
    """The protocols to offer, the preferred one first."""
    found = tuple(item.lower() for item in listed(optional_text(value))) or ("h1",)
    if not set(found) <= {"h1", "h2"} or len(found) != len(set(found)):
        raise ValueError("expected h1, h2 or both with a comma between them")
    return found


def http2_cleartext(value: object) -> str:
    if isinstance(value, bool) or value is None:
        value = "prior-knowledge" if value else "off"
    return choice("off", "prior-knowledge", "upgrade", "both")(value)


def imported(name: str) -> object:
    """What a dotted name leads to."""
    import importlib

    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError(f"expected a dotted name: {name!r} is none")
    try:
        found: object = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name!r} cannot be imported: {error}") from error
    return found


def type_or_name(value: object) -> type | str:
    """A class, a function that returns one, or the dotted name of one."""
    if callable(value) and not isinstance(value, type):
        value = value()
    return value if isinstance(value, type) else text(value)
