"""One worker process, from just after the fork to its exit code: signals, the application, the loop.

What happens to a request is the loop's matter (fastwsgi._loop), which only a worker imports, not the arbiter.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import random
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, ClassVar

import fastwsgi
from fastwsgi import __version__
from fastwsgi.errors import EXIT_BOOT, EXIT_INTERNAL, AppNotFoundError
from fastwsgi.log import wants_access

if TYPE_CHECKING:
    import socket
    from types import FrameType, TracebackType
    from typing import NoReturn
    from wsgiref.types import WSGIApplication

    from fastwsgi._board import Board
    from fastwsgi._loop import Loop
    from fastwsgi.app.base import BaseApplication
    from fastwsgi.log import Logger
    from fastwsgi.settings import Settings

# Seconds; gunicorn has no settings for these.
HEAD_TIMEOUT = 30.0
BODY_TIMEOUT = 60.0
WRITE_TIMEOUT = 60.0
LINGER = 2.0
# The loop counts milliseconds in 32 bits; nobody waits for eleven days.
LONGEST = 1_000_000.0

# gunicorn's bound, and its meaning of 0.
MOST_REQUEST_FIELDS = 32768

EXIT_ABORTED = 1

# Where the code of tracebacks lies that is not the application's.
PACKAGE = os.path.dirname(fastwsgi.__file__) + os.sep
IMPORT_SYSTEM = ("<frozen importlib", importlib.__file__)

# A terminal, or a person who signals a whole process group, means the arbiter by these.
IGNORED = (signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU)


class Worker:
    """One worker. Made in the process it runs in; everything it is given was the arbiter's before the fork.

    `watch_fd` hangs up when the arbiter is gone: then the worker leaves too.
    """

    multithread: ClassVar[bool]

    def __init__(
        self,
        settings: Settings,
        app: BaseApplication,
        log: Logger,
        listeners: list[socket.socket],
        board: Board,
        slot: int,
        watch_fd: int,
    ) -> None:
        self.settings = settings
        self.app = app
        self.log = log
        self.listeners = listeners
        self.board = board
        self.slot = slot
        self.watch_fd = watch_fd
        self.pid = os.getpid()
        self.max_requests = settings.max_requests
        if self.max_requests:
            self.max_requests += random.randint(0, settings.max_requests_jitter)
        self.loop: Loop | None = None
        self.booting = False
        self.told_to_leave = False
        self.quick = False
        self.aborted = False

    def run(self) -> int:
        """Boot, serve until told to leave, and return the exit code."""
        self.log.info("Booting worker with pid: %s", self.pid)
        try:
            return self.serve()
        finally:
            self.log.info("Worker exiting (pid: %s)", self.pid)

    def serve(self) -> int:
        self.booting = True
        try:
            self.take_signals()
            os.environ.update(self.settings.env)
            self.loop = self.make_loop(self.app.wsgi())
        except AppNotFoundError as error:
            self.booting = False
            self.log.error("%s", error)
            return error.exit_code
        except BaseException as error:
            self.booting = False
            if self.told_to_leave:
                return self.leaving_code()
            exc_info = (type(error), error, applications_part(error))
            self.log.error("Exception in worker process", exc_info=exc_info)
            return EXIT_BOOT
        self.booting = False
        if self.told_to_leave:
            return self.leaving_code()

        signal.set_wakeup_fd(self.loop.wakeup_fd, warn_on_full_buffer=False)
        try:
            self.loop.run()
        except SystemExit as error:
            if not self.told_to_leave:
                # the application's own wish, logged with the request it came from
                return error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            self.log.exception("Exception in worker process")
            return EXIT_INTERNAL
        finally:
            signal.set_wakeup_fd(-1)
        if 0 < self.max_requests <= self.loop.requests:
            self.log.info("Autorestarting worker after current request.")
        return self.leaving_code()

    def make_loop(self, application: WSGIApplication) -> Loop:
        from fastwsgi._loop import Loop

        settings = self.settings
        return Loop(
            application,
            self.listeners,
            self.log,
            board=self.board,
            slot=self.slot,
            watch_fd=self.watch_fd,
            multiprocess=settings.workers > 1,
            multithread=self.multithread,
            keepalive=min(settings.keepalive, LONGEST),
            head_timeout=HEAD_TIMEOUT,
            body_timeout=BODY_TIMEOUT,
            write_timeout=WRITE_TIMEOUT,
            linger=LINGER,
            graceful_timeout=min(settings.graceful_timeout, LONGEST),
            max_requests=self.max_requests,
            worker_connections=settings.worker_connections,
            limit_request_line=settings.limit_request_line,
            limit_request_fields=min(settings.limit_request_fields, MOST_REQUEST_FIELDS)
            or MOST_REQUEST_FIELDS,
            limit_request_field_size=settings.limit_request_field_size,
            server_software=f"fastwsgi/{__version__}",
            # a logger of the user's own may be anything that has gunicorn's methods
            errors=getattr(self.log, "errors", sys.stderr),
            access_log=wants_access(self.log),
            access_format=settings.access_log_format,
            access_fd=getattr(self.log, "access_fd", -1),
            # as gunicorn: the usual way to tell an application that it is mounted below a path
            script_name=os.environ.get("SCRIPT_NAME", ""),
        )

    def take_signals(self) -> None:
        """From now on signals are this worker's; those that came since the fork are handled at once."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, self.leave_gracefully)
        signal.signal(signal.SIGINT, self.leave_quickly)
        signal.signal(signal.SIGQUIT, self.leave_quickly)
        signal.signal(signal.SIGABRT, self.abort)
        signal.signal(signal.SIGUSR1, self.reopen_logs)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for signum in IGNORED:
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def reopen_logs(self, signum: int, frame: FrameType | None) -> None:
        """They were rotated."""
        self.log.reopen_files()

    def leave_gracefully(self, signum: int, frame: FrameType | None) -> None:
        """Take nothing new, finish what is there."""
        self.leave(graceful=True)

    def leave_quickly(self, signum: int, frame: FrameType | None) -> None:
        self.quick = True
        self.leave(graceful=False)

    def leave(self, *, graceful: bool) -> None:
        self.told_to_leave = True
        if self.loop is not None:
            self.loop.stop(graceful)
        elif self.booting:
            # out of whatever the application does while it is imported: nobody waits for us
            raise SystemExit(0)

    def abort(self, signum: int, frame: FrameType | None) -> None:
        """The arbiter has lost patience: say where this worker is stuck, and leave from right there.

        The application sees SystemExit, so that its `finally` blocks run.
        """
        self.told_to_leave = self.quick = self.aborted = True
        stack = traceback.extract_stack(frame)
        ours = [depth for depth, entry in enumerate(stack) if entry.filename.startswith(PACKAGE)]
        where = "".join(traceback.format_list(stack[max(ours, default=-1) + 1 :] or stack)).rstrip()
        self.log.error("Worker (pid:%s) is stuck here, most recent call last:\n%s", self.pid, where)
        if self.loop is not None:
            self.loop.stop(False)
        raise SystemExit(EXIT_ABORTED)

    def leaving_code(self) -> int:
        return EXIT_ABORTED if self.aborted else 0


def applications_part(error: BaseException) -> TracebackType | None:
    """The traceback from the application's first line on: the way there is the same every time."""
    rest = error.__traceback__
    while rest is not None and rest.tb_frame.f_code.co_filename.startswith((PACKAGE, *IMPORT_SYSTEM)):
        rest = rest.tb_next
    # a module that cannot be compiled has no frame of its own: the error itself says where
    return rest if rest is not None or isinstance(error, SyntaxError) else error.__traceback__


def end_process(code: int, *, quick: bool) -> NoReturn:
    """End this process as the interpreter does, without going back up the stack it was forked from.

    That stack is the arbiter's, and under `fastwsgi.run()` a program's: its `finally` blocks are not ours.
    Threads of the application are waited for (unless `quick`), then what it gave to atexit is called.
    """
    try:
        if not quick:
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        flush_standard_streams()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code & 0xFF)


def flush_standard_streams() -> None:
    """Write what their buffers hold, if they can still be written to."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
