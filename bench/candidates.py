"""Which servers are measured, at which version, started how.

A row is one way to run one server with one worker process. Flags are chosen in the server's favour where its
default would hold it back for a reason that is not its speed (a limit on connections, Nagle's algorithm);
each such choice says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a candidate is compared as."""

    SUBJECT = "subject"
    PEER = "peer"
    FLOOR = "floor"


@dataclass(frozen=True)
class Environment:
    """A virtual environment that one or more candidates run in.

    `requirements` are pinned; `needs` is said when they do not install. The environment of the working tree
    has `working_tree` set, the one that holds the compiled floors has `floors`.
    """

    name: str
    requirements: tuple[str, ...] = ()
    needs: str = ""
    working_tree: bool = False
    floors: bool = False


@dataclass(frozen=True)
class Candidate:
    """One server, one way to run it.

    `command` may use {bin} (the environment's scripts), {python}, {launch} (the launcher script), {app} and
    {port}. `any_port`: it takes port 0 and leaves the choice to the kernel. `cases` names the only cases it
    serves; empty means all of them.
    """

    name: str
    kind: Kind
    environment: str
    command: tuple[str, ...]
    any_port: bool
    note: str
    cases: frozenset[str] = frozenset()


# Installed in every environment, so that every server runs the same frameworks.
FRAMEWORKS = ("flask==3.1.3", "django==5.2.19")

ENVIRONMENTS = {
    row.name: row
    for row in (
        Environment("fastwsgi", working_tree=True),
        Environment("floor", floors=True, needs="a C compiler (cc) and the headers of this Python"),
        Environment("gunicorn", ("gunicorn==27.0.1",)),
        Environment("gunicorn-h1c", ("gunicorn==27.0.1", "gunicorn-h1c==0.6.9")),
        Environment("granian", ("granian==2.8.7",)),
        Environment("fastpysgi", ("fastpysgi==0.6",)),
        Environment("freastal", ("freastal==0.0.3",)),
        Environment("peregrine", ("peregrine-server==1.2.0",)),
        Environment("m0serve", ("m0serve==1.16.0",)),
        Environment("bjoern", ("bjoern==3.2.2",), needs="libev's headers: apt-get install libev-dev"),
        Environment("uwsgi", ("uWSGI==2.0.31",), needs="a C compiler and the headers of this Python"),
        Environment("waitress", ("waitress==3.0.2",)),
        Environment("cheroot", ("cheroot==11.1.2",)),
    )
}

_HOST = "127.0.0.1"
_GUNICORN = ("{bin}/gunicorn", "{app}", "--bind", _HOST + ":{port}", "--workers", "1")
_GTHREAD = ("--worker-class", "gthread", "--threads", "4")
_UWSGI = (
    *("{bin}/uwsgi", "--module", "{app}", "--processes", "1", "--master", "--need-app", "--die-on-term"),
    *("--disable-logging", "--listen", "1024"),
)

# What the floor reads no body for, and what it does not frame, is not measured on it.
_FLOOR_CASES = frozenset({"hello", "browser", "pipelined", "hello-512"})

