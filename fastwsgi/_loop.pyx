"""A worker's turn: step the core's loop without the GIL, serve with it what has become ready.

The loop belongs to the threads that call work(), or to the one that calls run(): one at a time has it
(csrc/fw_baton.h). Only stop() and recycle() may come from elsewhere: a signal handler, or another thread.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t

from fastwsgi._board cimport Board
from fastwsgi._environ cimport Environ
from fastwsgi._gateway cimport Gateway
from fastwsgi._loop_config cimport LoopConfig
from fastwsgi._loop_notices cimport LoopNotices
from fastwsgi._observers cimport Observers
from fastwsgi.c_board cimport FW_SLOT_SERVING, fw_slot
from fastwsgi.c_server cimport *

import os
import socket

from fastwsgi._environ import template

# More than a process should have.
MOST_THREADS = 4096


cdef class Loop:
    """Serves a WSGI application on listening sockets. `_loop.pyi` says what the arguments mean."""

    cdef fw_loop loop
    cdef fw_monitor monitor
    cdef fw_abort on_abort
    cdef fw_access access
    cdef fw_slot *slot
    cdef Gateway gateway
    cdef LoopNotices notices
    cdef bint made
    cdef bint writes_lines
    cdef uint64_t retire_after
    cdef object retire
    cdef list listeners
    cdef object kept
    cdef const unsigned char[::1] page

    def __init__(
        self, application, listeners, log, *, Board board=None, uint32_t slot=0, share=None, bint multiprocess=False,
        bint multithread=False, uint32_t threads=1, uint64_t max_requests=0, retire=None,
        str server_software="fastwsgi", errors=None, bint access_log=False, str access_format=None, int access_fd=-1,
        int watch_fd=-1, str script_name="", bint sendfile=True, worker=None, pre_request=None, post_request=None,
        **for_the_core,
    ):
        if not callable(application):
            raise TypeError(f"{application!r} is not callable")
        if not listeners:
            raise ValueError("a loop needs at least one listener")
        if not 0 < threads <= MOST_THREADS:
            raise ValueError(f"threads is {threads}; there can be 1 to {MOST_THREADS}")
        cdef LoopConfig config = LoopConfig(
            server=b"Server: %b\r\n" % server_software.partition("/")[0].encode("latin-1"),
            max_requests=max_requests if retire is None else 0,
            **for_the_core,
        )
        self.retire_after = max_requests
        self.retire = retire if max_requests else None
        self.listeners = list(listeners)
        mount = script_name.encode("latin-1")
        self.kept = (board, config, mount) # what the core borrows
        self.slot = board.slot_address(slot) if board is not None else NULL
        config.core.slot = self.slot
        self.set_share(&config.core, board, share)
        if access_log and access_format is not None and access_fd >= 0:
            self.writes_lines = self.compile_format(access_format, access_fd, mount)
            if self.writes_lines:
                config.core.access = &self.access
        if not fw_loop_init(&self.loop, &config.core):
            raise OSError(errno, os.strerror(errno))
        self.made = True
        if not fw_monitor_init(&self.monitor, &self.loop, threads):
            raise MemoryError

        templates = []
        for listener in listeners:
            is_local = listener.family == socket.AF_UNIX
            if not fw_loop_add_listener(&self.loop, listener.fileno(), is_local):
                raise MemoryError
            templates.append(
                template(listener, server_software, errors, multithread, multiprocess, script_name)
            )
        if watch_fd >= 0 and not fw_loop_watch(&self.loop, watch_fd):
            raise OSError(errno, os.strerror(errno))
        logs = access_log and not self.writes_lines
        cdef Observers observers = None
        if logs or pre_request is not None or post_request is not None:
            observers = Observers(log, logs, worker, pre_request, post_request)
        self.notices = LoopNotices(log, observers)
        self.notices.loop = &self.loop
        self.notices.sink = &self.access.sink
        self.notices.slot = self.slot
        self.gateway = Gateway(application, log, Environ(templates, script_name), observers, sendfile)
        self.gateway.loop = &self.loop
        self.gateway.monitor = &self.monitor

    cdef int set_share(self, fw_loop_config *config, Board board, share) except -1:
        cdef const unsigned char[::1] page
        if board is None or share is None:
            return 0
        page = share.page
        self.page = page # as long as the loop is there
        config.share.board = board.board
        config.share.slot = self.slot
        config.share.page = <const fw_share_page *>&page[0]
        config.share.side = share.side
        config.share.send = share.sending.fileno()
        config.share.receive = share.receiving.fileno()
        return 0

    def __dealloc__(self):
        if self.made:
            fw_monitor_drop(&self.monitor)
            fw_loop_drop(&self.loop)
        if self.writes_lines:
            fw_access_drop(&self.access)

    cdef bint compile_format(self, str format, int fd, bytes mount) except -1:
        """Will the core write the access lines? If not, this format has something that only Python has."""
        cdef bytes text = format.encode("utf-8", "backslashreplace")
        cdef fw_access_result result = fw_access_init(&self.access, text, len(text), fd, mount, len(mount))
        if result == FW_ACCESS_NO_MEMORY:
            raise MemoryError
        return result == FW_ACCESS_OK

    @property
    def requests(self):
        """Requests answered so far."""
        return self.loop.requests

    @property
    def nr(self):
        """Requests begun so far: calls of the application."""
        return self.gateway.nr

    @property
    def wakeup_fd(self):
        """For signal.set_wakeup_fd: a byte written to it ends the loop's wait."""
        return self.loop.wake_write

    def stop(self, bint graceful):
        """Be done: at once, or when what is open is answered. Safe in a signal handler."""
        fw_loop_stop(&self.loop, FW_STOP_GRACEFUL if graceful else FW_STOP_NOW)

    def recycle(self):
        """Be done when what is open is answered; others accept what comes. Safe in another thread."""
        fw_loop_stop(&self.loop, FW_STOP_RECYCLE)

    def run(self):
        """Serve until stopped, with one thread. Signal handlers run in between; what they raise ends the loop."""
        self.show()
        self.arm()
        try:
            self.work(0)
        finally:
            self.finish()
            fw_abort_disarm(&self.on_abort)

    def show(self):
        """Say on the board that the loop runs."""
        if self.slot is not NULL:
            self.slot.booted_ns = fw_clock_ns()
            self.slot.state = FW_SLOT_SERVING

    def arm(self):
        """Be ready for SIGABRT. One loop in a process has it; another one does without."""
        fw_abort_disarm(&self.on_abort)
        fw_abort_arm(&self.on_abort, &self.monitor, self.loop.env.server, self.loop.env.server_len)

    def work(self, uint32_t index):
        """Be this one of the threads that serve, until the loop is done; each of them calls this once."""
        cdef fw_baton *baton = &self.monitor.baton
        cdef fw_player *me
        cdef bint ours
        if index >= baton.count:
            raise IndexError(f"thread {index} of {baton.count}")
        me = &baton.players[index]
        with nogil:
            ours = fw_baton_join(baton, me)
        while ours:
            self.turns(me)
            if not me.away:
                fw_baton_end(baton)
                return
            with nogil:
                ours = fw_baton_return(baton, me)

    cdef int turns(self, fw_player *me) except -1:
        """Serve until the loop is done, or somebody else has it."""
        cdef fw_baton *baton = &self.monitor.baton
        cdef fw_loop *loop = &self.loop
        cdef fw_conn *conn
        while not fw_loop_done(loop):
            with nogil:
                fw_baton_step(baton)
            while loop.stop != FW_STOP_NOW:
                conn = fw_loop_take(loop)
                if conn is NULL:
                    break
                try:
                    self.gateway.serve(conn, me)
                finally:
                    if not me.away:
                        fw_loop_give(loop, conn)
                if me.away:
                    return 0
            if self.retire is not None and loop.requests >= self.retire_after:
                retire, self.retire = self.retire, None
                retire()
            if loop.leaving and self.listeners:
                self.close_listeners()
            if loop.env.refusals.count > 0:
                self.notices.refusals()
            if loop.accept_errno != 0:
                self.notices.rests()
            if loop.crowded:
                self.notices.crowded()
            if self.writes_lines and self.access.sink.lost != self.notices.lost_lines:
                self.notices.lines_lost(False)
            PyErr_CheckSignals()
        return 0

    cpdef int finish(self) except -1:
        """What is whole goes out, however the turns have ended; and so do the lines that tell of it."""
        with nogil:
            fw_baton_last(&self.monitor.baton)
            if self.writes_lines:
                self.access.sink.stuck = False
                fw_sink_flush(&self.access.sink, FW_SINK_WAIT_MS)
        if self.writes_lines and self.access.sink.lost != self.notices.lost_lines:
            self.notices.lines_lost(True)
        return 0

    def close_listeners(self):
        """Nothing is accepted any more. While anybody holds a listener open, clients go on queueing at it."""
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()
