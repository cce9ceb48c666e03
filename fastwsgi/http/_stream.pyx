"""The stream of bytes that both parsers stand on."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastwsgi.http._limits cimport limits_of
from fastwsgi.http.c_http cimport (
    FW_E_FIELDS_TOO_MANY,
    FW_PARSER_FAIL,
    FW_PARSER_HEAD,
    FW_PARSER_MORE,
    fw_error,
    fw_error_name,
    fw_error_status,
    fw_error_text,
    fw_parser_reset,
    fw_parser_step,
    fw_parser_widen,
    fw_span,
)

from fastwsgi.http.errors import ProtocolError

cdef extern from "Python.h":
    Py_buffer *PyMemoryView_GET_BUFFER(object view)
    bint PyBuffer_IsContiguous(const Py_buffer *buffer, char order)

# Offsets of the core are 32 bits wide: so much of a long buffer is shown to it at once,
cdef size_t WINDOW = 1 << 30
# and so much where it has to be copied, since a line may end at once.
cdef size_t BLOCK = 1 << 16


cdef class Stream:
    """Bytes as they are shown, and the core's parser over them.

    What was shown is parsed where it lies. Only a line (or head) that a piece leaves unfinished is copied, to
    `pending`, and what comes next is put behind it until its end is there; then the parser goes on in the piece.
    """

    def __cinit__(self):
        self.limits = limits_of(None)[0]
        self.fields = self.few
        self.buf = self.base = b""
        self.next_request()

    def __dealloc__(self):
        if self.fields is not self.few:
            PyMem_Free(self.fields)
        PyMem_Free(self.pending)

    cdef void next_request(self) noexcept:
        fw_parser_reset(&self.parser, self.fields, FEW if self.fields is self.few else self.limits.fields)

    cdef int more_fields(self) except -1:
        """Room for as many fields as a head may have."""
        cdef fw_field *fields = <fw_field *>PyMem_Malloc(self.limits.fields * sizeof(fw_field))
        if fields is NULL:
            raise MemoryError
        fw_parser_widen(&self.parser, fields, self.limits.fields)
        self.fields = fields
        return 0

    cdef int show(self, object data) except -1:
        """Take `data` as what follows the bytes shown so far."""
        cdef Py_buffer *buffer
        if type(data) is not bytes:
            data = memoryview(data)
            buffer = PyMemoryView_GET_BUFFER(data)
            if not (buffer.ndim == 1 and buffer.itemsize == 1 and buffer.format[0] == c"B"
                    and PyBuffer_IsContiguous(buffer, c"C")):
                data = data.tobytes()
        if self.at < self.len:
            data = b"".join((self.buf[self.at : self.len], data))
            self.len = self.at
        self.start += self.len
        self.source = data
        self.at = 0
        if type(data) is bytes:
            self.buf = PyBytes_AS_STRING(data)
            self.len = PyBytes_GET_SIZE(data)
        else:
            buffer = PyMemoryView_GET_BUFFER(data)
            self.buf = <const char *>buffer.buf
            self.len = buffer.len
        return 0

    cdef void used_up(self) noexcept:
        """All that was shown is used or copied: let go of it."""
        self.start += self.len
        self.at = self.len = 0
        self.buf = self.base = b""
        self.source = None
        if self.pending_len == 0 and self.pending is not NULL:
            PyMem_Free(self.pending)
            self.pending = NULL
            self.pending_room = 0

    cdef int keep(self, const char *buf, size_t len) except -1:
        """Put a copy of buf[0..len) behind what is pending."""
        cdef size_t need = self.pending_len + len, room
        cdef char *pending
        if need > self.pending_room:
            room = max(need, 2 * self.pending_room, <size_t>256)
            pending = <char *>PyMem_Realloc(self.pending, room)
            if pending is NULL:
                raise MemoryError
            self.pending = pending
            self.pending_room = room
        memcpy(self.pending + self.pending_len, buf, len)
        self.pending_len = need
        return 0

    cdef fw_parser_event step(self) except? FW_PARSER_FAIL:
        """The next event of what was shown. After MORE nothing of it is needed any more."""
        cdef fw_parser_event event
        cdef size_t had, shown, used
        cdef uint8_t state
        cdef fw_span data = fw_span(0, 0)
        while True:
            had = self.pending_len
            if had == 0:
                shown = min(self.len - self.at, WINDOW)
                self.base = self.buf + self.at
            else:
                shown = min(self.len - self.at, BLOCK)
                if shown == 0:
                    return FW_PARSER_MORE
                self.keep(self.buf + self.at, shown)
                self.base = self.pending
            self.base_start = self.start + self.at - had
            state = self.parser.state
            event = fw_parser_step(&self.parser, self.base, had + shown, &self.limits, &used, &data,
                                   &self.field)
            if (event == FW_PARSER_FAIL and state == FW_PARSER_HEAD
                    and self.parser.error == FW_E_FIELDS_TOO_MANY and self.fields is self.few
                    and self.limits.fields > FEW):
                self.more_fields()
                event = fw_parser_step(&self.parser, self.base, had + shown, &self.limits, &used, &data,
                                       &self.field)
            if event == FW_PARSER_FAIL:
                self.fault = self.base_start + (self.parser.head.done if state == FW_PARSER_HEAD else used)
                return event
            if used == 0 and had > 0:
                # the end of the pending line has not come; with it, all of the line is used
                self.at += shown
                continue
            self.data_at = self.at + data.off - had
            self.data_len = data.len
            self.at += used - had
            self.pending_len = 0
            if event != FW_PARSER_MORE:
                return event
            shown -= used - had
            if shown > 0 and had == 0:
                self.keep(self.buf + self.at, shown)
                self.at += shown
            if self.at == self.len:
                return event

    cdef object error(self):
        """The refusal, as an exception. Only after FAIL."""
        cdef fw_error error = <fw_error>self.parser.error
        return ProtocolError(
            fw_error_name(error).decode(), fw_error_status(error), fw_error_text(error).decode(), self.fault
        )
