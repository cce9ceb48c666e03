"""The environ of a request (PEP 3333, RFC 3875), made from the spans of a parsed head.

An environ is a copy of a template, and what the request brings is put into it. Three observations make that
cheap. Clients repeat themselves, so most strings are taken from a small cache instead of being made. A copy of
a dict has the table size of its original, so the template is made roomy. And requests come in *shapes*: a
browser, or a proxy in front, sends the same field names in the same order again and again. For a shape that
was seen twice there is a template that has all of its keys, and the values of its last request; then only what
has changed since is stored, and a request that is like the one before costs the copy and no insertion.

Secrets (cookies, credentials, fields nobody knows) are neither cached nor left in a template.
"""

from cpython.dict cimport PyDict_Copy, PyDict_GetItem, PyDict_SetItem, PyDict_Size
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastwsgi._input cimport EarlyInput, Input
from fastwsgi.c_server cimport (
    FW_ADDR_TEXT,
    FW_BODY_CHUNKED,
    FW_CLIENT_ADDR,
    FW_CLIENT_HIDDEN,
    FW_CLIENT_HTTPS,
    FW_CLIENT_PORT,
    FW_CLIENT_PROXY,
    FW_CLIENT_SCRIPT,
    FW_FIELD_ASCII,
    FW_FIELD_HIDDEN,
    FW_FIELD_UNDERSCORE,
    FW_FORM_ABSOLUTE,
    FW_M_OTHER,
    FW_METHOD_COUNT,
    FW_N_AUTHORIZATION,
    FW_N_CONTENT_LENGTH,
    FW_N_CONTENT_TYPE,
    FW_N_COOKIE,
    FW_N_OTHER,
    FW_N_PROXY_AUTHORIZATION,
    FW_NAME_COUNT,
    FW_PORT_TEXT,
    fw_addr_port_text,
    fw_addr_text,
    fw_conn,
    fw_conn_body_is_early,
    fw_conn_request,
    fw_field,
    fw_head,
    fw_method,
    fw_method_text,
    fw_name,
    fw_name_cgi,
    fw_name_text,
    fw_proxy_kind,
    fw_proxy_name,
    fw_scan_unquote,
)

import sys


class NotMountedError(Exception):
    """The path of a request is not below where its application is said to be mounted."""

cdef extern from "Python.h":
    PyObject *PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar) except NULL
    object PyUnicode_DecodeLatin1(const char *data, Py_ssize_t size, const char *errors)
    void *PyUnicode_1BYTE_DATA(PyObject *o)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *o)
    PyObject *PyDict_SetDefault(PyObject *d, PyObject *key, PyObject *value) except NULL

# Interned, with their hash computed: an environ is filled by pointer comparison.
cdef str PATH_INFO = sys.intern("PATH_INFO")
cdef str QUERY_STRING = sys.intern("QUERY_STRING")
cdef str RAW_URI = sys.intern("RAW_URI")
cdef str REQUEST_URI = sys.intern("REQUEST_URI")
cdef str REQUEST_METHOD = sys.intern("REQUEST_METHOD")
cdef str SERVER_PROTOCOL = sys.intern("SERVER_PROTOCOL")
cdef str SERVER_NAME = sys.intern("SERVER_NAME")
cdef str SERVER_PORT = sys.intern("SERVER_PORT")
cdef str REMOTE_ADDR = sys.intern("REMOTE_ADDR")
cdef str REMOTE_PORT = sys.intern("REMOTE_PORT")
cdef str CONTENT_LENGTH = sys.intern("CONTENT_LENGTH")
cdef str STREAMED = sys.intern("fastwsgi.input_streamed")
cdef str HTTP_HOST = sys.intern("HTTP_HOST")
cdef str WSGI_INPUT = sys.intern("wsgi.input")
cdef str EARLY_HINTS = sys.intern("wsgi.early_hints")
cdef str SCRIPT_NAME = sys.intern("SCRIPT_NAME")
cdef str URL_SCHEME = sys.intern("wsgi.url_scheme")
cdef str HTTP_1_0 = "HTTP/1.0"
cdef str HTTPS = "https"

# The body of all requests that have none.
cdef Input NO_BODY = Input()


cdef object text(const char *data, size_t len, bint ascii):
    """bytes as latin-1. `ascii`: none of them is above 0x7F; if not, at least one is."""
    cdef PyObject *made
    if len < 2:
        return PyUnicode_DecodeLatin1(data, <Py_ssize_t>len, NULL)
    # What PyUnicode_DecodeLatin1 does, without looking for the highest byte again.
    made = PyUnicode_New(<Py_ssize_t>len, 127 if ascii else 255)
    memcpy(PyUnicode_1BYTE_DATA(made), data, len)
    result = <object>made
    Py_XDECREF(made)
    return result


