# Names and methods of the core as objects, and bytes of a request as such: what is known is there already, only
# the rest is made. Inline, since each field of each request asks.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from fastwsgi.http.c_http cimport (
    FW_M_OTHER,
    FW_METHOD_COUNT,
    FW_N_OTHER,
    FW_NAME_COUNT,
    fw_field,
    fw_head,
    fw_span,
)

cdef enum:
    USUAL_MOST = 128


cdef struct Texts:
    # by the core's number; each borrowed from a list of _texts.pyx, which lives as long as the module
    PyObject *methods[FW_METHOD_COUNT]
    PyObject *lower_names[FW_NAME_COUNT]
    PyObject *title_names[FW_NAME_COUNT]
    # pairs of a name in lower case and a value that half the world sends, those of a name together
    PyObject *usual[USUAL_MOST]
    uint8_t usual_first[FW_NAME_COUNT]
    uint8_t usual_count[FW_NAME_COUNT]


cdef Texts texts


cdef inline bytes bytes_of(const char *base, fw_span span):
    return PyBytes_FromStringAndSize(base + span.off, span.len)


cdef inline bint is_same(PyObject *known, const char *base, fw_span span) noexcept:
    """Is it bytes with what the span holds?"""
    return (<uint32_t>PyBytes_GET_SIZE(<object>known) == span.len
            and memcmp(PyBytes_AS_STRING(<object>known), base + span.off, span.len) == 0)


cdef inline bytes method_of(const fw_head *head, const char *base):
    if head.method_id != FW_M_OTHER:
        return <bytes>texts.methods[head.method_id]
    return bytes_of(base, head.method)


cdef inline bytes name_as_sent(const fw_field *field, const char *base):
    """The name of a field in the sender's letters."""
    if field.id != FW_N_OTHER:
        if is_same(texts.title_names[field.id], base, field.name):
            return <bytes>texts.title_names[field.id]
        if is_same(texts.lower_names[field.id], base, field.name):
            return <bytes>texts.lower_names[field.id]
    return bytes_of(base, field.name)


cdef PyObject *usual_pair(const fw_field *field, const char *base) noexcept
