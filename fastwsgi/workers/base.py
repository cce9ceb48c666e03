"""One worker process, from just after the fork to its exit code: signals, the application, the loop.

What happens to a request is the loop's matter (fastwsgi._loop), which only a worker imports, not the arbiter.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from fastwsgi import __version__, broken, privileges
from fastwsgi._board import LEAVING, RETIRING, SERVING
from fastwsgi.errors import EXIT_BOOT, EXIT_INTERNAL, AppNotFoundError, ConfigError
from fastwsgi.log import wants_access
from fastwsgi.proxies import Proxies
from fastwsgi.reloader import Reloader
from fastwsgi.settings.hooks import nothing
from fastwsgi.settings.values import is_writable
from fastwsgi.sockets import start_listening
from fastwsgi.stuck import IMPORT_SYSTEM, PACKAGE

if TYPE_CHECKING:
    import socket
    from types import FrameType, TracebackType
    from wsgiref.types import WSGIApplication

    from fastwsgi._board import Board
    from fastwsgi._loop import Loop
    from fastwsgi.app.base import BaseApplication
    from fastwsgi.arbiter import Arbiter
    from fastwsgi.log import Logger
    from fastwsgi.message import Request
    from fastwsgi.settings import Settings
    from fastwsgi.settings.hooks import Hook
    from fastwsgi.share import Share
    from fastwsgi.stuck import Stacks

# Seconds
LEAVE_IDLE = 2.0
LEAVE_IDLE_RELOADING = 0.1
"""The next request of an idle connection is better met by the new code."""
# The loop counts milliseconds in 32 bits; nobody waits for eleven days.
LONGEST = 1_000_000.0

# gunicorn's bound, and its meaning of 0.
MOST_REQUEST_FIELDS = 32768

EXIT_ABORTED = 1

# A terminal, or a person who signals a whole process group, means the arbiter by these.
IGNORED = (signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU)


class Place(NamedTuple):
    """A worker's place: its slot on the board, and its lines from and to the arbiter."""

    board: Board
    slot: int
    watch_fd: int
    """Hangs up when the arbiter is gone: then the worker leaves too."""
    tell_fd: int
    """A byte written here makes the arbiter look at the board."""
    stacks: Stacks
    share: Share | None
    """By which it passes connections to its siblings, and they to it; None: each keeps its own."""