cdef inline uint64_t mix(uint64_t hash, uint64_t value) noexcept nogil:
    hash = (hash ^ value) * <uint64_t>0x9E3779B97F4A7C15
    return hash ^ (hash >> 32)


cdef inline uint64_t text_hash(const char *data, size_t len) noexcept nogil:
    """From the length and the first and last eight bytes: enough to tell header values apart."""
    cdef uint64_t first = 0, last = 0
    cdef uint32_t half
    if len >= 8:
        memcpy(&first, data, 8)
        memcpy(&last, data + len - 8, 8)
    elif len >= 4:
        memcpy(&half, data, 4)
        first = half
        memcpy(&half, data + len - 4, 4)
        last = half
    elif len > 0:
        first = <unsigned char>data[0]
        last = <unsigned char>data[len - 1] | (<uint64_t><unsigned char>data[len >> 1] << 8)
    return mix(mix(len, first), last)


cdef inline bint is_cached(const fw_field *field) noexcept nogil:
    """May the value be remembered beyond its request?"""
    return (
        field.flags & FW_FIELD_ASCII
        and field.id != FW_N_OTHER
        and field.id != FW_N_COOKIE
        and field.id != FW_N_AUTHORIZATION
        and field.id != FW_N_PROXY_AUTHORIZATION
    )


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


