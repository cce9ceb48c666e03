"""The head of a response: what start_response is given becomes lines of the head.

No byte is judged here, the core checks what is written. Applications give the same str objects again and again, so
names that it has accepted are remembered with their ids, and whole lines with their text: from the second time on, so
that values made for one response do not push out those that come again.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF, Py_XINCREF
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastwsgi.c_server cimport *

cdef extern from "Python.h":
    void *PyUnicode_1BYTE_DATA(PyObject *o)
    int PyUnicode_KIND(object o)
    int PyUnicode_1BYTE_KIND
    bint PyUnicode_Check(object o)
    int PyUnicode_CHECK_INTERNED(PyObject *o)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *o)
    PyObject *PyTuple_GET_ITEM(object t, Py_ssize_t index)


cdef str error_text(fw_error error):
    return fw_error_text(error).decode("ascii")


cdef const char *latin1(value, str what, Py_ssize_t *len) except NULL:
    """The bytes of a native string (PEP 3333: str whose code points are all below 256). Borrowed from it."""
    if not PyUnicode_Check(value):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if PyUnicode_KIND(value) != PyUnicode_1BYTE_KIND:
        raise ValueError(f"{what} has a character that is not in latin-1")
    len[0] = PyUnicode_GET_LENGTH(<PyObject *>value)
    return <const char *>PyUnicode_1BYTE_DATA(<PyObject *>value)


cdef inline size_t set_of(PyObject *name, PyObject *value) noexcept:
    return ((<size_t>name >> 4) ^ (<size_t>value >> 5)) & (LINE_SETS - 1)


cdef inline Line *line_in(LineSet *set, PyObject *name, PyObject *value) noexcept:
    """The line that these two objects were written as before, or NULL."""
    if set.lines[0].name == name and set.lines[0].value == value:
        return &set.lines[0]
    if set.lines[1].name == name and set.lines[1].value == value:
        return &set.lines[1]
    return NULL


cdef inline bint is_remembered(int id, name, value):
    """May the line of this field be kept beyond its response, for when the same two objects come again?

    Not what may be a secret: of a field that nobody knows, only a value that the interpreter keeps as well.
    """
    if type(name) is not str or type(value) is not str or not fw_resp_repeats(<fw_name>id):
        return False
    if id == FW_N_OTHER:
        return PyUnicode_CHECK_INTERNED(<PyObject *>value) != 0
    return id != FW_N_SET_COOKIE and id != FW_N_LOCATION and id != FW_N_WWW_AUTHENTICATE


cdef void remember(LineSet *set, name, PyObject *value, const fw_conn *conn, size_t len) noexcept:
    """Keep the last `len` bytes of the head, if these two come for the second time: they are the line of this status,
    or of this field. Other objects at the same addresses count as well, which does no harm.
    """
    cdef size_t both = <size_t><PyObject *>name ^ (<size_t>value << 1)
    cdef Line *line = &set.lines[set.oldest]
    if len > LINE_MOST:
        return
    if set.sighted != both:
        set.sighted = both
        return
    set.oldest ^= 1
    Py_INCREF(name)
    Py_XINCREF(value)
    Py_XDECREF(line.name)
    Py_XDECREF(line.value)
    line.name = <PyObject *>name
    line.value = value
    line.status = conn.resp.status
    line.len = <uint8_t>len
    memcpy(line.text, conn.out.data + conn.out.len - len, len)


cdef class HeadWriter:
    """Writes the heads of one worker's responses, and remembers what will come again.

    Raises ValueError or TypeError for what must not be sent.
    """

    def __dealloc__(self):
        for i in range(NAME_SLOTS):
            Py_XDECREF(self.names[i])
        for i in range(LINE_SETS):
            for j in range(2):
                Py_XDECREF(self.sets[i].lines[j].name)
                Py_XDECREF(self.sets[i].lines[j].value)

    cdef int put_status(self, fw_conn *conn, status) except -1:
        cdef LineSet *set = &self.sets[set_of(<PyObject *>status, NULL)]
        cdef Line *line = line_in(set, <PyObject *>status, NULL)
        cdef fw_error error
        cdef Py_ssize_t len
        cdef const char *data
        if line is not NULL:
            error = fw_resp_status_again(
                &conn.resp, &conn.out, &conn.env.blocks, line.text, line.len, line.status
            )
        else:
            data = latin1(status, "status", &len)
            error = fw_resp_status(&conn.resp, &conn.out, &conn.env.blocks, data, <size_t>len)
            if error == FW_OK and type(status) is str:
                remember(set, status, NULL, conn, conn.resp.head_len)
        if error != FW_OK:
            raise ValueError(f"{error_text(error)}: {status!r}")
        return 0

    cdef int put_fields(self, fw_conn *conn, list headers) except -1:
        for field in headers:
            if not PyTuple_CheckExact(field) or PyTuple_GET_SIZE(field) != 2:
                name, value = field # PEP 3333 asks for tuples; any pair will do
                field = (name, value)
            self.put_line(conn, <tuple>field)
        return 0

    cdef int put_line(self, fw_conn *conn, tuple field) except -1:
        """One field of the response, from memory if these two objects were written before."""
        cdef PyObject *name = PyTuple_GET_ITEM(field, 0)
        cdef PyObject *value = PyTuple_GET_ITEM(field, 1)
        cdef LineSet *set = &self.sets[set_of(name, value)]
        cdef Line *line = line_in(set, name, value)
        cdef size_t before
        cdef int id
        if line is not NULL:
            if fw_resp_field_again(&conn.resp, &conn.out, &conn.env.blocks, line.text, line.len) != FW_OK:
                raise MemoryError
            return 0
        before = conn.resp.head_len
        id = write_field(self, &conn.resp, &conn.out, &conn.env.blocks, <object>name, <object>value)
        if is_remembered(id, <object>name, <object>value):
            remember(set, <object>name, value, conn, conn.resp.head_len - before)
        return 0

    cdef int put_field(self, fw_resp *resp, fw_buf *out, fw_pool *pool, name, value) except -1:
        """One field of any head."""
        write_field(self, resp, out, pool, name, value)
        return 0

    cdef int name_id(self, name, const char **data, Py_ssize_t *len) except -1:
        """The id of a header's name. Applications give the same str objects again and again."""
        cdef size_t slot = (<size_t><PyObject *>name >> 4) & (NAME_SLOTS - 1)
        cdef int id
        if self.names[slot] == <PyObject *>name: # which is held, so it is no other object at the same address
            data[0] = <const char *>PyUnicode_1BYTE_DATA(<PyObject *>name)
            len[0] = PyUnicode_GET_LENGTH(<PyObject *>name)
            return self.name_ids[slot]
        data[0] = latin1(name, "header name", len)
        id = fw_resp_name(data[0], <size_t>len[0])
        if id < 0:
            raise ValueError(f"{error_text(<fw_error>-id)}: {name!r}")
        if type(name) is str and len[0] <= 64:
            Py_INCREF(name)
            Py_XDECREF(self.names[slot])
            self.names[slot] = <PyObject *>name
            self.name_ids[slot] = <uint8_t>id
        return id


cdef inline int write_field(
    HeadWriter writer, fw_resp *resp, fw_buf *out, fw_pool *pool, name, value
) except -1:
    """Write a field that may be sent. Returns the id of its name."""
    cdef Py_ssize_t name_len, value_len
    cdef const char *name_data
    cdef int id = writer.name_id(name, &name_data, &name_len)
    cdef const char *value_data = latin1(value, "header value", &value_len)
    cdef fw_error error = fw_resp_named_field(
        resp, out, pool, <fw_name>id, name_data, <size_t>name_len, value_data, <size_t>value_len
    )
    if error != FW_OK:
        # never the value: it may be what an attacker wants to see in a log
        raise ValueError(f"{error_text(error)}: {name!r}")
    return id
