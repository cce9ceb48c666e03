"""The environ of a request that is like an earlier one, made from that of the earlier one.

Requests come in *shapes*: a browser, or a proxy in front, sends the same field names in the same order again and
again. For a shape that was seen twice there is a template that has all of its keys, and the values of its last
request; then only what has changed since is stored, and a request that is like the one before costs a copy and no
insertion.

Secrets (cookies, credentials, fields nobody knows) are not left in a template.
"""

from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastwsgi._environ cimport Environ, set_server
from fastwsgi._strings cimport is_cached, is_text, mix, text, text_hash
from fastwsgi.c_server cimport (
    FW_CLIENT_ADDR,
    FW_CLIENT_HIDDEN,
    FW_CLIENT_PORT,
    FW_CLIENT_PROXY,
    FW_CLIENT_SCRIPT,
    FW_FIELD_ASCII,
    FW_FIELD_UNDERSCORE,
    FW_FORM_ABSOLUTE,
    FW_N_OTHER,
    fw_conn,
    fw_conn_request,
    fw_field,
    fw_head,
)

import sys

# Interned, with their hash computed: an environ is filled by pointer comparison.
cdef str REQUEST_METHOD = sys.intern("REQUEST_METHOD")
cdef str REMOTE_ADDR = sys.intern("REMOTE_ADDR")
cdef str REMOTE_PORT = sys.intern("REMOTE_PORT")
cdef str EARLY_HINTS = sys.intern("wsgi.early_hints")


cdef class Reused:
    """A value that is put into environ after environ, of requests that do not overlap: wsgi.early_hints.

    Templates hold it as well, so that it comes with the copy, and are counted: whoever else holds it has kept it.
    """


cdef class Shape:
    """A template for requests with just these fields in this order, on one listener and HTTP version, of whose
    clients the same things are known (fw_client_trait).

    It holds the values of the last such request. Pointers are borrowed from `template`, which holds what they
    point to for as long as they stand here.
    """


