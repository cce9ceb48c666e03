# cython: binding=False
"""PEP 3333: between a request that the core has taken in whole and a WSGI application.

Rooms 8, 9 and 12 of a request: the environ is made, the application called, what it gives is handed to the
core, everything is let go. No byte is judged here: the core has parsed and checked the request, and checks what
the application hands over.

Who owns what: the connection (`fw_conn`) belongs to the thread that serves it while it is in state APP, but for the
time between `offer` and `reclaim`. An `Exchange` and an `Input` borrow it for that long; afterwards their pointer is NULL
and using them raises. What the threads share (the caches of a `Gateway` and its `Environ`) is looked at and changed with
the GIL and without a call between that could let go of it: no object of the application's is made or freed there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastwsgi._environ cimport Reused, text
from fastwsgi.c_server cimport *

import io
import os
import stat
import sys
from datetime import timedelta

from fastwsgi._environ import NotMountedError
from fastwsgi.access_format import CLIENT_GONE
from fastwsgi.handover import HandedSocket
from fastwsgi.message import Request, Response

# Interned, with their hash computed.
cdef str EARLY_HINTS = sys.intern("wsgi.early_hints")
# Fields of one 103 answer, bytes.
cdef size_t HINTS_MOST = 65536
cdef str HANDED_STATUS = f"{FW_CONN_HANDED_STATUS} Switching Protocols"

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    void *PyUnicode_1BYTE_DATA(PyObject *o)
    int PyUnicode_KIND(object o)
    int PyUnicode_1BYTE_KIND
    bint PyUnicode_Check(object o)
    int PyUnicode_CHECK_INTERNED(PyObject *o)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *o)
    object PyObject_Vectorcall(object callable, PyObject **args, size_t nargsf, PyObject *kwnames)
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    PyObject *PyTuple_GET_ITEM(object t, Py_ssize_t index)
    PyObject *PyIter_Next(object iterator) except? NULL


class ClientGone(ConnectionError):
    """Raised into an application by its write(): nobody is there to read what it writes."""


cdef str error_text(fw_error error):
    return fw_error_text(error).decode("ascii")


cdef str status_line(fw_error error):
    cdef int status = fw_error_status(error)
    return f"{status} {fw_error_reason(status).decode('ascii')}"


cdef const char *latin1(value, str what, Py_ssize_t *len) except NULL:
    """The bytes of a native string (PEP 3333: str whose code points are all below 256). Borrowed from it."""
    if not PyUnicode_Check(value):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if PyUnicode_KIND(value) != PyUnicode_1BYTE_KIND:
        raise ValueError(f"{what} has a character that is not in latin-1")
    len[0] = PyUnicode_GET_LENGTH(<PyObject *>value)
    return <const char *>PyUnicode_1BYTE_DATA(<PyObject *>value)


cdef object native(value):
    """A str as it is; bytes, which early hints may be as well, as latin-1."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


cdef inline size_t line_slot(PyObject *name, PyObject *value) noexcept:
    return ((<size_t>name >> 4) ^ (<size_t>value >> 5)) & (LINE_SLOTS - 1)


cdef inline bint is_remembered(int id, name, value):
    """May the line of this field be kept beyond its response, for when the same two objects come again?

    Not what may be a secret: of a field that nobody knows, only a value that the interpreter keeps as well.
    """
    if type(name) is not str or type(value) is not str or not fw_resp_repeats(<fw_name>id):
        return False
    if id == FW_N_OTHER:
        return PyUnicode_CHECK_INTERNED(<PyObject *>value) != 0
    return id != FW_N_SET_COOKIE and id != FW_N_LOCATION and id != FW_N_WWW_AUTHENTICATE


