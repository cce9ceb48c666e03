"""What RequestParser tells: spans of the core become objects. `_events.pyi` documents what is public."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint32_t, uint64_t

from fastwsgi.http._texts cimport bytes_of, is_same, method_of, texts, usual_pair
from fastwsgi.http.c_http cimport (
    FW_BODY_CHUNKED,
    FW_BODY_LENGTH,
    FW_N_OTHER,
    fw_field,
    fw_head,
    fw_name_lower,
    fw_parser,
    fw_scan_same,
    fw_span,
)

cdef extern from "Python.h":
    object PyTuple_New(Py_ssize_t len)
    void PyTuple_SET_ITEM(object tuple, Py_ssize_t at, object item)
    PyObject *PyTuple_GET_ITEM(object tuple, Py_ssize_t at)
    Py_ssize_t PyTuple_GET_SIZE(object tuple)

cdef bytes VERSION_1_0 = b"1.0"
cdef bytes VERSION_1_1 = b"1.1"


cdef inline object pair_of(const fw_field *field, const char *base):
    """(name in lower case, value) of a field."""
    cdef object name, value, pair
    if field.id != FW_N_OTHER:
        name = <object>texts.lower_names[field.id]
    else:
        name = PyBytes_FromStringAndSize(NULL, field.name.len)
        fw_name_lower(base + field.name.off, field.name.len, PyBytes_AS_STRING(name))
    value = bytes_of(base, field.value)
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
        return name is texts.lower_names[field.id]
    return fw_scan_same(base + field.name.off, field.name.len, PyBytes_AS_STRING(<object>name),
                        PyBytes_GET_SIZE(<object>name))


cdef object first_pairs(const char *base, const fw_field *fields, uint32_t count):
    """All fields of a connection's first request: there is nothing to take them from but what all the world sends."""
    cdef object pairs = PyTuple_New(count), pair
    cdef PyObject *usual
    cdef uint32_t at
    for at in range(count):
        usual = usual_pair(&fields[at], base)
        pair = <object>usual if usual is not NULL else pair_of(&fields[at], base)
        Py_INCREF(pair)
        PyTuple_SET_ITEM(pairs, at, pair)
    return pairs


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
        if known is not NULL and is_same(PyTuple_GET_ITEM(<object>known, 1), base, fields[at].value):
            pair = <object>known
        else:
            pair = pair_of(&fields[at], base)
        Py_INCREF(pair)
        PyTuple_SET_ITEM(pairs, at, pair)
    return pairs


cdef object trailer_of(const fw_field *field, const char *base):
    return pair_of(field, base)


@cython.final
@cython.freelist(32)
@cython.no_gc
cdef class Request:
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


cdef Request request_of(const fw_parser *parser, const char *base, tuple before):
    cdef Request request = Request.__new__(Request)
    cdef const fw_head *head = &parser.head
    request.method = method_of(head, base)
    request.target = bytes_of(base, head.target)
    request.version = VERSION_1_1 if head.minor else VERSION_1_0
    if PyTuple_GET_SIZE(before) == 0:
        request.headers = first_pairs(base, head.fields, head.count)
    else:
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
    def __init__(self):
        raise TypeError("events are made by RequestParser")

    @property
    def data(self):
        return memoryview(self.source)[self.at : self.at + self.len]

    def __len__(self):
        return self.len

    def __bytes__(self):
        return PyBytes_FromStringAndSize(self.start, self.len)

    def __repr__(self):
        return f"<Data of {self.len} bytes>"


cdef Data data_of(object source, const char *buf, size_t at, size_t len):
    cdef Data event = Data.__new__(Data)
    event.source = source
    event.start = buf + at
    event.at = at
    event.len = len
    return event


@cython.final
@cython.no_gc
cdef class EndOfMessage:
    def __init__(self):
        raise TypeError("events are made by RequestParser")

    def __repr__(self):
        return f"<EndOfMessage, {len(self.trailers)} trailers>"


# Most messages have no trailers, and an event does not change.
cdef EndOfMessage PLAIN_END = EndOfMessage.__new__(EndOfMessage)
PLAIN_END.trailers = ()


cdef EndOfMessage end_of(list trailers):
    """`trailers` is None for none."""
    cdef EndOfMessage event
    if trailers is None:
        return PLAIN_END
    event = EndOfMessage.__new__(EndOfMessage)
    event.trailers = tuple(trailers)
    return event
