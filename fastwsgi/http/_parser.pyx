"""RequestParser, its events and its limits, and the stream of bytes that both parsers stand on.

The core decides everything; here spans become objects. `_parser.pyi` documents what is public.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from fastwsgi.http.c_http cimport (
    FW_BODY_CHUNKED,
    FW_BODY_LENGTH,
    FW_E_PEER_CLOSED,
    FW_M_CONNECT,
    FW_M_OTHER,
    FW_METHOD_COUNT,
    FW_N_OTHER,
    FW_NAME_COUNT,
    FW_PARSER_FAIL,
    FW_PARSER_GOT_DATA,
    FW_PARSER_GOT_END,
    FW_PARSER_GOT_FIELD,
    FW_PARSER_GOT_HEAD,
    FW_PARSER_HEAD,
    FW_PARSER_MORE,
    FW_RULE_ANY_METHOD,
    FW_RULE_REFUSE_UNDERSCORE,
    fw_error,
    fw_error_name,
    fw_error_status,
    fw_error_text,
    fw_head,
    fw_limits_default,
    fw_method_text,
    fw_name_lower,
    fw_name_text,
    fw_parser_reset,
    fw_parser_step,
    fw_scan_same,
    fw_span,
)

from fastwsgi.http.errors import ProtocolError

cdef extern from "Python.h":
    object PyTuple_New(Py_ssize_t len)
    void PyTuple_SET_ITEM(object tuple, Py_ssize_t at, object item)
    PyObject *PyTuple_GET_ITEM(object tuple, Py_ssize_t at)
    Py_ssize_t PyTuple_GET_SIZE(object tuple)
    Py_buffer *PyMemoryView_GET_BUFFER(object view)
    bint PyBuffer_IsContiguous(const Py_buffer *buffer, char order)

# ---- constants: the texts of the core as objects ----

# Borrowed from the lists below, which live as long as the module.
cdef PyObject *lower_names[FW_NAME_COUNT]
cdef PyObject *title_names[FW_NAME_COUNT]
cdef PyObject *methods[FW_METHOD_COUNT]

# Not what bytes.title() makes of them: the spelling in which they are usually sent.
cdef dict UNTITLED = {b"dnt": b"DNT", b"te": b"TE", b"etag": b"ETag", b"sec-gpc": b"Sec-GPC"}


cdef list fill_names(bint title):
    cdef size_t size
    cdef const char *text
    texts = []
    for name in range(FW_NAME_COUNT):
        text = fw_name_text(name, &size)
        lower = text[:size]
        if title:
            texts.append(UNTITLED.get(lower, lower.title()))
            title_names[name] = <PyObject *>texts[name]
        else:
            texts.append(lower)
            lower_names[name] = <PyObject *>texts[name]
    return texts


cdef list fill_methods():
    texts = []
    for method in range(FW_METHOD_COUNT):
        texts.append(<bytes>fw_method_text(method))
        methods[method] = <PyObject *>texts[method]
    return texts


cdef list LOWER_NAMES = fill_names(False)
cdef list TITLE_NAMES = fill_names(True)
cdef list METHODS = fill_methods()
cdef bytes VERSION_1_0 = b"1.0"
cdef bytes VERSION_1_1 = b"1.1"


cdef object method_of(fw_parser *parser, const char *base):
    cdef fw_head *head = &parser.head
    if head.method_id != FW_M_OTHER:
        return <object>methods[head.method_id]
    return PyBytes_FromStringAndSize(base + head.method.off, head.method.len)


cdef object name_as_sent(const char *base, const fw_field *field):
    """The name of a field in the sender's letters."""
    cdef const char *name = base + field.name.off
    cdef PyObject *known
    if field.id != FW_N_OTHER:
        known = title_names[field.id]
        if memcmp(name, PyBytes_AS_STRING(<object>known), field.name.len) == 0:
            return <object>known
        known = lower_names[field.id]
        if memcmp(name, PyBytes_AS_STRING(<object>known), field.name.len) == 0:
            return <object>known
    return PyBytes_FromStringAndSize(name, field.name.len)


