"""What a loop says in the error log: refusals, and what keeps it from accepting clients or writing access lines."""

from libc.stdint cimport uint32_t

from fastwsgi._observers cimport Observers
from fastwsgi.c_board cimport fw_slot_count
from fastwsgi.c_server cimport *

import os
import time

from fastwsgi.access_format import CLIENT_GONE, environ_of_line

# Seconds between two messages about one thing that goes on: lines that are lost, connections that have to wait.
PAUSE = 60


cdef class LoopNotices:
    """Those of one loop, which owns this object and calls it between its turns when there is something to say."""

    def __init__(self, log, Observers observers):
        self.log = log
        self.observers = observers

    cdef int lines_lost(self, bint last) except -1:
        """Say now and then how many access lines could not be written."""
        now = time.monotonic()
        if not last and self.lost_at is not None and now - self.lost_at < PAUSE:
            return 0
        why = os.strerror(self.sink.problem) if self.sink.problem else "nobody reads them"
        lost = self.sink.lost - self.lost_lines
        self.lost_lines = self.sink.lost
        self.lost_at = now
        self.log.error("%d lines of the access log could not be written: %s", lost, why)
        return 0

    cdef int rests(self) except -1:
        """Say now and then why nobody is accepted for a moment: descriptors, say, may run out for hours."""
        now = time.monotonic()
        if self.resting_at is None or now - self.resting_at >= PAUSE:
            self.resting_at = now
            self.log.error("Cannot accept connections: %s", os.strerror(self.loop.accept_errno))
        self.loop.accept_errno = 0
        return 0

    cdef int crowded(self) except -1:
        """Say now and then that there is no place for who comes."""
        now = time.monotonic()
        if self.crowded_at is None or now - self.crowded_at >= PAUSE:
            self.crowded_at = now
            self.log.warning(
                "All %d places of worker_connections are taken: who comes waits, or takes that of an idle connection",
                self.loop.config.connections,
            )
        return 0

    cdef int refusals(self) except -1:
        """Say whom the core has refused, and why."""
        cdef fw_refusals *met = &self.loop.env.refusals
        cdef fw_refusal *refusal
        cdef fw_error error
        cdef uint32_t i
        for i in range(met.count):
            refusal = &met.each[i]
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
            if (
                self.observers is not None and self.observers.access_log
                and error not in (FW_E_WRITE_TIMEOUT, FW_E_WRITE_RATE, FW_E_FILE_SHORT)
            ):
                status = str(fw_error_status(error) or CLIENT_GONE)
                line = refusal.line[: refusal.line_len].decode("latin-1")
                self.observers.refused(status, environ_of_line(line, address))
        if met.missed:
            self.log.warning("%d more requests were refused in the same turn", met.missed)
        met.count = met.missed = 0
        return 0

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
