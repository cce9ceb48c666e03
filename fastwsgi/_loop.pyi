"""A worker's turn: step the core's loop without the GIL, serve with it what has become ready."""

import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TextIO
from wsgiref.types import WSGIApplication

from fastwsgi._board import Board
from fastwsgi.message import Request, Response
from fastwsgi.proxies import Proxies
from fastwsgi.share import Share

class Log(Protocol):
    """What a loop tells. All of it is called from the threads that serve."""

    def exception(self, msg: str, *args: object) -> None: ...
    def error(self, msg: str, *args: object) -> None: ...
    def warning(self, msg: str, *args: object) -> None: ...
    def info(self, msg: str, *args: object) -> None: ...
    def debug(self, msg: str, *args: object) -> None: ...
    def access(
        self, resp: Response, req: Request, environ: dict[str, object], request_time: timedelta
    ) -> None:
        """A request was answered, refused or given up. Only with access_log, and where the core cannot write
        the line."""

class Loop:
    """Serves a WSGI application on listening sockets, in one thread or several.

    The listeners are bound, listening and non-blocking. Times are in seconds, sizes in bytes, rates in
    bytes a second, and 0 means "no limit" for head_timeout, body_timeout, write_timeout, min_body_rate,
    min_write_rate, max_requests, limit_request_line, limit_request_field_size and limit_request_body. A
    body longer than `body_memory` goes to a file without a name in `tmpdir`, by default the usual
    directory; with `stream_request_body` the application is called when the head is there, and reads the
    body as it comes, as it is for `stream_request_paths` and what is below them. An application waits while
    its client has more than `output_buffer` still to take.
    keepalive=0: no connection is used twice. linger=0: a connection is closed right behind its last answer.
    `leave_idle`: how long connections that wait for a request may go on doing so when the loop is told to
    stop. `board` and `slot`: where this worker shows what it does. By `share`
    it exchanges connections with the others on the board. When `watch_fd` hangs up, the loop stops
    gracefully. With access_log each request is logged: by the core, which writes lines of `access_format`
    to the descriptor `access_fd`, where both are given and it knows what the format names; else by
    log.access(). `script_name` is the path that the application is mounted below. Without `sendfile` files
    of wsgi.file_wrapper are read and written. `proxies`: whom to believe what is said of clients. After
    max_requests `retire` is called, once, and the loop goes on; without it the loop leaves by itself. With
    `own_listeners` nobody else accepts from the TCP listeners: when the loop stops gracefully, they are
    closed to new connections. The hooks are called with `worker`, in the thread that serves: pre_request
    before the application is called, post_request when the response is made, whatever it is. What the
    switches from `permit_obsolete_folding` on let through is in docs/http.md.

    While it runs, SIGABRT from another process is answered to the client of a call that is going on, before
    the handler that was there is called: csrc/fw_abort.h.

    Raises OSError where the system gives no descriptors, ValueError or TypeError for arguments that make no
    sense.
    """

    def __init__(
        self,
        application: WSGIApplication,
        listeners: Sequence[socket.socket],
        log: Log,
        *,
        board: Board | None = None,
        slot: int = 0,
        share: Share | None = None,
        multiprocess: bool = False,
        multithread: bool = False,
        threads: int = 1,
        keepalive: float = 75,
        head_timeout: float = 30,
        body_timeout: float = 60,
        write_timeout: float = 60,
        linger: float = 2,
        min_body_rate: int = 240,
        min_write_rate: int = 240,
        graceful_timeout: float = 30,
        leave_idle: float = 2,
        max_requests: int = 0,
        worker_connections: int = 1000,
        limit_request_line: int = 4094,
        limit_request_fields: int = 100,
        limit_request_field_size: int = 8190,
        limit_request_body: int = 0,
        stream_request_body: bool = False,
        stream_request_paths: tuple[str, ...] = (),
        body_memory: int = 262_144,
        output_buffer: int = 1_048_576,
        tmpdir: str | None = None,
        server_software: str = "fastwsgi",
        errors: TextIO | None = None,
        access_log: bool = False,
        access_format: str | None = None,
        access_fd: int = -1,
        watch_fd: int = -1,
        own_listeners: bool = False,
        script_name: str = "",
        sendfile: bool = True,
        proxies: Proxies | None = None,
        worker: object = None,
        pre_request: Callable[[Any, Request], object] | None = None,
        post_request: Callable[[Any, Request, dict[str, object], Response], object] | None = None,
        retire: Callable[[], None] | None = None,
        permit_obsolete_folding: bool = False,
        strip_header_spaces: bool = False,
        permit_unconventional_http_method: bool = False,
        permit_unconventional_http_version: bool = False,
        casefold_http_method: bool = False,
    ) -> None: ...
    @property
    def requests(self) -> int:
        """Requests answered so far."""

    @property
    def nr(self) -> int:
        """Requests begun so far: calls of the application."""

    @property
    def wakeup_fd(self) -> int:
        """For signal.set_wakeup_fd: a byte written to it ends the loop's wait."""

    def show(self) -> None:
        """Say on the board that the loop runs."""

    def arm(self) -> None:
        """Be ready for SIGABRT, once more after a handler of somebody else was set."""

    def work(self, index: int) -> None:
        """Be this one of the `threads` threads that serve; each calls it once, with its number from 0 on.

        Returns when the loop is done. A thread whose call of the application goes on then is not waited for.
        """

    def finish(self) -> None:
        """After the first of the threads has returned from work(): send and write what is whole."""

    def run(self) -> None:
        """All of that in one thread. Signal handlers run in between; what they raise there ends the loop.

        A handler that runs while the application has the thread raises into the application, as everywhere.
        """

    def stop(self, graceful: bool) -> None:
        """Be done: at once, or when what is open is answered. Safe in a signal handler."""

    def recycle(self) -> None:
        """Be done when what is open is answered; what comes now is for the other workers.

        Safe in a signal handler, and in another thread.
        """
