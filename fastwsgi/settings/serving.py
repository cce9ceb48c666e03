"""Settings: the configuration file, listening, workers, limits, debugging."""

from __future__ import annotations

from fastwsgi.settings.declaration import Section, Setting
from fastwsgi.settings.hooks import NO_DIRTY
from fastwsgi.settings.values import (
    addresses,
    boolean,
    choice,
    count,
    files,
    mode,
    optional_text,
    size,
    texts,
    threads,
    worker_class,
)

NO_ASGI = "fastwsgi serves WSGI applications only"

# Workers that a person coming from gunicorn may ask for, by a part of their name.
CONCURRENT_WORKERS = ("gevent", "eventlet", "tornado", "meinheld")
ASGI_WORKERS = ("asgi", "uvicorn")


def refuse_worker_class(name: str) -> str:
    if any(part in name.lower() for part in CONCURRENT_WORKERS):
        return (
            "fastwsgi has no such worker; use 'gthread' with `threads`: idle and slow connections hold none"
        )
    if any(part in name.lower() for part in ASGI_WORKERS):
        return f"{NO_ASGI}; use 'sync' for these"
    return "" if name in ("sync", "gthread") else "expected 'sync' or 'gthread'"


class ConfigFile(Section):
    section = "Config File"

    config = Setting(
        "-c",
        "--config",
        parse=optional_text,
        default="./fastwsgi.conf.py",
        metavar="FILE",
        help="The configuration file: PATH, file:PATH or python:MODULE.",
    )
    wsgi_app = Setting(
        parse=optional_text,
        default=None,
        help="The application, where no APP is given on the command line.",
    )


class ServerSocket(Section):
    section = "Server Socket"

    bind = Setting(
        "-b",
        "--bind",
        parse=addresses,
        default="127.0.0.1:8000",
        metavar="ADDRESS",
        action="append",
        variable="PORT",
        from_variable="0.0.0.0:{}".format,
        help="Where to listen: HOST, HOST:PORT, [IPV6]:PORT or unix:PATH. May be given several times. [::] "
        "is every address of the machine, IPv4 as well; beside IPv4 addresses with the same port, IPv6 only.",
    )
    backlog = Setting(
        "--backlog",
        parse=count,
        default=2048,
        metavar="COUNT",
        help="How many connections may wait to be accepted.",
    )


class WorkerProcesses(Section):
    section = "Worker Processes"

    workers = Setting(
        "-w",
        "--workers",
        parse=count,
        default=1,
        metavar="COUNT",
        variable="WEB_CONCURRENCY",
        help="How many worker processes handle requests.",
    )
    worker_class = Setting(
        "-k",
        "--worker-class",
        parse=worker_class,
        refuse=refuse_worker_class,
        default="sync",
        metavar="NAME",
        help="The kind of worker: sync, where one thread calls the application, or gthread, with --threads.",
    )
    threads = Setting(
        "--threads",
        parse=threads,
        default=1,
        metavar="COUNT",
        help="How many threads of one worker call the application; more than one: it is `gthread`.",
    )
    worker_connections = Setting(
        "--worker-connections",
        parse=count,
        default=1000,
        metavar="COUNT",
        help="How many clients one worker has connected at once.",
    )
    max_requests = Setting(
        "--max-requests",
        parse=count,
        default=0,
        metavar="COUNT",
        help="Replace a worker after this many requests; 0: never.",
    )
    max_requests_jitter = Setting(
        "--max-requests-jitter",
        parse=count,
        default=0,
        metavar="COUNT",
        help="Add up to this many requests, at random, so that workers are not replaced all at once.",
    )
    timeout = Setting(
        "-t",
        "--timeout",
        parse=count,
        default=30,
        metavar="SECONDS",
        help="Replace a worker that is in one request, or loads the application, for longer; 0: never.",
    )
    graceful_timeout = Setting(
        "--graceful-timeout",
        parse=count,
        default=30,
        metavar="SECONDS",
        help="How long a worker that was told to leave may take to finish its requests.",
    )
    keepalive = Setting(
        "--keep-alive",
        parse=count,
        default=75,
        metavar="SECONDS",
        help="How long an idle connection waits for its next request; 0: no connection is used twice.",
    )
    http_parser = Setting(
        "--http-parser",
        parse=choice("auto", "fast", "python"),
        default="auto",
        metavar="NAME",
        no_effect="there is one parser, in C",
        help="Which HTTP parser gunicorn would use.",
    )
    asgi_loop = Setting(
        "--asgi-loop",
        parse=choice("auto", "asyncio", "uvloop"),
        default="auto",
        metavar="NAME",
        no_effect=NO_ASGI,
        help="The event loop of ASGI workers.",
    )
    asgi_lifespan = Setting(
        "--asgi-lifespan",
        parse=choice("auto", "on", "off"),
        default="auto",
        metavar="MODE",
        no_effect=NO_ASGI,
        help="Whether ASGI applications are told of startup and shutdown.",
    )
    asgi_disconnect_grace_period = Setting(
        "--asgi-disconnect-grace-period",
        parse=count,
        default=3,
        metavar="SECONDS",
        no_effect=NO_ASGI,
        help="How long an ASGI application may go on after its client has left.",
    )
    websocket_max_message_size = Setting(
        "--websocket-max-message-size",
        parse=count,
        default=16 * 1024 * 1024,
        metavar="BYTES",
        no_effect=NO_ASGI,
        help="The longest WebSocket message.",
    )


