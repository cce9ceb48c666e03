"""The core's access lines as a function: what is the line of a request that a test, or a tool, makes up?

A worker writes its lines without any Python (fastwsgi._loop).
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fastwsgi.c_server cimport *

cdef extern from "fw_head.h" nogil:
    ssize_t fw_head_parse(const char *buf, size_t len, size_t seen, const fw_limits *limits, fw_head *head)

cdef extern from "fw_access.h" nogil:
    struct fw_access_entry:
        const char *addr
        size_t addr_len
        unsigned status
        uint64_t sent
        uint64_t took_ns

    void fw_access_of_head(fw_access_entry *entry, const char *base, const fw_head *head)
    void fw_access_of_line(fw_access_entry *entry, const char *base, fw_span line)
    void fw_access_note(fw_access *access, const fw_access_entry *entry)


cdef class Format:
    """A format of the access log, compiled. ValueError: it names what only Python has."""

    cdef fw_access access
    cdef bint made
    cdef bytes mount

    def __init__(self, str format, int fd=-1, str script_name=""):
        cdef bytes text = format.encode("utf-8", "backslashreplace")
        cdef fw_access_result result
        self.mount = script_name.encode("latin-1")
        result = fw_access_init(&self.access, text, len(text), fd, self.mount, len(self.mount))
        if result == FW_ACCESS_NO_MEMORY:
            raise MemoryError
        if result == FW_ACCESS_PYTHON:
            raise ValueError(f"the core cannot make lines of {format!r}")
        self.made = True

    def __dealloc__(self):
        if self.made:
            fw_access_drop(&self.access)

    def write(self, bytes head, str addr, unsigned status, uint64_t sent, uint64_t took_ns):
        """Write the line of a request: `head` is what it began with, whole or not. OSError: it is lost."""
        cdef fw_access_entry entry
        cdef fw_head parsed
        cdef fw_limits limits = fw_limits_default()
        cdef fw_span line
        cdef bytes address = addr.encode("latin-1")
        cdef uint64_t lost = self.access.sink.lost
        memset(&entry, 0, sizeof(entry))
        memset(&parsed, 0, sizeof(parsed))
        entry.addr = address
        entry.addr_len = len(address)
        entry.status = status
        entry.sent = sent
        entry.took_ns = took_ns
        parsed.room = limits.fields
        parsed.fields = <fw_field *>malloc(limits.fields * sizeof(fw_field))
        if parsed.fields is NULL:
            raise MemoryError
        try:
            if fw_head_parse(head, len(head), 0, &limits, &parsed) > 0:
                fw_access_of_head(&entry, head, &parsed)
            else:
                line.off = 0
                line.len = len(head.partition(b"\r")[0])
                fw_access_of_line(&entry, head, line)
            fw_access_note(&self.access, &entry)
            fw_sink_flush(&self.access.sink, FW_SINK_WAIT_MS)
        finally:
            free(parsed.fields)
        if self.access.sink.lost != lost:
            raise OSError(self.access.sink.problem, "the line could not be written")