class Worker:
    """One worker. The process that forks it makes it; its own process runs it.

    The public attributes are those that gunicorn's hooks know.
    """

    multithread: ClassVar[bool]

    def __init__(
        self,
        age: int,
        ppid: int,
        sockets: list[socket.socket],
        app: BaseApplication,
        timeout: float,
        cfg: Settings,
        log: Logger,
        place: Place,
    ) -> None:
        self.age = age
        """How many workers the server has made, with this one."""
        self.pid: int | Literal["[booting]"] = "[booting]"
        self.ppid = ppid
        self.sockets = sockets
        self.app = app
        self.timeout = timeout
        self.cfg = cfg
        self.log = log
        self.place = place
        self.own_listeners = False
        """No other worker accepts from the TCP listeners."""
        self.wsgi: WSGIApplication | None = None
        self.booted = False
        self.alive = True
        self.aborted = False
        self.max_requests = cfg.max_requests
        if self.max_requests:
            self.max_requests += random.randint(0, cfg.max_requests_jitter)
        self.loop: Loop | None = None
        self.reloader: Reloader | None = None
        self.booting = False
        self.quick = False

    @property
    def nr(self) -> int:
        """Calls of the application begun so far."""
        return 0 if self.loop is None else self.loop.nr

    def run(self, server: Arbiter) -> int:
        """Boot, serve until told to leave, and return the exit code."""
        self.pid = os.getpid()
        self.log.info("Booting worker with pid: %s", self.pid)
        try:
            return self.serve(server)
        finally:
            self.log.info("Worker exiting (pid: %s)", self.pid)
            server.call_hook("worker_exit", server, self)

    def serve(self, server: Arbiter) -> int:
        self.booting = True
        try:
            self.take_signals()
            if self.cfg.reload:
                self.reloader = Reloader(self.cfg, self.log, self.make_room)
                self.reloader.start()
            self.cfg.post_fork(server, self)
            privileges.drop(self.cfg)
            self.wsgi = self.load()
            self.loop = self.make_loop(self.wsgi)
            self.place.stacks.watch(self.place.slot)
            self.cfg.post_worker_init(self)
        except BaseException as error:
            self.booting = False
            return load_failed(self.log, error) if self.alive else self.leaving_code()
        self.booting = False
        if not self.alive:
            return self.leaving_code()
        self.booted = True

        self.show(SERVING)
        try:
            self.run_loop(self.loop)
        except SystemExit as error:
            if self.alive:
                # the application's own wish, logged with the request it came from
                return error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            self.log.exception("Exception in worker process")
            return EXIT_INTERNAL
        finally:
            signal.set_wakeup_fd(-1)
        return self.leaving_code()

    def run_loop(self, loop: Loop) -> None:
        signal.set_wakeup_fd(loop.wakeup_fd, warn_on_full_buffer=False)
        loop.run()

    def load(self) -> WSGIApplication:
        """The application; with --reload and if it cannot be loaded, one that says why."""
        if self.reloader is None:
            return self.app.wsgi()
        try:
            application = self.app.wsgi()
        except BaseException as error:
            if not self.alive:
                raise
            load_failed(self.log, error)
            application = broken.application(error, applications_part(error))
            self.reloader.is_loaded(error)
        else:
            self.reloader.is_loaded()
        return application

    def show(self, state: int) -> None:
        """Set the state on the board, and make the arbiter look at it."""
        self.place.board.set_state(self.place.slot, state)
        tell(self.place.tell_fd)

    def retire(self) -> None:
        """Called by the loop after max_requests: serve on until the arbiter has a successor that does."""
        self.log.info("Autorestarting worker after current request.")
        if self.alive:
            self.show(RETIRING)

    def make_loop(self, application: WSGIApplication) -> Loop:
        from fastwsgi._loop import Loop

        settings = self.cfg
        start_listening(self.sockets, settings.backlog)
        return Loop(
            application,
            self.sockets,
            self.log,
            board=self.place.board,
            slot=self.place.slot,
            share=self.place.share,
            watch_fd=self.place.watch_fd,
            own_listeners=self.own_listeners,
            multiprocess=settings.workers > 1,
            multithread=self.multithread,
            threads=settings.threads,
            keepalive=min(settings.keepalive, LONGEST),
            head_timeout=min(settings.head_timeout, LONGEST),
            body_timeout=min(settings.body_timeout, LONGEST),
            min_body_rate=settings.min_body_rate,
            write_timeout=min(settings.write_timeout, LONGEST),
            min_write_rate=settings.min_write_rate,
            linger=min(settings.linger, LONGEST),
            graceful_timeout=min(settings.graceful_timeout, LONGEST),
            leave_idle=LEAVE_IDLE_RELOADING if settings.reload else LEAVE_IDLE,
            max_requests=self.max_requests,
            retire=self.retire,
            worker_connections=settings.worker_connections,
            limit_request_line=settings.limit_request_line,
            limit_request_fields=min(settings.limit_request_fields, MOST_REQUEST_FIELDS)
            or MOST_REQUEST_FIELDS,
            limit_request_field_size=settings.limit_request_field_size,
            permit_obsolete_folding=settings.permit_obsolete_folding,
            strip_header_spaces=settings.strip_header_spaces,
            permit_unconventional_http_method=settings.permit_unconventional_http_method,
            permit_unconventional_http_version=settings.permit_unconventional_http_version,
            casefold_http_method=settings.casefold_http_method,
            limit_request_body=settings.limit_request_body,
            stream_request_body=settings.stream_request_body,
            stream_request_paths=settings.stream_request_paths,
            body_memory=settings.body_memory,
            output_buffer=settings.output_buffer,
            tmpdir=body_directory(settings),
            server_software=f"fastwsgi/{__version__}",
            # a logger of the user's own may be anything that has gunicorn's methods
            errors=getattr(self.log, "errors", sys.stderr),
            access_log=wants_access(self.log),
            access_format=settings.access_log_format,
            access_fd=getattr(self.log, "access_fd", -1),
            # as gunicorn: the usual way to tell an application that it is mounted below a path
            script_name=os.environ.get("SCRIPT_NAME", ""),
            sendfile=settings.sendfile,
            proxies=Proxies.of(settings),
            worker=self,
            pre_request=self.pre_request(),
            post_request=None if settings.post_request is nothing else settings.post_request,
        )

    def pre_request(self) -> Hook | None:
        """The hook, or gunicorn's own, which only tells something to who wants to know everything."""
        if self.cfg.pre_request is not nothing:
            return self.cfg.pre_request
        return log_request if self.log.error_log.isEnabledFor(logging.DEBUG) else None

    def take_signals(self) -> None:
        """From now on signals are this worker's; those that came since the fork are handled at once."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, self.leave_gracefully)
        signal.signal(signal.SIGINT, self.leave_quickly)
        signal.signal(signal.SIGQUIT, self.leave_quickly)
        signal.signal(signal.SIGABRT, self.abort)
        self.place.stacks.watch(self.place.slot)
        signal.signal(signal.SIGUSR1, self.reopen_logs)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for signum in IGNORED:
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def leave_gracefully(self, signum: int, frame: FrameType | None) -> None:
        """Take nothing new, finish what is there."""
        self.leave(graceful=True)

    def leave_quickly(self, signum: int, frame: FrameType | None) -> None:
        self.quick = True
        self.call_hook("worker_int")
        self.leave(graceful=False)

    def make_room(self) -> None:
        """Let another worker, with new code, take this one's place. Called by the reloader, in its thread."""
        self.call_hook("worker_int")
        if self.booted and self.loop is not None:
            self.alive = False
            self.show(LEAVING)
            self.loop.recycle()
        else:
            # out of whatever hangs while it is imported
            os.kill(os.getpid(), signal.SIGTERM)

    def reopen_logs(self, signum: int, frame: FrameType | None) -> None:
        try:
            self.log.reopen_files()
        except OSError as error:
            self.log.error("Can't reopen a log: %s", error)

    def leave(self, *, graceful: bool) -> None:
        self.alive = False
        if self.booted:
            # the loop will say so as well, when it comes to it
            self.show(LEAVING)
        if self.loop is not None:
            self.loop.stop(graceful)
        elif self.booting:
            # out of whatever the application does while it is imported: nobody waits for us
            raise SystemExit(0)

    def abort(self, signum: int, frame: FrameType | None) -> None:
        """The arbiter has lost patience: leave from right where this worker is. Where that is, it will tell.

        The application sees SystemExit, so that its `finally` blocks run. Its client has been answered.
        """
        self.alive = False
        self.quick = self.aborted = True
        self.call_hook("worker_abort")
        if self.loop is not None:
            self.loop.stop(False)
        raise SystemExit(EXIT_ABORTED)

    def call_hook(self, name: str) -> None:
        """Call a hook of this worker's end, which comes whatever it raises."""
        try:
            getattr(self.cfg, name)(self)
        except Exception:
            self.log.exception("Exception in the hook %s", name)

    def leaving_code(self) -> int:
        return EXIT_ABORTED if self.aborted else 0