class Security(Section):
    section = "Security"

    limit_request_line = Setting(
        "--limit-request-line",
        parse=count,
        default=4094,
        metavar="BYTES",
        help="The longest request line; 0: no limit of its own.",
    )
    limit_request_fields = Setting(
        "--limit-request-fields",
        parse=count,
        default=100,
        metavar="COUNT",
        help="The most header fields of one request.",
    )
    limit_request_field_size = Setting(
        "--limit-request-field_size",
        parse=count,
        default=8190,
        metavar="BYTES",
        help="The longest header field; 0: no limit of its own.",
    )
    limit_request_body = Setting(
        "--limit-request-body",
        parse=size,
        default=1024 * 1024 * 1024,
        metavar="BYTES",
        help="The longest request body; 0: no limit. gunicorn has none; here a body is kept on the disk "
        "until it is whole.",
    )


class Debugging(Section):
    section = "Debugging"

    reload = Setting(
        "--reload",
        parse=boolean,
        default=False,
        action="store_true",
        help="Restart workers when the application's code changes. For development.",
    )
    reload_engine = Setting(
        "--reload-engine",
        parse=choice("auto", "poll", "inotify", "watchfiles"),
        default="auto",
        metavar="NAME",
        help="How changes are noticed: auto, poll, or with the package watchfiles.",
    )
    reload_extra_files = Setting(
        "--reload-extra-file",
        parse=files,
        default=(),
        metavar="FILE",
        action="append",
        help="Watch this file, or the files of this pattern, too. May be given several times.",
    )
    spew = Setting(
        "--spew",
        parse=boolean,
        default=False,
        action="store_true",
        help="Print every line of Python that is executed. Very slow.",
    )
    check_config = Setting(
        "--check-config",
        parse=boolean,
        default=False,
        action="store_true",
        help="Read the settings, load the application, and exit: 0 if both are right.",
    )
    print_config = Setting(
        "--print-config",
        parse=boolean,
        default=False,
        action="store_true",
        help="Print every setting and where it comes from, then do as --check-config does.",
    )


class DirtyArbiters(Section):
    section = "Dirty Arbiters"

    dirty_apps = Setting(
        "--dirty-app",
        parse=texts,
        default=(),
        metavar="APP",
        action="append",
        no_effect=NO_DIRTY,
        help="An application for the pool of dirty workers.",
    )
    dirty_workers = Setting(
        "--dirty-workers",
        parse=count,
        default=0,
        metavar="COUNT",
        no_effect=NO_DIRTY,
        help="The size of that pool.",
    )
    dirty_timeout = Setting(
        "--dirty-timeout",
        parse=count,
        default=300,
        metavar="SECONDS",
        no_effect=NO_DIRTY,
        help="How long one of its tasks may take.",
    )
    dirty_threads = Setting(
        "--dirty-threads",
        parse=count,
        default=1,
        metavar="COUNT",
        no_effect=NO_DIRTY,
        help="How many threads one of its workers has.",
    )
    dirty_graceful_timeout = Setting(
        "--dirty-graceful-timeout",
        parse=count,
        default=30,
        metavar="SECONDS",
        no_effect=NO_DIRTY,
        help="How long its workers may take to finish.",
    )


class Control(Section):
    section = "Control"

    control_socket = Setting(
        "--control-socket",
        parse=optional_text,
        default=None,
        metavar="PATH",
        no_effect="there is no control socket",
        help="Where gunicorn's control socket would be.",
    )
    control_socket_mode = Setting(
        "--control-socket-mode",
        parse=mode,
        default="0600",
        metavar="MODE",
        no_effect="there is no control socket",
        help="Its permissions.",
    )
    control_socket_disable = Setting(
        "--no-control-socket",
        parse=boolean,
        default=False,
        action="store_true",
        help="Have no control socket. There never is one here.",
    )