cdef class Shapes:
    """The templates of one worker, over the environs that they are learnt from."""

    def __init__(self, Environ environ not None):
        self.environ = environ
        self.strings = environ.strings
        self.shapes = [None] * SHAPE_SLOTS

    cdef dict make(self, const fw_conn *conn, Reused hints):
        """The environ of the request that `conn` holds, but for its body."""
        cdef uint64_t key = self.key(conn)
        cdef dict environ = self.copy(conn, key, hints)
        if environ is None:
            environ = self.environ.make(conn)
            PyDict_SetItem(environ, EARLY_HINTS, hints)
            if key != 0:
                self.learn(conn, key, environ, hints)
        if conn.traits & FW_CLIENT_PROXY:
            self.environ.add_proxy(environ, conn) # a connection's own, in no template
        return environ

    cdef uint64_t key(self, const fw_conn *conn):
        """A hash of what makes the shape; 0 for a head that is too long or too odd for one."""
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef uint64_t hash = mix(conn.listener | <uint32_t>conn.traits << 16, head.count * 2 + head.minor)
        cdef uint32_t i
        if head.count > SHAPE_FIELDS or head.form == FW_FORM_ABSOLUTE or self.environ.script_name:
            return 0
        if conn.traits & (FW_CLIENT_SCRIPT | FW_CLIENT_HIDDEN):
            return 0
        for i in range(head.count):
            field = &head.fields[i]
            if field.id == FW_N_OTHER:
                if field.flags & FW_FIELD_UNDERSCORE:
                    return 0
                hash = mix(hash, text_hash(base + field.name.off, field.name.len))
            else:
                hash = mix(hash, field.id)
        return hash | 1

    cdef dict copy(self, const fw_conn *conn, uint64_t key, Reused hints):
        """The environ of a request of a known shape, or None."""
        cdef Shape shape = <Shape>self.shapes[(key >> 8) & (SHAPE_SLOTS - 1)]
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef dict template, environ
        cdef object value, name
        cdef uint32_t i
        cdef bint secrets = False
        if (
            shape is None or shape.key != key or shape.count != head.count
            or shape.listener != conn.listener or shape.minor != head.minor or shape.traits != conn.traits
        ):
            return None
        # The hash is no proof. All names are compared before the template is touched.
        for i in range(head.count):
            field = &head.fields[i]
            if shape.ids[i] != field.id:
                return None
            if field.id == FW_N_OTHER:
                name = self.strings.cgi_name(base + field.name.off, field.name.len)
                if <PyObject *>name != shape.names[i]:
                    return None
        template = shape.template
        for i in range(head.count):
            field = &head.fields[i]
            if not is_cached(field):
                secrets = True
                continue
            if is_text(shape.values[i], base + field.value.off, field.value.len):
                continue
            value = self.strings.get(base + field.value.off, field.value.len)
            PyDict_SetItem(template, <object>shape.names[i], value)
            shape.values[i] = <PyObject *>value
        value = self.environ.method(conn)
        if <PyObject *>value != shape.method:
            PyDict_SetItem(template, REQUEST_METHOD, value)
            shape.method = <PyObject *>value
        if not is_text(shape.target, base + head.target.off, head.target.len):
            value = self.strings.get(base + head.target.off, head.target.len)
            # only once all of it is stored does the template stand for this target
            shape.target = NULL
            self.environ.set_target(template, conn, value)
            shape.target = <PyObject *>value
        if conn.traits & FW_CLIENT_ADDR:
            if not is_text(shape.addr, conn.addr, conn.addr_len):
                value = self.strings.get(conn.addr, conn.addr_len)
                PyDict_SetItem(template, REMOTE_ADDR, value)
                shape.addr = <PyObject *>value
        if conn.traits & FW_CLIENT_PORT:
            if not is_text(shape.port, conn.port_text, conn.port_len):
                value = self.strings.get(conn.port_text, conn.port_len)
                PyDict_SetItem(template, REMOTE_PORT, value)
                shape.port = <PyObject *>value
        if <PyObject *>hints != shape.hints: # another thread's, or the last one was kept
            (<Reused>shape.hints).templates -= 1
            hints.templates += 1
            PyDict_SetItem(template, EARLY_HINTS, hints)
            shape.hints = <PyObject *>hints
        environ = PyDict_Copy(template)
        if secrets:
            for i in range(head.count):
                field = &head.fields[i]
                if not is_cached(field):
                    value = text(base + field.value.off, field.value.len, field.flags & FW_FIELD_ASCII)
                    PyDict_SetItem(environ, <object>shape.names[i], value)
        if conn.local:
            set_server(environ)
        return environ

    cdef int learn(self, const fw_conn *conn, uint64_t key, dict environ, Reused hints) except -1:
        """Keep a template for this shape, if it is seen for the second time and has no field twice."""
        cdef size_t slot = <size_t>(key >> 8) & (SHAPE_SLOTS - 1)
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef Shape shape
        cdef object name
        cdef uint32_t i
        if self.sighted[slot] != key:
            self.sighted[slot] = key
            return 0
        shape = Shape.__new__(Shape)
        shape.template = PyDict_Copy(environ)
        shape.key = key
        shape.listener = conn.listener
        shape.minor = head.minor
        shape.traits = conn.traits
        shape.count = <uint8_t>head.count
        names = set()
        for i in range(head.count):
            field = &head.fields[i]
            if field.id != FW_N_OTHER:
                name = <object>self.environ.keys[field.id]
            else:
                name = self.strings.cgi_name(base + field.name.off, field.name.len)
            if name in names:
                return 0
            names.add(name)
            shape.ids[i] = field.id
            # NULL values: the first request of the shape stores what it has
            shape.template[name] = ""
        # borrowed pointers are to the keys that the template itself holds
        held = {name: name for name in shape.template}
        for i in range(head.count):
            field = &head.fields[i]
            if field.id != FW_N_OTHER:
                name = held[<object>self.environ.keys[field.id]]
            else:
                name = held[self.strings.cgi_name(base + field.name.off, field.name.len)]
            shape.names[i] = <PyObject *>name
        if self.shapes[slot] is not None:
            (<Reused>(<Shape>self.shapes[slot]).hints).templates -= 1
        hints.templates += 1
        shape.hints = <PyObject *>hints
        self.shapes[slot] = shape
        return 0