def tell(fd: int) -> None:
    """Make the arbiter look at the board. A full pipe means that it is about to."""
    with contextlib.suppress(OSError):
        os.write(fd, b".")


def body_directory(settings: Settings) -> str:
    """Where long request bodies go. ConfigError: not there, for the user that this worker has become."""
    import tempfile

    path = settings.tmp_upload_dir
    if path is None:
        try:
            return tempfile.gettempdir()
        except FileNotFoundError:
            # nothing can be written anywhere just now, which is no reason not to serve
            return "/tmp"
    if not is_writable(path):
        source = settings.source("tmp_upload_dir")
        raise ConfigError("tmp_upload_dir", path, source, "expected a directory that workers can write to")
    return path


def load_failed(log: Logger, error: BaseException) -> int:
    """Log why the application could not be loaded, and return the exit code that says so."""
    if isinstance(error, AppNotFoundError):
        log.error("%s", error)
        return error.exit_code
    if isinstance(error, ConfigError):
        log.error("%s", error)
        return EXIT_BOOT
    log.error("Exception in worker process", exc_info=(type(error), error, applications_part(error)))
    return EXIT_BOOT


def log_request(worker: Worker, req: Request) -> None:
    worker.log.debug("%s %s", req.method, req.path)


def applications_part(error: BaseException) -> TracebackType | None:
    """The traceback from the application's first line on: the way there is the same every time."""
    rest = error.__traceback__
    while rest is not None and rest.tb_frame.f_code.co_filename.startswith((PACKAGE, *IMPORT_SYSTEM)):
        rest = rest.tb_next
    # a module that cannot be compiled has no frame of its own: the error itself says where
    return rest if rest is not None or isinstance(error, SyntaxError) else error.__traceback__
