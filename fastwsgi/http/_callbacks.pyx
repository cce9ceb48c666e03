"""HttpRequestParser: the callback interface of httptools over the core's parser.

`_callbacks.pyi` documents it, with what differs.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint8_t, uint32_t

from fastwsgi.http._limits cimport limits_of
from fastwsgi.http._stream cimport Stream
from fastwsgi.http._texts cimport bytes_of, is_same, method_of, name_as_sent
from fastwsgi.http.c_http cimport (
    FW_BODY_CHUNKED,
    FW_BODY_S_DATA,
    FW_BODY_S_DATA_END,
    FW_BODY_S_END,
    FW_BODY_S_TRAILER,
    FW_E_METHOD,
    FW_E_TARGET,
    FW_E_TARGET_FORM,
    FW_M_CONNECT,
    FW_N_OTHER,
    FW_NAME_COUNT,
    FW_PARSER_BODY,
    FW_PARSER_FAIL,
    FW_PARSER_GOT_DATA,
    FW_PARSER_GOT_END,
    FW_PARSER_GOT_FIELD,
    FW_PARSER_GOT_HEAD,
    fw_field,
    fw_parser_event,
)

from fastwsgi.http.errors import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
)

# Values longer than this are not kept: a connection that idles should be small.
cdef uint32_t KEPT_MOST = 256


cdef class HttpRequestParser(Stream):
    cdef object on_message_begin, on_url, on_header, on_headers_complete, on_body, on_message_complete
    cdef object on_chunk_header, on_chunk_complete, on_trailer
    cdef object method
    cdef object version
    cdef str calling            # the callback that is running
    cdef object failure         # what feed_data raises from now on
    cdef PyObject **values      # owned, each, from the second request on: the last value of each known name
    cdef bint made
    cdef bint again             # there was a request before this one
    cdef bint keep_alive
    cdef bint upgrade
    cdef bint closed            # the last request of the connection is whole
    cdef bint last_chunk        # its size line has come

    def __dealloc__(self):
        cdef uint32_t name
        if self.values is not NULL:
            for name in range(FW_NAME_COUNT):
                Py_XDECREF(self.values[name])
            PyMem_Free(self.values)

    def __init__(self, protocol, *, limits=None):
        if self.made:
            raise RuntimeError("a parser is made once")
        self.made = True
        if limits is not None:
            self.limits = limits_of(limits)[0]
        self.on_message_begin = getattr(protocol, "on_message_begin", None)
        self.on_url = getattr(protocol, "on_url", None)
        self.on_header = getattr(protocol, "on_header", None)
        self.on_headers_complete = getattr(protocol, "on_headers_complete", None)
        self.on_body = getattr(protocol, "on_body", None)
        self.on_message_complete = getattr(protocol, "on_message_complete", None)
        self.on_chunk_header = getattr(protocol, "on_chunk_header", None)
        self.on_chunk_complete = getattr(protocol, "on_chunk_complete", None)
        self.on_trailer = getattr(protocol, "on_trailer", None)
        self.method = b""
        self.version = "0.0"

    def get_method(self):
        return self.method

    def get_http_version(self):
        return self.version

    def should_keep_alive(self):
        return self.keep_alive

    def should_upgrade(self):
        return self.upgrade

    def set_dangerous_leniencies(self, lenient_headers=None, lenient_chunked_length=None, lenient_keep_alive=None,
                                 lenient_transfer_encoding=None, lenient_version=None,
                                 lenient_data_after_close=None, lenient_optional_lf_after_cr=None,
                                 lenient_optional_cr_before_lf=None, lenient_optional_crlf_after_chunk=None,
                                 lenient_spaces_after_chunk_size=None):
        if (lenient_headers or lenient_chunked_length or lenient_keep_alive or lenient_transfer_encoding
                or lenient_version or lenient_optional_lf_after_cr or lenient_optional_cr_before_lf
                or lenient_optional_crlf_after_chunk or lenient_spaces_after_chunk_size):
            raise ValueError("this parser has no leniencies")

    def feed_data(self, data):
        cdef size_t at
        if self.busy:
            raise RuntimeError("feed_data() in a callback of the same parser")
        if self.failure is not None:
            raise self.failure
        if self.closed:
            return
        self.busy = True
        try:
            self.show(data)
            self.parse()
        finally:
            self.used_up()
            self.busy = False

    cdef int parse(self) except -1:
        cdef size_t at
        cdef bint leaves
        try:
            leaves = self.run()
        except BaseException as error:
            # whatever it was, the bytes behind it are lost, and the parser with them
            if self.failure is None:
                name = self.calling
                self.calling = None
                self.failure = HttpParserCallbackError(f"`{name}` callback error" if name else "out of memory")
                if name is not None and isinstance(error, Exception):
                    raise self.failure from error
            raise
        if leaves:
            at = self.at
            self.at = self.len
            raise HttpParserUpgrade(at)
        return 0

    cdef bint run(self) except *:
        """Parse what was shown. True if it ends in front of what is no longer HTTP."""
        cdef fw_parser_event event
        cdef uint8_t before
        while self.at < self.len or self.parser.state == FW_PARSER_BODY:
            before = self.parser.body.state
            event = self.step()
            if event == FW_PARSER_GOT_HEAD:
                self.head()
                continue
            if self.parser.body.kind == FW_BODY_CHUNKED:
                self.chunks(event, before)
            if event == FW_PARSER_GOT_DATA:
                if self.on_body is not None:
                    self.calling = "on_body"
                    self.on_body(PyBytes_FromStringAndSize(self.buf + self.data_at, self.data_len))
                    self.calling = None
            elif event == FW_PARSER_GOT_FIELD:
                if self.on_trailer is not None:
                    self.calling = "on_trailer"
                    self.on_trailer(name_as_sent(&self.field, self.base), bytes_of(self.base, self.field.value))
                    self.calling = None
            elif event == FW_PARSER_GOT_END:
                self.next_request()
                self.last_chunk = False
                self.call("on_message_complete", self.on_message_complete)
                if self.upgrade:
                    return True
                if not self.keep_alive:
                    self.closed = True
                    self.at = self.len
                    return False
            elif event == FW_PARSER_FAIL:
                self.fail()
            else:
                return False
        return False

    cdef int call(self, str name, callback) except -1:
        if callback is not None:
            self.calling = name
            callback()
            self.calling = None
        return 0

    cdef int head(self) except -1:
        cdef const fw_field *field = self.parser.head.fields
        cdef const fw_field *end = field + self.parser.head.count
        cdef object call = self.on_header
        self.method = method_of(&self.parser.head, self.base)
        self.version = "1.1" if self.parser.head.minor else "1.0"
        self.keep_alive = self.parser.framing.keep_alive
        self.upgrade = self.parser.framing.upgrade or self.parser.head.method_id == FW_M_CONNECT
        self.call("on_message_begin", self.on_message_begin)
        if self.on_url is not None:
            self.calling = "on_url"
            self.on_url(bytes_of(self.base, self.parser.head.target))
        if call is not None:
            if self.again and self.values is NULL:
                self.values = <PyObject **>PyMem_Calloc(FW_NAME_COUNT, sizeof(PyObject *))
                if self.values is NULL:
                    raise MemoryError
            self.again = True
            self.calling = "on_header"
            while field < end:
                call(name_as_sent(field, self.base), self.value_of(field))
                field += 1
        self.calling = None
        self.call("on_headers_complete", self.on_headers_complete)
        return 0

    cdef bytes value_of(self, const fw_field *field):
        """The value of a field. On a connection most stay as they are, and to compare one costs less than to make
        it."""
        cdef PyObject *known
        cdef bytes value
        if self.values is NULL or field.id == FW_N_OTHER:
            return bytes_of(self.base, field.value)
        known = self.values[field.id]
        if known is not NULL and is_same(known, self.base, field.value):
            return <bytes>known
        value = bytes_of(self.base, field.value)
        if field.value.len <= KEPT_MOST:
            Py_INCREF(value)
            self.values[field.id] = <PyObject *>value
            Py_XDECREF(known)
        return value

    cdef int chunks(self, fw_parser_event event, uint8_t before) except -1:
        """Call for the chunks that ended and began in the last step: one at most, and the last."""
        cdef uint8_t now = self.parser.body.state
        if before == FW_BODY_S_DATA_END and (now != FW_BODY_S_DATA_END or event == FW_PARSER_GOT_DATA):
            self.call("on_chunk_complete", self.on_chunk_complete)
        if before != FW_BODY_S_DATA and (now == FW_BODY_S_DATA or event == FW_PARSER_GOT_DATA):
            self.call("on_chunk_header", self.on_chunk_header)
        if (now == FW_BODY_S_TRAILER or now == FW_BODY_S_END) and not self.last_chunk:
            self.last_chunk = True
            self.call("on_chunk_header", self.on_chunk_header)
        if event == FW_PARSER_GOT_END:
            self.call("on_chunk_complete", self.on_chunk_complete)
        return 0

    cdef int fail(self) except -1:
        cdef uint32_t error = self.parser.error
        cause = self.error()
        if error == FW_E_METHOD:
            kind = HttpParserInvalidMethodError
        elif error == FW_E_TARGET or error == FW_E_TARGET_FORM:
            kind = HttpParserInvalidURLError
        else:
            kind = HttpParserError
        self.failure = kind(str(cause))
        self.failure.__cause__ = cause
        self.at = self.len
        raise self.failure