cdef class FileWrapper:
    """wsgi.file_wrapper: a file-like object as an iterable of blocks of `blksize` bytes.

    Returned by the application itself, a real file goes out by sendfile from where it stands.
    """

    def __init__(self, filelike, Py_ssize_t blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        self.read = filelike.read

    def __iter__(self):
        return self

    def __next__(self):
        block = self.read(self.blksize)
        if not block:
            raise StopIteration
        return block

    def __getitem__(self, index):
        """The old sequence protocol, which some middleware still uses to iterate."""
        block = self.read(self.blksize)
        if not block:
            raise IndexError(index)
        return block

    def close(self):
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def _real_file(filelike):
    """The descriptor, position and size of the plain regular file that read() would read from, or None.

    A fileno() proves nothing: GzipFile has one, and it is that of the compressed bytes. What counts is whose
    read() it is: django.core.files.File and the files of tempfile hand out that of the file they wrap.
    """
    read = filelike.read
    inner = getattr(getattr(read, "__wrapped__", read), "__self__", None)
    if type(inner) in (io.BufferedReader, io.BufferedRandom):
        raw = inner.raw
    else:
        raw = inner
    if type(raw) is not io.FileIO:
        return None
    try:
        descriptor = inner.fileno()
        status = os.fstat(descriptor)
        position = inner.tell()
    except (OSError, ValueError):
        return None
    # Files of no size, as in /proc, may have content all the same.
    if not stat.S_ISREG(status.st_mode) or status.st_size <= position:
        return None
    return descriptor, position, status.st_size


cdef class EarlyHints(Reused):
    """wsgi.early_hints: sends a 103 with these headers (pairs of str or bytes) at once. May be called again.

    Does nothing for a client of HTTP/1.0, and once the response is on its way; a client that does not take what is
    sent to it gets none. Raises ValueError or TypeError for what must not be sent, ClientGone where nobody reads it.
    """

    def __call__(self, headers):
        self.exchange.take_hints(headers)


cdef class Exchange:
    """One request being answered; used again for the next. Applications call its bound methods."""

    def __cinit__(self, Gateway gateway not None):
        self.gateway = gateway
        self.bound_start = self.start_response
        self.bound_write = self.write
        self.hints = EarlyHints.__new__(EarlyHints)
        self.hints.exchange = self

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333: begin the response; the returned write() sends a block at once.

        Raises ValueError or TypeError for a status or header that must not be sent, AssertionError for a second
        call without exc_info, and exc_info itself where the head is out already.
        """
        cdef fw_conn *conn = self.conn
        cdef bint offered
        if conn is NULL:
            raise RuntimeError("start_response was called after its request had ended")
        offered = fw_monitor_holds(self.gateway.monitor, self.player)
        self.reclaim()
        try:
            self.take_head(status, headers, exc_info)
        finally:
            exc_info = None
            if self.half: # a head that has failed in the middle
                self.half = False
                fw_resp_discard(&conn.resp, &conn.out)
            if offered:
                self.offer()
            else:
                fw_abort_lend(self.player, conn)
        return self.bound_write

    cdef int take_head(self, status, headers, exc_info) except -1:
        cdef fw_conn *conn = self.conn
        if exc_info is not None:
            try:
                if conn.resp.stage >= FW_RESP_BODY:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif conn.resp.stage != FW_RESP_NONE:
            raise AssertionError("start_response was called a second time without exc_info")
        if not PyList_CheckExact(headers):
            headers = list(headers)
        self.take_status(status)
        self.half = True
        self.take_fields(<list>headers)
        self.half = False
        if self.gateway.keep_head:
            self.status = status
            self.headers = headers
        return 0

    cdef int take_status(self, status) except -1:
        cdef fw_conn *conn = self.conn
        cdef Line *line = &self.gateway.lines[line_slot(<PyObject *>status, NULL)]
        cdef fw_error error
        cdef Py_ssize_t len
        cdef const char *data
        if line.name == <PyObject *>status and line.value is NULL:
            error = fw_resp_status_again(
                &conn.resp, &conn.out, &conn.env.blocks, line.text, line.len, line.status
            )
        else:
            data = latin1(status, "status", &len)
            error = fw_resp_status(&conn.resp, &conn.out, &conn.env.blocks, data, <size_t>len)
            if error == FW_OK and type(status) is str:
                self.gateway.remember(line, status, NULL, conn, conn.resp.head_len)
        if error != FW_OK:
            raise ValueError(f"{error_text(error)}: {status!r}")
        return 0

    cdef int take_fields(self, list headers) except -1:
        for field in headers:
            if not PyTuple_CheckExact(field) or PyTuple_GET_SIZE(field) != 2:
                name, value = field # PEP 3333 asks for tuples; any pair will do
                field = (name, value)
            self.take_field(<tuple>field)
        return 0

    cdef int take_field(self, tuple field) except -1:
        cdef fw_conn *conn = self.conn
        cdef PyObject *name = PyTuple_GET_ITEM(field, 0)
        cdef PyObject *value = PyTuple_GET_ITEM(field, 1)
        cdef Line *line = &self.gateway.lines[line_slot(name, value)]
        cdef Py_ssize_t name_len, value_len
        cdef const char *name_data
        cdef const char *value_data
        cdef size_t before
        cdef fw_error error
        cdef int id
        if line.name == name and line.value == value:
            error = fw_resp_field_again(&conn.resp, &conn.out, &conn.env.blocks, line.text, line.len)
            if error != FW_OK:
                raise MemoryError
            return 0
        before = conn.resp.head_len
        id = self.gateway.name_id(<object>name, &name_data, &name_len)
        value_data = latin1(<object>value, "header value", &value_len)
        error = fw_resp_named_field(
            &conn.resp, &conn.out, &conn.env.blocks, <fw_name>id, name_data, <size_t>name_len,
            value_data, <size_t>value_len,
        )
        if error != FW_OK:
            # never the value: it may be what an attacker wants to see in a log
            raise ValueError(f"{error_text(error)}: {<object>name!r}")
        if is_remembered(id, <object>name, <object>value):
            self.gateway.remember(line, <object>name, value, conn, conn.resp.head_len - before)
        return 0

    def write(self, block):
        """PEP 3333: send a block of the body now. Raises ClientGone where nobody reads it."""
        if self.conn is NULL:
            raise RuntimeError("write was called after its request had ended")
        if not isinstance(block, bytes):
            raise TypeError(f"write() takes bytes, not {type(block).__name__}")
        if self.conn.handed:
            raise ClientGone("the application has taken the socket over")
        self.reclaim()
        try:
            self.begin(-1)
            self.put(block)
            fw_conn_push(self.conn)
            if self.conn.error != FW_OK:
                raise ClientGone("the client has closed the connection")
        finally:
            self.offer()

    cdef int take_hints(self, headers) except -1:
        cdef fw_conn *conn = self.conn
        if conn is NULL:
            raise RuntimeError("early_hints was called after its request had ended")
        if conn.parser.head.minor == 0 or conn.handed:
            return 0
        self.reclaim()
        try:
            # what the socket does not take must not make the answer wait
            if conn.resp.stage < FW_RESP_BODY and not conn.blocked:
                self.send_hints([(native(name), native(value)) for name, value in headers])
        finally:
            self.offer()
        return 0

    cdef int send_hints(self, list headers) except -1:
        cdef fw_conn *conn = self.conn
        cdef fw_interim interim
        cdef fw_error error
        cdef Py_ssize_t name_len, value_len
        cdef const char *name_data
        cdef const char *value_data
        cdef int id
        if fw_conn_interim_begin(conn, &interim, b"103 Early Hints", 15) != FW_OK:
            raise MemoryError
        try:
            for name, value in headers:
                id = self.gateway.name_id(name, &name_data, &name_len)
                value_data = latin1(value, "header value", &value_len)
                error = fw_resp_named_field(
                    &interim.resp, &interim.buf, &conn.env.blocks, <fw_name>id, name_data, <size_t>name_len,
                    value_data, <size_t>value_len,
                )
                if error != FW_OK:
                    raise ValueError(f"{error_text(error)}: {name!r}")
            if fw_buf_live(&interim.buf) > HINTS_MOST:
                raise ValueError(f"early hints of more than {HINTS_MOST} bytes")
            if fw_conn_interim_send(conn, &interim) != FW_OK:
                raise ClientGone("the client has closed the connection")
        finally:
            fw_conn_interim_drop(conn, &interim)
        return 0

    cdef int add_socket(self, dict environ) except -1:
        """The client asks for another protocol: the application may take the socket."""
        cdef fw_conn *conn = self.conn
        self.socket = HandedSocket(conn.fd, self.hand_over, fw_conn_behind(conn).len > 0)
        environ["gunicorn.socket"] = environ["fastwsgi.socket"] = self.socket
        return 0

    def hand_over(self):
        """The application uses the socket: the connection is its own. Returns the bytes behind the request."""
        cdef fw_conn *conn = self.conn
        cdef fw_error error
        cdef fw_span behind
        if conn is NULL:
            raise RuntimeError("the socket was used after its request had ended")
        if conn.resp.stage >= FW_RESP_BODY:
            raise RuntimeError("the socket was used after the response had begun")
        if fw_conn_body_is_early(conn):
            raise RuntimeError("the socket was used before the request's body was read")
        self.reclaim()
        try:
            if fw_conn_waits(conn):
                self.is_away() # if there is a way not to keep others waiting
            with nogil:
                error = fw_conn_drain(conn)
            if error != FW_OK:
                raise ClientGone("the client has closed the connection, or does not read")
            behind = fw_conn_behind(conn)
            rest = b""
            if behind.len > 0:
                rest = PyBytes_FromStringAndSize(fw_conn_request(conn) + behind.off, behind.len)
            fw_loop_hand_over(self.gateway.loop, conn)
            self.is_away() # it will take its time
            fw_loop_wake(self.gateway.loop) # the board is not to show it any more
        finally:
            self.offer()
        return rest

    cdef int let_go(self) except -1:
        """The request is over: the socket is ours again, used or not."""
        cdef fw_conn *conn = self.conn
        cdef int fd = self.socket.release()
        self.socket = None
        if conn.handed:
            self.reclaim()
            conn.resp.status = FW_CONN_HANDED_STATUS
            self.status, self.headers = HANDED_STATUS, []
            fw_player_take_back(self.player, conn, fd)
        return 0

    cdef void offer(self) noexcept:
        """The application is about to have the thread: nobody and nothing must wait for it."""
        cdef fw_baton *baton = &self.gateway.monitor.baton
        if not self.player.away and not (
            fw_baton_should_pass(baton) and fw_baton_pass(baton, self.player, self.conn)
        ):
            fw_monitor_offer(self.gateway.monitor, self.player, self.conn)
        elif fw_conn_waits(self.conn):
            self.wait_for_room() # PEP 3333: a block is sent before the next one is asked for, or while it is made
        fw_abort_lend(self.player, self.conn)

    cdef void reclaim(self) noexcept:
        """The application has given the thread back: the loop is ours again, or at least our output is."""
        fw_abort_back(self.player)
        if not fw_monitor_reclaim(self.gateway.monitor, self.player):
            fw_player_refresh(&self.gateway.monitor.baton, self.player)

    cdef void send_unless_quick(self) noexcept:
        """The answer is whole. Where calls are quick it leaves with the others of its turn (the monitor minds it)."""
        if self.player.away or not self.gateway.loop.quick:
            fw_conn_push(self.conn)

    cdef int begin(self, long long known) except -1:
        """Finish the head, if that was not done. `known`: length of the whole body, or -1."""
        cdef fw_conn *conn = self.conn
        if conn.resp.stage >= FW_RESP_BODY:
            return 0
        if conn.resp.stage == FW_RESP_NONE:
            raise AssertionError("the application gave a body before it called start_response")
        if fw_conn_begin(conn, known) != FW_OK:
            raise MemoryError
        return 0

    cdef int put(self, bytes block) except -1:
        cdef fw_conn *conn = self.conn
        # Not afterwards: what a client has still to take of the last block keeps nobody.
        if fw_conn_full(conn):
            self.wait_room()
        fw_conn_write(conn, PyBytes_AS_STRING(block), <size_t>PyBytes_GET_SIZE(block))
        return 0

    cdef bint is_away(self) noexcept:
        """Are we without the loop, as it is better to be before a wait? If there is a thread to take it, it does."""
        return self.player.away or fw_baton_pass(&self.gateway.monitor.baton, self.player, self.conn)

    cdef int wait_room(self) except -1:
        cdef fw_conn *conn = self.conn
        cdef fw_loop *loop = self.gateway.loop
        cdef bint more = True
        while more and not self.is_away():
            with nogil:
                more = fw_loop_wait_room(loop, conn)
            PyErr_CheckSignals()
            if loop.stop == FW_STOP_NOW and conn.error == FW_OK:
                conn.error = FW_E_PEER_RESET
        if more:
            self.wait_for_room()
        return 0

    cdef void wait_for_room(self) noexcept:
        """Without the loop: until the client has taken all, or never will."""
        cdef fw_baton *baton = &self.gateway.monitor.baton
        cdef fw_player *player = self.player
        cdef bint more = True
        while more:
            with nogil:
                more = fw_player_wait_room(baton, player)

    def pull_body(self):
        """Wait for more of a body that is read as it comes; False at its end. OSError: there will be no more."""
        cdef fw_pull pull
        self.reclaim()
        try:
            pull = fw_conn_body_pull(self.conn)
            while pull == FW_PULL_WAIT:
                pull = self.wait_body()
        finally:
            self.offer()
        if pull == FW_PULL_FAILED:
            raise self.body_failed()
        return pull == FW_PULL_GOT

    cdef fw_pull wait_body(self) except? FW_PULL_FAILED:
        """Wait a while. WAIT: nothing has come, and nobody has raised anything meanwhile."""
        cdef fw_baton *baton = &self.gateway.monitor.baton
        cdef fw_loop *loop = self.gateway.loop
        cdef fw_player *player = self.player
        cdef fw_conn *conn = self.conn
        cdef fw_pull pull
        if self.is_away():
            with nogil:
                pull = fw_player_wait_body(baton, player)
        else:
            with nogil:
                pull = fw_loop_wait_body(loop, conn)
        if pull == FW_PULL_WAIT: # what it has got must not be lost to what a handler raises
            PyErr_CheckSignals()
        return pull

    cdef object body_failed(self):
        cdef fw_error error = <fw_error>self.conn.body_error
        reason = error_text(error)
        if error == FW_E_PEER_CLOSED or error == FW_E_PEER_RESET:
            return ClientGone(reason)
        return TimeoutError(reason) if error in (FW_E_BODY_TIMEOUT, FW_E_BODY_RATE) else OSError(reason)

    cdef int respond(self, result) except -1:
        cdef bint done
        self.reclaim()
        if self.conn.handed:
            return self.dismiss(result)
        if PyList_CheckExact(result) or PyTuple_CheckExact(result):
            self.respond_blocks(result)
            return self.finish()
        try:
            done = False
            if type(result) is FileWrapper and self.gateway.sendfile:
                done = self.respond_file(<FileWrapper>result)
            if not done:
                self.respond_iterable(result)
            if self.conn.handed:
                return 0
            self.finish()
            self.send_unless_quick() # what close() does, perhaps slowly, is no client's concern
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                self.reclaim()
                self.offer()
                close()
                self.reclaim()
        return 0

    cdef int dismiss(self, result) except -1:
        """The application has taken the socket over; what it gives is no answer to anything."""
        close = getattr(result, "close", None)
        if close is not None:
            self.offer()
            close()
            self.reclaim()
        return 0

    cdef int finish(self) except -1:
        cdef fw_conn *conn = self.conn
        if fw_resp_finish(&conn.resp, &conn.out, &conn.env.blocks) != FW_OK:
            raise MemoryError
        if fw_resp_is_short(&conn.resp) and conn.error == FW_OK:
            self.gateway.log.error(
                "Response to %s is %d bytes short of its Content-Length; the connection is closed",
                text(fw_conn_request(conn) + conn.parser.head.target.off, conn.parser.head.target.len, True),
                conn.resp.length - conn.resp.sent,
            )
        return 0

    cdef int end(self) except -1:
        """The connection's buffers are no longer this request's."""
        if self.body is not None:
            self.body.conn = NULL
            self.body.pull = None
            self.body = None
        self.conn = NULL
        self.player = NULL
        self.status = self.headers = self.request = None
        return 0

    cdef int respond_blocks(self, blocks) except -1:
        """A list or tuple: everything is known before anything is sent, so the length is as well."""
        cdef long long total = 0
        for block in blocks:
            if not isinstance(block, bytes):
                raise TypeError(f"a response body is made of bytes, not of {type(block).__name__}")
            total += PyBytes_GET_SIZE(block)
        self.begin(total)
        for block in blocks:
            self.put(<bytes>block)
        return 0

    cdef int respond_iterable(self, result) except -1:
        """Blocks that come quickly leave together; the monitor sends those whose successor takes its time."""
        cdef fw_conn *conn = self.conn
        cdef object block, blocks
        self.offer()
        blocks = iter(result)
        self.reclaim()
        while True:
            self.offer()
            block = next_of(blocks)
            self.reclaim()
            if conn.handed:
                return 0
            if block is None:
                break
            if not isinstance(block, bytes):
                raise TypeError(f"a response body is made of bytes, not of {type(block).__name__}")
            if PyBytes_GET_SIZE(block) == 0:
                continue
            if conn.resp.stage == FW_RESP_BODY and nothing_missing(conn):
                # PEP 3333: stop when enough was sent; but the application had its chance to end by itself
                break
            self.begin(-1)
            self.put(<bytes>block)
            if nothing_missing(conn):
                self.send_unless_quick() # no further block will join it
            if conn.error != FW_OK:
                break
        self.begin(0)
        return 0

    cdef bint respond_file(self, FileWrapper wrapper) except -1:
        cdef fw_conn *conn = self.conn
        cdef uint64_t length
        if conn.resp.stage != FW_RESP_HEAD:
            return False
        found = _real_file(wrapper.filelike)
        if found is None:
            return False
        descriptor, position, size = found
        self.begin(size - position)
        length = size - position
        fw_conn_sendfile(conn, descriptor, position, length)
        return True


cdef inline object next_of(iterator):
    """The next item, or None at the end. An item that is None is not bytes, and so an error."""
    cdef PyObject *item = PyIter_Next(iterator)
    if item is NULL:
        return None
    result = <object>item
    Py_DECREF(result)
    if result is None:
        raise TypeError("a response body is made of bytes, not of NoneType")
    return result


cdef inline bint nothing_missing(const fw_conn *conn) noexcept:
    """Would no further byte of the body be let through?"""
    if conn.resp.framing == FW_RESP_EMPTY:
        return True
    return conn.resp.framing == FW_RESP_LENGTH and conn.resp.sent >= conn.resp.length


cdef class Gateway:
    """What the requests of one worker share: the application, its environs, the log."""

    def __init__(
        self, application, log, Environ environ not None, bint access_log, worker, pre_request, post_request
    ):
        self.application = application
        self.log = log
        self.environ = environ
        self.access_log = access_log
        self.worker = worker
        self.pre_request = pre_request
        self.post_request = post_request
        self.sendfile = True
        self.hooked = pre_request is not None or post_request is not None
        self.keep_head = access_log or post_request is not None

    def __dealloc__(self):
        for i in range(NAME_SLOTS):
            Py_XDECREF(self.names[i])
        for i in range(LINE_SLOTS):
            Py_XDECREF(self.lines[i].name)
            Py_XDECREF(self.lines[i].value)

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

    cdef void remember(self, Line *line, name, PyObject *value, const fw_conn *conn, size_t len) noexcept:
        """Keep the last `len` bytes of the head: they are the line of this status, or of this field."""
        if len > LINE_MOST:
            return
        Py_INCREF(name)
        Py_XINCREF(value)
        Py_XDECREF(line.name)
        Py_XDECREF(line.value)
        line.name = <PyObject *>name
        line.value = value
        line.status = conn.resp.status
        line.len = <uint8_t>len
        memcpy(line.text, conn.out.data + conn.out.len - len, len)

    cdef int serve(self, fw_conn *conn, fw_player *player) except -1:
        """Answer the request of `conn` (state APP). What goes wrong in the application is logged and answered.

        `player`: this thread. It may be without the loop afterwards (`away`).
        """
        cdef Exchange exchange = self.spare
        cdef PyObject *args[3]
        cdef dict environ = None
        cdef uint64_t began = 0
        if exchange is None:
            exchange = Exchange(self)
        self.spare = None
        exchange.conn = conn
        exchange.player = player
        if self.access_log:
            began = fw_clock_ns()
        try:
            environ = self.environ.make(conn, exchange.hints)
            if conn.parser.framing.upgrade:
                exchange.add_socket(environ)
            if conn.parser.framing.kind != FW_BODY_NONE:
                exchange.body = self.environ.add_body(environ, conn)
                if fw_conn_body_is_early(conn):
                    exchange.body.pull = exchange.pull_body
            if self.hooked:
                self.before(exchange, environ)
            self.nr += 1
            exchange.offer()
            args[0] = NULL
            args[1] = <PyObject *>environ
            args[2] = <PyObject *>exchange.bound_start
            exchange.respond(
                PyObject_Vectorcall(self.application, &args[1], 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
            )
            if conn.resp.dropped and not self.warned_dropped:
                self.warn_dropped(environ)
            if not conn.handed:
                fw_player_answered(player, conn)
        except BaseException as error:
            self.failed(exchange, error)
        if exchange.socket is not None:
            exchange.let_go()
        if conn.error == FW_E_APP_TIMEOUT: # the answer that its client has, whatever came afterwards
            conn.resp.status = <uint16_t>fw_error_status(FW_E_APP_TIMEOUT)
            exchange.status, exchange.headers = status_line(FW_E_APP_TIMEOUT), []
        if self.access_log and environ is not None:
            self.log_access(exchange, environ, fw_clock_ns() - began)
        if self.hooked:
            self.after(exchange, environ)
        exchange.end()
        fw_abort_over(player, self.loop)
        if environ is not None:
            # An environ that is kept (in a cycle with its request, for example) is not to keep the exchange.
            if Py_REFCNT(<PyObject *>environ) > 1 and PyDict_GetItem(environ, EARLY_HINTS) is not NULL:
                PyDict_SetItem(environ, EARLY_HINTS, None)
            environ = None
        # Somebody who kept start_response or the like must not reach the next request with it.
        if (
            Py_REFCNT(<PyObject *>exchange.bound_start) == 1
            and Py_REFCNT(<PyObject *>exchange.bound_write) == 1
            and Py_REFCNT(<PyObject *>exchange.hints) == 1 + exchange.hints.templates
            and Py_REFCNT(<PyObject *>exchange) == 4
        ):
            self.spare = exchange
        return 0

    cdef int before(self, Exchange exchange, dict environ) except -1:
        """What pre_request raises is an error of the application's."""
        exchange.request = Request(environ)
        if self.pre_request is not None:
            exchange.offer()
            self.pre_request(self.worker, exchange.request)
            exchange.reclaim()
        return 0

    cdef int after(self, Exchange exchange, dict environ) except -1:
        """Call post_request, whatever has happened before."""
        cdef fw_conn *conn = exchange.conn
        if self.post_request is None or exchange.request is None: # no memory even for an environ
            return 0
        response = self.response(conn, exchange.status, exchange.headers)
        exchange.reclaim()
        exchange.offer() # what post_request does, perhaps slowly, is no client's concern
        try:
            self.post_request(self.worker, exchange.request, environ, response)
        except BaseException as error:
            if not (exchange.player.told and isinstance(error, SystemExit)):
                self.log.exception("Exception in the hook post_request")
        exchange.reclaim()
        return 0

    cdef int failed(self, Exchange exchange, error) except -1:
        """The application, or its iterable, has raised `error`. One that calls sys.exit() ends its request, not the
        worker that others rely on.
        """
        cdef fw_conn *conn = exchange.conn
        cdef fw_player *player = exchange.player
        cdef fw_head *head = &conn.parser.head
        cdef fw_error lost, refusal
        exchange.reclaim()
        lost = <fw_error>conn.error
        if conn.handed:
            return self.failed_after_handing(exchange, error)
        if lost == FW_OK and conn.body_error != FW_OK and fw_error_status(<fw_error>conn.body_error) == 0:
            lost = <fw_error>conn.body_error
        target = text(fw_conn_request(conn) + head.target.off, head.target.len, True)
        if lost != FW_OK:
            fw_player_cut(player, conn, lost)
        elif conn.resp.stage == FW_RESP_DONE:
            fw_player_answered(player, conn) # only its close() has failed
        elif conn.resp.stage == FW_RESP_BODY:
            fw_player_cut(player, conn, FW_E_APP_FAILED)
        else:
            # where the signal handler could not answer, this does
            refusal = FW_E_APP_TIMEOUT if player.told else FW_E_APP_FAILED
            if conn.body_error != FW_OK and isinstance(error, OSError):
                refusal = <fw_error>conn.body_error # the client's fault, which the application need not explain
            elif isinstance(error, NotMountedError):
                refusal = FW_E_NOT_MOUNTED
            fw_player_refuse(player, conn, refusal)
            exchange.status, exchange.headers = status_line(refusal), []
        if player.told and isinstance(error, SystemExit):
            return 0 # the arbiter tells of it
        if lost != FW_OK and isinstance(error, OSError):
            self.log.debug("Client left while %s was answered: %r", target, error)
        elif conn.body_error != FW_OK and isinstance(error, OSError):
            self.log.warning("The body of %s could not be read: %s", target, error)
        elif isinstance(error, NotMountedError):
            address = conn.addr[: conn.addr_len].decode("ascii")
            self.log.warning("Invalid request from ip=%s: %s", address, error)
        else:
            self.log.exception("Error handling request %s", target)
        return 0

    cdef int failed_after_handing(self, Exchange exchange, error) except -1:
        """The application has taken the socket over. Those for gunicorn say by StopIteration that this was all."""
        cdef fw_conn *conn = exchange.conn
        cdef fw_head *head = &conn.parser.head
        if isinstance(error, StopIteration) or (exchange.player.told and isinstance(error, SystemExit)):
            return 0
        target = text(fw_conn_request(conn) + head.target.off, head.target.len, True)
        if isinstance(error, ConnectionError):
            self.log.debug("Client left the socket of %s: %r", target, error)
        else:
            self.log.exception("Error handling the socket of %s", target)
        return 0

    def warn_dropped(self, environ):
        self.warned_dropped = True
        self.log.warning(
            "A hop-by-hop header of the response to %s was dropped: the connection is the server's matter"
            " (PEP 3333; said once)", environ["RAW_URI"],
        )

    def log_access(self, Exchange exchange, environ, uint64_t duration_ns):
        """The access line of a format or a logger that only Python can serve; the others are the core's."""
        cdef fw_conn *conn = exchange.conn
        status = exchange.status or "500 Internal Server Error"
        if conn.error in (FW_E_PEER_RESET, FW_E_WRITE_TIMEOUT, FW_E_WRITE_RATE):
            status = CLIENT_GONE
        self.access(self.response(conn, status, exchange.headers), environ, duration_ns)

    cdef object response(self, const fw_conn *conn, status, headers):
        """As hooks and loggers see it."""
        return Response(
            status,
            headers if headers is not None else [],
            sent=conn.resp.sent,
            length=conn.resp.length if conn.resp.has_length else None,
            headers_sent=conn.resp.stage >= FW_RESP_BODY,
            closes=not conn.resp.keep_alive,
        )

    def refused(self, str status, dict environ):
        """The access line of a request that the application did not see."""
        self.access(
            Response(status, [], sent=0, length=None, headers_sent=True, closes=True), environ, 0
        )

    cdef int access(self, response, dict environ, uint64_t duration_ns) except -1:
        took = timedelta(microseconds=duration_ns // 1000)
        try:
            self.log.access(response, Request(environ), environ, took)
        except Exception:
            self.log.exception("Exception in the access log")
        return 0