cdef class Environ:
    """Makes the environs of one worker. `templates`: one a listener."""

    def __init__(self, list templates, str script_name):
        cdef size_t len
        cdef const char *name
        cdef int i
        self.templates = [roomy(template) for template in templates]
        self.script_name = script_name
        self.shapes = [None] * SHAPE_SLOTS
        self.methods = tuple([
            sys.intern(fw_method_text(<fw_method>i).decode("ascii")) for i in range(<int>FW_METHOD_COUNT)
        ])
        keys = []
        for i in range(<int>FW_NAME_COUNT):
            name = fw_name_text(<fw_name>i, &len)
            key = "HTTP_" + name[:len].decode("ascii").upper().replace("-", "_")
            if i == <int>FW_N_CONTENT_TYPE or i == <int>FW_N_CONTENT_LENGTH:
                key = key[5:]
            keys.append(sys.intern(key))
        self.keys = tuple(keys)

    def __dealloc__(self):
        for i in range(CACHE_SLOTS):
            Py_XDECREF(self.cached[i])

    cdef object cached_text(self, const char *data, size_t len):
        """An ASCII string that has probably been seen before."""
        cdef PyObject **place
        if len > CACHED_MOST or len < 2:
            return text(data, len, True)
        place = &self.cached[text_hash(data, len) & (CACHE_SLOTS - 1)]
        if (
            place[0] is not NULL
            and <size_t>PyUnicode_GET_LENGTH(place[0]) == len
            and memcmp(PyUnicode_1BYTE_DATA(place[0]), data, len) == 0
        ):
            return <object>place[0]
        made = text(data, len, True)
        Py_INCREF(made)
        Py_XDECREF(place[0])
        place[0] = <PyObject *>made
        return made

    cdef object cgi_name(self, const char *name, size_t len):
        """The environ key of a field name that is not among the known ones."""
        cdef char small[256]
        cdef char *out = small
        if len + 5 > sizeof(small):
            out = <char *>PyMem_Malloc(len + 5)
            if out is NULL:
                raise MemoryError
        try:
            return self.cached_text(out, fw_name_cgi(name, len, out))
        finally:
            if out != small:
                PyMem_Free(out)

    cdef object method(self, const fw_conn *conn):
        cdef const fw_head *head = &conn.parser.head
        if head.method_id != FW_M_OTHER:
            return <object>self.methods[head.method_id]
        return self.cached_text(fw_conn_request(conn) + head.method.off, head.method.len)

    cdef dict make(self, const fw_conn *conn, Reused hints):
        """The environ of the request that `conn` holds, but for its body."""
        cdef uint64_t key = self.shape_key(conn)
        cdef dict environ = self.from_shape(conn, key, hints)
        if environ is None:
            environ = self.from_scratch(conn)
            PyDict_SetItem(environ, EARLY_HINTS, hints)
            if key != 0:
                self.learn(conn, key, environ, hints)
        if conn.traits & FW_CLIENT_PROXY:
            self.add_proxy(environ, conn) # a connection's own, in no template
        return environ

    cdef Input add_body(self, dict environ, fw_conn *conn):
        """The request has a body (perhaps an empty one): put it into the environ. It borrows `conn`."""
        cdef Input body
        if fw_conn_body_is_early(conn):
            body = EarlyInput.__new__(EarlyInput)
            PyDict_SetItem(environ, STREAMED, True)
        else:
            body = Input.__new__(Input)
        body.conn = conn
        body.length = conn.body_len
        PyDict_SetItem(environ, WSGI_INPUT, body)
        if conn.parser.framing.kind == FW_BODY_CHUNKED and not fw_conn_body_is_early(conn):
            # it is here whole, and many an application reads nothing where it sees no length
            PyDict_SetItem(environ, CONTENT_LENGTH, str(conn.body_len))
        return body

    # --- shapes ---

    cdef uint64_t shape_key(self, const fw_conn *conn):
        """A hash of what makes the shape; 0 for a head that is too long or too odd for one."""
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef uint64_t hash = mix(conn.listener | <uint32_t>conn.traits << 16, head.count * 2 + head.minor)
        cdef uint32_t i
        if head.count > SHAPE_FIELDS or head.form == FW_FORM_ABSOLUTE or self.script_name:
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

    cdef dict from_shape(self, const fw_conn *conn, uint64_t key, Reused hints):
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
                name = self.cgi_name(base + field.name.off, field.name.len)
                if <PyObject *>name != shape.names[i]:
                    return None
        template = shape.template
        for i in range(head.count):
            field = &head.fields[i]
            if not is_cached(field):
                secrets = True
                continue
            value = self.cached_text(base + field.value.off, field.value.len)
            if <PyObject *>value != shape.values[i]:
                PyDict_SetItem(template, <object>shape.names[i], value)
                shape.values[i] = <PyObject *>value
        value = self.method(conn)
        if <PyObject *>value != shape.method:
            PyDict_SetItem(template, REQUEST_METHOD, value)
            shape.method = <PyObject *>value
        value = self.cached_text(base + head.target.off, head.target.len)
        if <PyObject *>value != shape.target:
            # only once all of it is stored does the template stand for this target
            shape.target = NULL
            self.set_target(template, conn, value)
            shape.target = <PyObject *>value
        if conn.traits & FW_CLIENT_ADDR:
            value = self.cached_text(conn.addr, conn.addr_len)
            if <PyObject *>value != shape.addr:
                PyDict_SetItem(template, REMOTE_ADDR, value)
                shape.addr = <PyObject *>value
        if conn.traits & FW_CLIENT_PORT:
            value = self.cached_text(conn.port_text, conn.port_len)
            if <PyObject *>value != shape.port:
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
                name = <object>self.keys[field.id]
            else:
                name = self.cgi_name(base + field.name.off, field.name.len)
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
                name = held[<object>self.keys[field.id]]
            else:
                name = held[self.cgi_name(base + field.name.off, field.name.len)]
            shape.names[i] = <PyObject *>name
        if self.shapes[slot] is not None:
            (<Reused>(<Shape>self.shapes[slot]).hints).templates -= 1
        hints.templates += 1
        shape.hints = <PyObject *>hints
        self.shapes[slot] = shape
        return 0

    # --- one by one ---

    cdef dict from_scratch(self, const fw_conn *conn):
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef dict environ = PyDict_Copy(<dict>self.templates[conn.listener])
        PyDict_SetItem(environ, REQUEST_METHOD, self.method(conn))
        if head.minor == 0:
            PyDict_SetItem(environ, SERVER_PROTOCOL, HTTP_1_0)
        self.set_target(environ, conn, self.cached_text(base + head.target.off, head.target.len))
        self.add_fields(environ, conn)
        if conn.traits & FW_CLIENT_HTTPS:
            PyDict_SetItem(environ, URL_SCHEME, HTTPS)
        if conn.traits & FW_CLIENT_ADDR:
            PyDict_SetItem(environ, REMOTE_ADDR, self.cached_text(conn.addr, conn.addr_len))
        if conn.traits & FW_CLIENT_PORT:
            PyDict_SetItem(environ, REMOTE_PORT, self.cached_text(conn.port_text, conn.port_len))
        if conn.local:
            set_server(environ)
        return environ

    cdef int add_proxy(self, dict environ, const fw_conn *conn) except -1:
        """What the header of the PROXY protocol says of the proxy itself, by gunicorn's keys."""
        cdef char address[FW_ADDR_TEXT]
        cdef char port[FW_PORT_TEXT]
        cdef size_t len = fw_addr_text(&conn.proxy.proxy, address)
        environ["PROXY_PROTOCOL"] = fw_proxy_name(<fw_proxy_kind>conn.proxy.kind).decode("ascii")
        if len > 0:
            environ["PROXY_ADDR"] = self.cached_text(address, len)
            environ["PROXY_PORT"] = self.cached_text(port, fw_addr_port_text(conn.proxy.proxy_port, port))
        return 0

    cdef int set_target(self, dict environ, const fw_conn *conn, target) except -1:
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef object path, mount
        PyDict_SetItem(environ, RAW_URI, target)
        PyDict_SetItem(environ, REQUEST_URI, target)
        if head.path_escaped:
            path = unquoted(base + head.path.off, head.path.len)
        elif head.path.len == head.target.len:
            path = target
        elif head.path.len == 0 and head.form == FW_FORM_ABSOLUTE:
            path = "/" # RFC 9110 section 4.2.3
        else:
            path = self.cached_text(base + head.path.off, head.path.len)
        mount = self.script_name
        if conn.traits & FW_CLIENT_SCRIPT:
            field = &head.fields[conn.script]
            mount = text(base + field.value.off, field.value.len, field.flags & FW_FIELD_ASCII)
            PyDict_SetItem(environ, SCRIPT_NAME, mount)
        if mount:
            if not path.startswith(mount):
                by = "of the proxy" if conn.traits & FW_CLIENT_SCRIPT else "of the environment"
                raise NotMountedError(f"the path {path!r} is not below SCRIPT_NAME {mount!r} {by}")
            path = path[len(mount):]
        PyDict_SetItem(environ, PATH_INFO, path)
        PyDict_SetItem(environ, QUERY_STRING, text(base + head.query.off, head.query.len, True))
        return 0

    cdef int add_fields(self, dict environ, const fw_conn *conn) except -1:
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef uint32_t i
        cdef Py_ssize_t before
        cdef const char *data
        cdef object key, value
        for i in range(head.count):
            field = &head.fields[i]
            data = base + field.value.off
            if field.flags & (FW_FIELD_UNDERSCORE | FW_FIELD_HIDDEN):
                continue # X_Foo must not pass for X-Foo, nor the other way round where the proxy sends X_Foo
            if field.id != FW_N_OTHER:
                key = <object>self.keys[field.id]
            else:
                key = self.cgi_name(base + field.name.off, field.name.len)
            if is_cached(field):
                value = self.cached_text(data, field.value.len)
            else:
                value = text(data, field.value.len, field.flags & FW_FIELD_ASCII)
            before = PyDict_Size(environ)
            PyDict_SetDefault(<PyObject *>environ, <PyObject *>key, <PyObject *>value)
            if PyDict_Size(environ) == before:
                # a repeated field: RFC 9110 section 5.3, for Cookie RFC 9113 section 8.2.3
                separator = "; " if field.id == FW_N_COOKIE else ","
                PyDict_SetItem(environ, key, f"{<object>PyDict_GetItem(environ, key)}{separator}{value}")
        if head.form == FW_FORM_ABSOLUTE: # RFC 9112 section 3.2.2
            PyDict_SetItem(
                environ, HTTP_HOST,
                text(base + conn.parser.framing.host.off, conn.parser.framing.host.len, True),
            )
        return 0


