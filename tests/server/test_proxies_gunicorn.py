"""The installed gunicorn and this server behind the same proxy: the application is told the same."""

import json
import shutil
import sys
from collections.abc import Iterator

import pytest

from .client import Response, request
from .process import APPS, Server, Start
from .test_proxies import STRANGER, TRUSTED, addresses, block, connect, line

# What is compared; gunicorn does not say which port it is by the same key on all ways.
KEYS = (
    "wsgi.url_scheme",
    "SCRIPT_NAME",
    "PATH_INFO",
    "REMOTE_ADDR",
    "PROXY_PROTOCOL",
    "PROXY_ADDR",
    "PROXY_PORT",
)

V2 = block(1, 0x11, addresses("192.0.2.1", 4711, "198.51.100.7", 443))
V2_6 = block(1, 0x21, addresses("2001:db8::1", 4711, "2001:db8::2", 443) + b"\x04\0\0")

SETTINGS = {
    "default": [],
    "everybody": ["--forwarded-allow-ips", "*"],
    "networks": ["--forwarded-allow-ips", "127.0.0.2/31,::1"],
    "names": ["--forwarder-headers", "REMOTE_USER,X_THING"],
    "all names": ["--forwarder-headers", "*"],
    "refuse": ["--header-map", "refuse"],
    "dangerous": ["--header-map", "dangerous"],
    "proxy": ["--proxy-protocol", "auto"],
    "proxy 1": ["--proxy-protocol", "v1"],
    "proxy for all": ["--proxy-protocol", "v2", "--proxy-allow-from", "*"],
}

REQUESTS: dict[str, tuple[bytes, str, list[tuple[str, str]]]] = {
    "plain": (b"", "/x", []),
    "https": (b"", "/x", [("X-Forwarded-Proto", "https")]),
    "https, twice": (b"", "/x", [("X-Forwarded-Proto", "https"), ("X-Forwarded-SSL", "on")]),
    "http": (b"", "/x", [("X-Forwarded-Proto", "http"), ("X-Forwarded-Ssl", "off")]),
    "an odd value": (b"", "/x", [("X-Forwarded-Proto", "https,http")]),
    "a contradiction": (b"", "/x", [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")]),
    "mounted": (b"", "/app/x%20y", [("SCRIPT_NAME", "/app")]),
    "mounted in a word": (b"", "/apples", [("SCRIPT_NAME", "/app")]),
    "mounted twice": (b"", "/app/x", [("SCRIPT_NAME", "/other"), ("SCRIPT_NAME", "/app")]),
    "mounted elsewhere": (b"", "/x", [("SCRIPT_NAME", "/app")]),
    "mounted nowhere": (b"", "/x", [("SCRIPT_NAME", "")]),
    "a name": (b"", "/x", [("X_Thing", "1"), ("X_Other", "2"), ("X-Forwarded-Proto", "https")]),
    "path": (b"", "/x", [("PATH_INFO", "/evil")]),
    "x-forwarded-for": (b"", "/x", [("X-Forwarded-For", "192.0.2.1")]),
    "version 1": (line(), "/x", []),
    "version 1 of 6": (line("2001:db8::1", 80, "::1"), "/x", [("X-Forwarded-Proto", "https")]),
    "version 2": (V2, "/x", []),
    "version 2 of 6": (V2_6, "/x", [("X-Forwarded-Proto", "https")]),
    "version 1, malformed": (b"PROXY TCP4 192.0.2.1 198.51.100.7 80\r\n", "/x", []),
    "version 1, no port": (b"PROXY TCP4 192.0.2.1 198.51.100.7 80 65536\r\n", "/x", []),
}


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """gunicorn(*flags): a server of its own kind, started once for each set of flags."""
    pool: dict[tuple[str, ...], Server] = {}

    def get(*flags: str) -> Server:
        if flags not in pool:
            command = [sys.executable, "-m", "gunicorn", "show_environ", "--bind", "127.0.0.1:0"]
            directory = tmp_path_factory.mktemp("gunicorn")
            shutil.copy(APPS / "show_environ.py", directory)
            pool[flags] = Server([*command, "--no-control-socket", *flags], directory)
            assert pool[flags].addresses
        return pool[flags]

    yield get
    for server in pool.values():
        server.kill()


def told(server: Server, source: str, before: bytes, target: str, fields: list[tuple[str, str]]) -> object:
    """What of the request counts here: the status, or what the application is told."""
    with connect(server, source) as client:
        client.send(before + request("GET", target, ("Connection", "close"), *fields))
        response: Response = client.response()
    if response.status != 200:
        return response.status
    environ = {key: value for key, (_, value) in json.loads(response.body).items()}
    names = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
    return {key: environ.get(key) for key in KEYS} | names


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("flags", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_application_is_told_the_same(
    servers: Start, gunicorn: Start, flags: list[str], what: str
) -> None:
    for source in (TRUSTED, STRANGER):
        theirs = told(gunicorn(*flags), source, *REQUESTS[what])
        ours = told(servers("show_environ", *flags), source, *REQUESTS[what])
        if "dangerous" in flags and source == STRANGER and what.startswith("mounted"):
            # there anybody may say where the application is mounted; here nobody but a trusted proxy
            assert isinstance(ours, dict)
            assert (ours["SCRIPT_NAME"], ours["HTTP_SCRIPT_NAME"]) == ("", mounts(REQUESTS[what][2]))
        else:
            assert ours == theirs, source


def mounts(fields: list[tuple[str, str]]) -> str:
    return ",".join(value for name, value in fields if name == "SCRIPT_NAME")