cdef inline object pair_of(const char *base, const fw_field *field):
    """(name in lower case, value) of a field."""
    cdef object name, value, pair
    if field.id != FW_N_OTHER:
        name = <object>lower_names[field.id]
    else:
        name = PyBytes_FromStringAndSize(NULL, field.name.len)
        fw_name_lower(base + field.name.off, field.name.len, PyBytes_AS_STRING(name))
    value = PyBytes_FromStringAndSize(base + field.value.off, field.value.len)
    pair = PyTuple_New(2)
    Py_INCREF(name)
    PyTuple_SET_ITEM(pair, 0, name)
    Py_INCREF(value)
    PyTuple_SET_ITEM(pair, 1, value)
    return pair


cdef inline bint has_name(PyObject *pair, const char *base, const fw_field *field) noexcept:
    """Is it a pair of that field's name?"""
    cdef PyObject *name = PyTuple_GET_ITEM(<object>pair, 0)
    if field.id != FW_N_OTHER:
        return name is lower_names[field.id]
    return fw_scan_same(base + field.name.off, field.name.len, PyBytes_AS_STRING(<object>name),
                        PyBytes_GET_SIZE(<object>name))


cdef inline bint has_value(PyObject *pair, const char *base, const fw_field *field) noexcept:
    cdef PyObject *value = PyTuple_GET_ITEM(<object>pair, 1)
    return (<uint32_t>PyBytes_GET_SIZE(<object>value) == field.value.len
            and memcmp(PyBytes_AS_STRING(<object>value), base + field.value.off, field.value.len) == 0)


cdef object pairs_of(const char *base, const fw_field *fields, uint32_t count, object before):
    """All fields. Pairs that the request before this one had as well, in the same order, are taken from it: on a
    connection most fields of a client stay as they are, and to compare one costs a fifth of making it."""
    cdef object pairs = PyTuple_New(count), pair
    cdef Py_ssize_t there = PyTuple_GET_SIZE(before), old = 0
    cdef PyObject *known
    cdef uint32_t at
    for at in range(count):
        known = NULL
        if old < there:
            known = PyTuple_GET_ITEM(before, old)
            if not has_name(known, base, &fields[at]):
                # one that is new, or one that is gone
                known = PyTuple_GET_ITEM(before, old + 1) if old + 1 < there else NULL
                if known is not NULL and has_name(known, base, &fields[at]):
                    old += 1
                else:
                    known = NULL
            if known is not NULL:
                old += 1
        if known is not NULL and has_value(known, base, &fields[at]):
            pair = <object>known
        else:
            pair = pair_of(base, &fields[at])
        Py_INCREF(pair)
        PyTuple_SET_ITEM(pairs, at, pair)
    return pairs


# ---- limits ----

# Offsets of the core are 32 bits wide, and what a parser looks at at once is a limit and a window.
cdef uint32_t LIMIT_MOST = 1 << 28
cdef uint32_t FIELDS_MOST = 1 << 16
cdef size_t WINDOW = 1 << 30
cdef size_t BLOCK = 1 << 16


cdef uint32_t checked(str name, value, uint32_t least, uint32_t most) except? 0:
    if not isinstance(value, int):
        raise TypeError(f"{name} is a number, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, and has to be from {least} to {most}")
    return value


@cython.final
cdef class Limits:
    def __init__(self, *, line=None, fields=None, field_size=None, head=None, chunk_line=None, trailer=None,
                 body=None, bint any_method=False, bint refuse_underscore=False):
        cdef fw_limits *limits = &self.limits
        limits[0] = fw_limits_default()
        if line is not None:
            limits.line = checked("line", line, 0, LIMIT_MOST)
        if fields is not None:
            limits.fields = checked("fields", fields, 0, FIELDS_MOST)
        if field_size is not None:
            limits.field_size = checked("field_size", field_size, 0, LIMIT_MOST)
        if head is not None:
            limits.head = checked("head", head, 1, LIMIT_MOST)
        if chunk_line is not None:
            limits.chunk_line = checked("chunk_line", chunk_line, 3, LIMIT_MOST)
        if trailer is not None:
            limits.trailer = checked("trailer", trailer, 0, LIMIT_MOST)
        if body is not None:
            if body < 0:
                raise ValueError(f"body is {body}, and has to be 0 (no limit) or more")
            limits.body = body
        limits.rules = ((FW_RULE_ANY_METHOD if any_method else 0)
                        | (FW_RULE_REFUSE_UNDERSCORE if refuse_underscore else 0))

    @property
    def line(self):
        return self.limits.line

    @property
    def fields(self):
        return self.limits.fields

    @property
    def field_size(self):
        return self.limits.field_size

    @property
    def head(self):
        return self.limits.head

    @property
    def chunk_line(self):
        return self.limits.chunk_line

    @property
    def trailer(self):
        return self.limits.trailer

    @property
    def body(self):
        return self.limits.body

    @property
    def any_method(self):
        return bool(self.limits.rules & FW_RULE_ANY_METHOD)

    @property
    def refuse_underscore(self):
        return bool(self.limits.rules & FW_RULE_REFUSE_UNDERSCORE)

    def __repr__(self):
        return (f"Limits(line={self.line}, fields={self.fields}, field_size={self.field_size}, "
                f"head={self.head}, chunk_line={self.chunk_line}, trailer={self.trailer}, body={self.body}, "
                f"any_method={self.any_method}, refuse_underscore={self.refuse_underscore})")