def roomy(dict template):
    """A copy of the template whose table has room for the fields of a request.

    More than 21 keys make the table of a dict one of 64 slots, and it stays that when keys are deleted.
    """
    padding = [f"padding.{n}" for n in range(max(0, 22 - len(template)))]
    copy = dict.fromkeys([*template, *padding])
    copy.update(template)
    copy[WSGI_INPUT] = NO_BODY
    for key in padding:
        del copy[key]
    return copy


cdef object unquoted(const char *path, size_t len):
    """A path with its percent-escapes decoded, as a native string."""
    cdef char small[1024]
    cdef char *out = small
    if len > sizeof(small):
        out = <char *>PyMem_Malloc(len)
        if out is NULL:
            raise MemoryError
    try:
        return PyUnicode_DecodeLatin1(out, <Py_ssize_t>fw_scan_unquote(path, len, out), NULL)
    finally:
        if out != small:
            PyMem_Free(out)


cdef int set_server(dict environ) except -1:
    """A unix socket has no name and port of its own: they are what the client has asked for."""
    host = environ.get(HTTP_HOST, "")
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, ""
    environ[SERVER_NAME] = name or "localhost"
    environ[SERVER_PORT] = port or ("443" if environ[URL_SCHEME] == HTTPS else "80")
    return 0