CANDIDATES = (
    Candidate(
        "fastwsgi",
        Kind.SUBJECT,
        "fastwsgi",
        ("{bin}/fastwsgi", "{app}", "--bind", _HOST + ":{port}", "--workers", "1"),
        any_port=True,
        note="defaults",
    ),
    Candidate(
        "limit",
        Kind.FLOOR,
        "floor",
        ("{bin}/limit", "{port}"),
        any_port=True,
        note="C: finds the blank line, sends a fixed answer; what the kernel costs",
        cases=_FLOOR_CASES,
    ),
    Candidate(
        "limit-py",
        Kind.FLOOR,
        "floor",
        ("{python}", "{launch}", "limit_py", "{app}", "{port}"),
        any_port=True,
        note="limit plus an environ, the application's call, its head formatted; checks and keeps nothing",
        cases=_FLOOR_CASES | {"flask", "django"},
    ),
    Candidate(
        "gunicorn-sync",
        Kind.PEER,
        "gunicorn",
        (*_GUNICORN, "--http-parser", "python"),
        any_port=True,
        note="the sync worker closes after every answer",
    ),
    Candidate(
        "gunicorn-sync-h1c",
        Kind.PEER,
        "gunicorn-h1c",
        (*_GUNICORN, "--http-parser", "fast"),
        any_port=True,
        note="the same with the C parser gunicorn-h1c",
    ),
    Candidate(
        "gunicorn-gthread",
        Kind.PEER,
        "gunicorn",
        (*_GUNICORN, *_GTHREAD, "--http-parser", "python"),
        any_port=True,
        note="4 threads",
    ),
    Candidate(
        "gunicorn-gthread-h1c",
        Kind.PEER,
        "gunicorn-h1c",
        (*_GUNICORN, *_GTHREAD, "--http-parser", "fast"),
        any_port=True,
        note="4 threads, with the C parser gunicorn-h1c",
    ),
    Candidate(
        "granian",
        Kind.PEER,
        "granian",
        (
            *("{bin}/granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "1"),
            *("--blocking-threads", "1", "--host", _HOST, "--port", "{port}", "{app}"),
        ),
        any_port=False,
        note="HTTP/1 only, one blocking thread: one core is all it gets",
    ),
    Candidate(
        "fastpysgi",
        Kind.PEER,
        "fastpysgi",
        ("{python}", "{launch}", "fastpysgi", "{app}", "{port}"),
        any_port=False,
        note="tcp_nodelay on (its default leaves Nagle's algorithm on)",
    ),
    Candidate(
        "freastal",
        Kind.PEER,
        "freastal",
        ("{python}", "{launch}", "freastal", "{app}", "{port}"),
        any_port=True,
        note="defaults",
    ),
    Candidate(
        "peregrine",
        Kind.PEER,
        "peregrine",
        (
            *("{bin}/peregrine", "--protocol", "wsgi", "--workers", "1"),
            *("--host", _HOST, "--port", "{port}", "--python-path", ".", "{app}"),
        ),
        any_port=False,
        note="defaults",
    ),
    Candidate(
        "m0serve",
        Kind.PEER,
        "m0serve",
        (
            *("{bin}/m0serve", "--protocol", "wsgi", "--workers", "1", "--max-keepalive-requests", "0"),
            *("--host", _HOST, "--port", "{port}", "{app}"),
        ),
        any_port=False,
        note="keeps a connection for any number of requests (its default is 1000)",
    ),
    Candidate(
        "bjoern",
        Kind.PEER,
        "bjoern",
        ("{python}", "{launch}", "bjoern", "{app}", "{port}"),
        any_port=True,
        note="defaults",
    ),
    Candidate(
        "uwsgi-http11",
        Kind.PEER,
        "uwsgi",
        (*_UWSGI, "--http11-socket", _HOST + ":{port}", "--tcp-nodelay"),
        any_port=True,
        note="--http11-socket: no router, but a kept connection holds the worker",
    ),
    Candidate(
        "uwsgi-router",
        Kind.PEER,
        "uwsgi",
        (*_UWSGI, "--http", _HOST + ":{port}", "--http-keepalive", "--http-auto-chunked"),
        any_port=False,
        note="--http: its router process in front, on the same core",
    ),
    Candidate(
        "waitress",
        Kind.PEER,
        "waitress",
        ("{bin}/waitress-serve", "--listen=" + _HOST + ":{port}", "--connection-limit=1000", "{app}"),
        any_port=True,
        note="4 threads (its default), 1000 connections (its default of 100 is less than a case has)",
    ),
    Candidate(
        "cheroot",
        Kind.PEER,
        "cheroot",
        ("{python}", "{launch}", "cheroot", "{app}", "{port}"),
        any_port=True,
        note="10 threads (its default), backlog 1024, 1000 kept connections (its defaults: 5 and 10)",
    ),
)