cdef Limits DEFAULT_LIMITS = Limits()


# ---- the stream ----

cdef class Stream:
    """Bytes as they are shown, and the core's parser over them.

    What was shown is parsed where it lies. Only a line (or head) that a piece leaves unfinished is copied, to
    `pending`, and what comes next is put behind it until its end is there; then the parser goes on in the piece.
    """

    def __cinit__(self, *args, **kwargs):
        self.buf = b""
        self.base = self.buf

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.pending)

    cdef int set_up(self, Limits limits) except -1:
        if self.fields is not NULL:
            raise RuntimeError("a parser is made once")
        self.limits = limits.limits
        self.fields = <fw_field *>PyMem_Malloc(max(self.limits.fields, 1) * sizeof(fw_field))
        if self.fields is NULL:
            raise MemoryError
        fw_parser_reset(&self.parser, self.fields, self.limits.fields)
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

    cdef fw_parser_event step(self) except *:
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


# ---- events ----

@cython.final
@cython.freelist(32)
@cython.no_gc
cdef class Request:
    cdef readonly bytes method
    cdef readonly bytes target
    cdef readonly bytes version
    cdef readonly tuple headers
    cdef readonly bint chunked
    cdef readonly bint keep_alive
    cdef readonly bint expect_continue
    cdef readonly bint upgrade
    cdef uint64_t length
    cdef bint has_length
    cdef bint names_host        # the target has an authority
    cdef fw_span path_span      # these three: of target
    cdef fw_span query_span
    cdef fw_span host_span

    def __init__(self):
        raise TypeError("requests are made by RequestParser")

    @property
    def content_length(self):
        return self.length if self.has_length else None

    @property
    def path(self):
        return self.target[self.path_span.off : self.path_span.off + self.path_span.len]

    @property
    def query(self):
        return self.target[self.query_span.off : self.query_span.off + self.query_span.len]

    @property
    def host(self):
        if self.names_host:
            return self.target[self.host_span.off : self.host_span.off + self.host_span.len]
        for name, value in self.headers:
            if name == b"host":
                return value
        return b""

    def __repr__(self):
        return f"<Request {self.method!r} {self.target!r}, {len(self.headers)} headers>"


cdef inline fw_span within(fw_span span, fw_span outer) noexcept:
    """A span of the same bytes counted from the start of `outer`."""
    return fw_span(span.off - outer.off, span.len)


cdef Request request_of(fw_parser *parser, const char *base, tuple before):
    cdef Request request = Request.__new__(Request)
    cdef fw_head *head = &parser.head
    request.method = method_of(parser, base)
    request.target = PyBytes_FromStringAndSize(base + head.target.off, head.target.len)
    request.version = VERSION_1_1 if head.minor else VERSION_1_0
    request.headers = pairs_of(base, head.fields, head.count, before)
    request.chunked = parser.framing.kind == FW_BODY_CHUNKED
    request.has_length = parser.framing.kind == FW_BODY_LENGTH
    request.length = parser.framing.length
    request.keep_alive = parser.framing.keep_alive
    request.expect_continue = parser.framing.expect_continue
    request.upgrade = parser.framing.upgrade
    request.path_span = within(head.path, head.target)
    request.query_span = within(head.query, head.target)
    request.names_host = head.authority.len > 0
    if request.names_host:
        request.host_span = within(head.authority, head.target)
    return request


@cython.final
@cython.freelist(32)
cdef class Data:
    cdef readonly object data

    def __init__(self):
        raise TypeError("events are made by RequestParser")

    def __len__(self):
        return len(self.data)

    def __bytes__(self):
        return bytes(self.data)

    def __repr__(self):
        return f"<Data of {len(self.data)} bytes>"


