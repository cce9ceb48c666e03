"""A worker's turn: step the core's loop without the GIL, serve with it what has become ready.

The loop belongs to the threads that call work(), or to the one that calls run(): one at a time has it
(csrc/fw_baton.h). Only stop() and recycle() may come from elsewhere: a signal handler, or another thread.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport errno
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastwsgi._board cimport Board
from fastwsgi._environ cimport Environ
from fastwsgi._gateway cimport Gateway
from fastwsgi.c_board cimport FW_SLOT_SERVING, fw_slot, fw_slot_count
from fastwsgi.c_server cimport *

import os
import socket
import tempfile
import time

from fastwsgi._gateway import FileWrapper
from fastwsgi.access_format import CLIENT_GONE, environ_of_line
from fastwsgi.proxies import Proxies, fields, networks

# What each field over the default number adds to the longest head, and the longest there ever is.
cdef enum:
    FIELD_SHARE = 1024
    MOST_HEAD = 1 << 30

# More than a process should have.
MOST_THREADS = 4096

# Seconds between two messages about one thing that goes on: lines that are lost, connections that have to wait.
PAUSE = 60


cdef uint32_t milliseconds(str name, seconds) except? 0xFFFFFFFF:
    if not 0 <= seconds <= 1_000_000:
        raise ValueError(f"{name} is {seconds!r}; it takes seconds, 0 to 1000000")
    return <uint32_t>(seconds * 1000)


cdef uint32_t head_limit(const fw_limits *limits) noexcept:
    """A whole head: the default, and more where settings allow longer lines or more fields than theirs.

    The default is far from what the lines could have together, and every client may fill it. But a limit that
    somebody has raised must not be reached below what it says.
    """
    cdef fw_limits usual = fw_limits_default()
    cdef uint64_t most = usual.head
    most += max(limits.line, usual.line) - usual.line
    most += max(limits.field_size, usual.field_size) - usual.field_size
    most += <uint64_t>(max(limits.fields, usual.fields) - usual.fields) * FIELD_SHARE
    return <uint32_t>min(most, <uint64_t>MOST_HEAD)


cdef class Loop:
    """Serves a WSGI application on listening sockets. `_loop.pyi` says what the arguments mean."""

    cdef fw_loop loop
    cdef fw_monitor monitor
    cdef fw_abort on_abort
    cdef fw_access access
    cdef fw_slot *slot
    cdef Gateway gateway
    cdef bint made
    cdef bint writes_lines
    cdef uint64_t lost_lines
    cdef object lost_at
    cdef object refused_at
    cdef object crowded_at
    cdef uint64_t retire_after
    cdef object retire
    cdef object log
    cdef list listeners
    cdef object kept
    cdef const unsigned char[::1] page

    def __init__(
        self, application, listeners, log, *, Board board=None, uint32_t slot=0, share=None, bint multiprocess=False,
        bint multithread=False, uint32_t threads=1, keepalive=75, head_timeout=30, body_timeout=60, write_timeout=60,
        linger=2, uint32_t min_body_rate=240, uint32_t min_write_rate=240,
        graceful_timeout=30, leave_idle=2, max_requests=0, worker_connections=1000, limit_request_line=4094,
        limit_request_fields=100, limit_request_field_size=8190, uint64_t limit_request_body=0,
        bint stream_request_body=False, size_t body_memory=262_144, size_t output_buffer=1_048_576, tmpdir=None,
        str server_software="fastwsgi", errors=None, bint access_log=False, str access_format=None, int access_fd=-1,
        int watch_fd=-1, str script_name="", retire=None, bint own_listeners=False, bint sendfile=True, proxies=None, worker=None, pre_request=None, post_request=None,
        bint permit_obsolete_folding=False, bint strip_header_spaces=False,
        bint permit_unconventional_http_method=False, bint permit_unconventional_http_version=False,
        bint casefold_http_method=False,
    ):
        cdef fw_loop_config config
        cdef bytes server = b"Server: %b\r\n" % server_software.partition("/")[0].encode("latin-1")
        if not callable(application):
            raise TypeError(f"{application!r} is not callable")
        if not listeners:
            raise ValueError("a loop needs at least one listener")
        if not 0 < threads <= MOST_THREADS:
            raise ValueError(f"threads is {threads}; there can be 1 to {MOST_THREADS}")
        self.log = log
        self.listeners = list(listeners)
        mount = script_name.encode("latin-1")
        cdef bytes directory = os.fsencode(tempfile.gettempdir() if tmpdir is None else tmpdir)
        self.kept = (board, directory, server, mount) # what the loop borrows
        self.slot = board.slot_address(slot) if board is not None else NULL

        config.limits = fw_limits_default()
        config.limits.line = limit_request_line
        config.limits.fields = limit_request_fields
        config.limits.field_size = limit_request_field_size
        config.limits.rules = (
            (FW_RULE_UNFOLD if permit_obsolete_folding else 0)
            | (FW_RULE_STRIP_NAME if strip_header_spaces else 0)
            | (FW_RULE_ANY_METHOD if permit_unconventional_http_method else 0)
            | (FW_RULE_ANY_VERSION if permit_unconventional_http_version else 0)
            | (FW_RULE_FOLD_CASE if casefold_http_method else 0)
        )
        config.limits.head = head_limit(&config.limits)
        config.limits.body = limit_request_body
        config.timeouts.head_ms = milliseconds("head_timeout", head_timeout)
        config.timeouts.body_ms = milliseconds("body_timeout", body_timeout)
        config.timeouts.keepalive_ms = milliseconds("keepalive", keepalive)
        config.timeouts.write_ms = milliseconds("write_timeout", write_timeout)
        config.timeouts.linger_ms = milliseconds("linger", linger)
        config.timeouts.body_rate = min_body_rate
        config.timeouts.write_rate = min_write_rate
        config.body_early = stream_request_body
        config.body_memory = body_memory
        config.queue_mark = output_buffer
        config.connections = worker_connections
        config.grace_ms = milliseconds("graceful_timeout", graceful_timeout)
        config.leave_idle_ms = milliseconds("leave_idle", leave_idle)
        config.max_requests = max_requests if retire is None else 0
        config.own_listeners = own_listeners
        self.retire_after = max_requests
        self.retire = retire if max_requests else None
        config.tmpdir = directory
        config.server = server
        config.slot = self.slot
        config.access = NULL
        self.set_share(&config, board, share)
        self.kept += set_proxies(&config, Proxies() if proxies is None else proxies)
        if access_log and access_format is not None and access_fd >= 0:
            self.writes_lines = self.compile_format(access_format, access_fd, mount)
            if self.writes_lines:
                config.access = &self.access
        if not fw_loop_init(&self.loop, &config):
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
        self.gateway = Gateway(
            application, log, Environ(templates, script_name), logs, worker, pre_request, post_request
        )
        self.gateway.sendfile = sendfile
        self.gateway.loop = &self.loop
        self.gateway.monitor = &self.monitor

    cdef int set_share(self, fw_loop_config *config, Board board, share) except -1:
        cdef const unsigned char[::1] page
        memset(&config.share, 0, sizeof(fw_share))
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
                self.log_refusals()
            if loop.accept_errno != 0:
                self.log_rest()
            if loop.crowded:
                self.log_crowd()
            if self.writes_lines and self.access.sink.lost != self.lost_lines:
                self.log_lost_lines()
            PyErr_CheckSignals()
        return 0

    cpdef int finish(self) except -1:
        """What is whole goes out, however the turns have ended; and so do the lines that tell of it."""
        with nogil:
            fw_baton_last(&self.monitor.baton)
            if self.writes_lines:
                self.access.sink.stuck = False
                fw_sink_flush(&self.access.sink, FW_SINK_WAIT_MS)
        if self.writes_lines and self.access.sink.lost != self.lost_lines:
            self.lost_at = None
            self.log_lost_lines()
        return 0

    def log_lost_lines(self):
        """Say now and then how many access lines could not be written."""
        now = time.monotonic()
        if self.lost_at is not None and now - self.lost_at < PAUSE:
            return
        why = os.strerror(self.access.sink.problem) if self.access.sink.problem else "nobody reads them"
        lost = self.access.sink.lost - self.lost_lines
        self.lost_lines = self.access.sink.lost
        self.lost_at = now
        self.log.error("%d lines of the access log could not be written: %s", lost, why)

    def log_rest(self):
        """Say now and then why nobody is accepted for a moment: descriptors, say, may run out for hours."""
        now = time.monotonic()
        if self.refused_at is None or now - self.refused_at >= PAUSE:
            self.refused_at = now
            self.log.error("Cannot accept connections: %s", os.strerror(self.loop.accept_errno))
        self.loop.accept_errno = 0

    def log_crowd(self):
        now = time.monotonic()
        if self.crowded_at is None or now - self.crowded_at >= PAUSE:
            self.crowded_at = now
            self.log.warning(
                "All %d places of worker_connections are taken: who comes waits, or takes that of an idle connection",
                self.loop.config.connections,
            )

    def close_listeners(self):
        """Nothing is accepted any more. While anybody holds a listener open, clients go on queueing at it."""
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()

    def log_refusals(self):
        cdef fw_refusals *refusals = &self.loop.env.refusals
        cdef fw_refusal *refusal
        cdef fw_error error
        cdef uint32_t i
        for i in range(refusals.count):
            refusal = &refusals.each[i]
            error = <fw_error>refusal.error
            if self.slot is not NULL:
                fw_slot_count(&self.slot.refused)
            address = refusal.addr[: refusal.addr_len].decode("ascii")
            reason = fw_error_text(error).decode("ascii") + self.setting_of(error)
            if error == FW_E_FILE_SHORT:
                self.log.error("The response to ip=%s was cut: %s", address, reason)
            elif error == FW_E_NO_SPACE:
                self.log.error("A request from ip=%s was refused: %s", address, reason)
            elif error in (FW_E_WRITE_TIMEOUT, FW_E_WRITE_RATE):
                self.log.info("Closed the connection from ip=%s: %s", address, reason)
            elif fw_error_status(error) == 0:
                # the client went away: that is no news
                self.log.debug("Closed the connection from ip=%s: %s", address, reason)
            else:
                self.log.warning("Invalid request from ip=%s: %s", address, reason)
            if self.gateway.access_log and error not in (FW_E_WRITE_TIMEOUT, FW_E_WRITE_RATE, FW_E_FILE_SHORT):
                status = str(fw_error_status(error) or CLIENT_GONE)
                line = refusal.line[: refusal.line_len].decode("latin-1")
                self.gateway.refused(status, environ_of_line(line, address))
        if refusals.missed:
            self.log.warning("%d more requests were refused in the same turn", refusals.missed)
        refusals.count = refusals.missed = 0

    cdef str setting_of(self, fw_error error):
        """Which setting, and which value of it, was in the way; "" where none was."""
        cdef fw_conn_env *env = &self.loop.env
        if error == FW_E_LINE_TOO_LONG:
            return f" (limit_request_line is {env.limits.line})"
        if error == FW_E_FIELDS_TOO_MANY:
            return f" (limit_request_fields is {env.limits.fields})"
        if error == FW_E_FIELD_TOO_LONG:
            return f" (limit_request_field_size is {env.limits.field_size})"
        if error == FW_E_BODY_TOO_LONG:
            return f" (limit_request_body is {env.limits.body})"
        if error == FW_E_NO_SPACE:
            return f" (tmp_upload_dir is {os.fsdecode(env.tmpdir)}: {os.strerror(env.tmp_errno)})"
        return ""


cdef dict PROXY_MODES = {
    "off": <int>FW_PROXY_OFF, "v1": <int>FW_PROXY_V1, "v2": <int>FW_PROXY_V2, "auto": <int>FW_PROXY_AUTO,
}
cdef dict HEADER_MAPS = {
    "drop": <int>FW_UNDERSCORE_DROP,
    "refuse": <int>FW_UNDERSCORE_REFUSE,
    "dangerous": <int>FW_UNDERSCORE_DANGEROUS,
}
cdef dict CLIENT_FIELDS = {"x-forwarded-for": <int>FW_N_X_FORWARDED_FOR, "forwarded": <int>FW_N_FORWARDED}


cdef void set_networks(fw_networks *into, tuple written, bytes table):
    into.each = <const fw_network *><const char *>table
    into.count = <uint32_t>(len(table) // sizeof(fw_network))
    into.all = "*" in written


cdef tuple set_proxies(fw_loop_config *config, proxies):
    """Tell the core whom to believe. Returns what it borrows."""
    cdef fw_forwarded_rules *rules = &config.forwarded
    cdef bytes trusted = networks(proxies.trusted)
    cdef bytes peers = networks(proxies.proxy_protocol_peers)
    cdef bytes schemes = fields(proxies.scheme_headers)
    cdef bytes names = fields(dict.fromkeys([name for name in proxies.names if name != "*"], ""))
    memset(rules, 0, sizeof(fw_forwarded_rules))
    set_networks(&rules.proxies, proxies.trusted, trusted)
    rules.schemes.rows, rules.schemes.len = schemes, len(schemes)
    rules.names.rows, rules.names.len = names, len(names)
    rules.all_names = "*" in proxies.names
    rules.underscore = HEADER_MAPS[proxies.header_map]
    if proxies.forwarded_for is not None:
        rules.client = CLIENT_FIELDS[proxies.forwarded_for.field]
        rules.hops = proxies.forwarded_for.hops
    set_networks(&config.proxy_peers, proxies.proxy_protocol_peers, peers)
    config.proxy_mode = PROXY_MODES[proxies.proxy_protocol]
    return trusted, peers, schemes, names


def template(listener, str software, errors, bint multithread, bint multiprocess, str script_name):
    """The environ of a request on this listener, but for what the request brings."""
    name, port = "", ""
    if listener.family != socket.AF_UNIX:
        name, port = listener.getsockname()[:2]
    return {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "wsgi.errors": errors,
        "wsgi.multithread": bool(multithread),
        "wsgi.multiprocess": bool(multiprocess),
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.early_hints": None,
        "SERVER_SOFTWARE": software,
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": script_name,
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "",
        "RAW_URI": "",
        "REQUEST_URI": "",
        "PATH_INFO": "",
        "REMOTE_ADDR": "",
    }