@cython.final
@cython.no_gc
cdef class EndOfMessage:
    cdef readonly tuple trailers

    def __init__(self):
        raise TypeError("events are made by RequestParser")

    def __repr__(self):
        return f"<EndOfMessage, {len(self.trailers)} trailers>"


cdef EndOfMessage end_of_message(tuple trailers):
    cdef EndOfMessage event = EndOfMessage.__new__(EndOfMessage)
    event.trailers = trailers
    return event


# Most messages have no trailers, and an event does not change.
cdef EndOfMessage PLAIN_END = end_of_message(())


# ---- the parser ----

cdef enum Hold:
    RUNNING
    UPGRADE
    CLOSED
    FAILED

cdef tuple STATES = ("running", "upgrade", "closed", "failed")


@cython.final
cdef class RequestParser(Stream):
    cdef Hold hold
    cdef bint tunnel            # the request is CONNECT or asks for an upgrade
    cdef bint last              # the request is the last of its connection
    cdef object view            # of source, made for the first Data in it
    cdef tuple headers          # of the last request
    cdef list trailers          # of the request that is running, None without any

    def __cinit__(self, *args, **kwargs):
        self.headers = ()

    def __init__(self, limits=None):
        self.set_up(DEFAULT_LIMITS if limits is None else <Limits?>limits)

    def feed(self, data):
        if self.busy:
            raise RuntimeError("feed() inside of a parser's own work, or after an error there")
        if self.hold == CLOSED or self.hold == FAILED:
            return self
        self.busy = True
        try:
            self.view = None
            self.show(data)
        finally:
            self.busy = False
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef object event
        if self.hold != RUNNING:
            if self.hold == FAILED:
                raise self.error()
        elif self.at < self.len or self.parser.state != FW_PARSER_HEAD:
            if self.busy:
                raise RuntimeError("next() inside of a parser's own work, or after an error there")
            self.busy = True
            event = self.next_event()
            self.busy = False
            if event is not None:
                return event
        raise StopIteration

    cdef object next_event(self):
        cdef fw_parser_event event
        cdef Request request
        while True:
            event = self.step()
            if event == FW_PARSER_GOT_HEAD:
                self.tunnel = self.parser.framing.upgrade or self.parser.head.method_id == FW_M_CONNECT
                self.last = not self.parser.framing.keep_alive
                request = request_of(&self.parser, self.base, self.headers)
                self.headers = request.headers
                return request
            if event == FW_PARSER_GOT_END:
                return self.end()
            if event == FW_PARSER_GOT_DATA:
                return self.data()
            if event == FW_PARSER_GOT_FIELD:
                if self.trailers is None:
                    self.trailers = []
                self.trailers.append(pair_of(self.base, &self.field))
                continue
            if event == FW_PARSER_FAIL:
                self.hold = FAILED
                self.busy = False
                raise self.error()
            self.view = None
            self.used_up()
            return None

    cdef object data(self):
        cdef Data event = Data.__new__(Data)
        if self.view is None:
            self.view = memoryview(self.source)
        event.data = self.view[self.data_at : self.data_at + self.data_len]
        return event

    cdef object end(self):
        cdef object event = PLAIN_END
        if self.trailers is not None:
            event = end_of_message(tuple(self.trailers))
            self.trailers = None
        if self.tunnel:
            self.hold = UPGRADE
        elif self.last:
            self.hold = CLOSED
        fw_parser_reset(&self.parser, self.fields, self.limits.fields)
        if self.at == self.len:
            self.view = None
            self.used_up()
        return event

    def resume(self):
        if self.hold != UPGRADE:
            raise RuntimeError(f"resume() of a parser that is {STATES[<int>self.hold]}, not held for an upgrade")
        self.hold = CLOSED if self.last else RUNNING
        return self

    def finish(self):
        if self.hold == FAILED:
            raise self.error()
        if self.hold == RUNNING and (self.pending_len or self.at < self.len
                                     or self.parser.state != FW_PARSER_HEAD):
            self.fault = self.start + self.len
            raise ProtocolError(
                fw_error_name(FW_E_PEER_CLOSED).decode(), fw_error_status(FW_E_PEER_CLOSED),
                fw_error_text(FW_E_PEER_CLOSED).decode(), self.fault,
            )

    @property
    def state(self):
        return STATES[<int>self.hold]

    @property
    def leftover(self):
        return self.pending[: self.pending_len] + self.buf[self.at : self.len]
