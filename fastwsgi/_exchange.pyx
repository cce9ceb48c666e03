# cython: binding=False
"""One request being answered (PEP 3333): start_response, write, the iterable and its blocks.

Before the application has the thread, the loop and what waits in it is offered to others (`offer`), and afterwards
it is taken back (`reclaim`), or at least this request's output is. A wait for the client, to take blocks or to send
more of its body, is one for this request only: where another thread is there to have the loop, it gets it first.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.tuple cimport PyTuple_CheckExact
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from fastwsgi._file_wrapper cimport FileWrapper
from fastwsgi._response_head cimport error_text
from fastwsgi._strings cimport text
from fastwsgi.c_server cimport *

from fastwsgi._file_wrapper import real_file

cdef extern from "Python.h":
    PyObject *PyIter_Next(object iterator) except? NULL


class ClientGone(ConnectionError):
    """Raised into an application by its write(): nobody is there to read what it writes."""


cdef class Exchange:
    """One request being answered; used again for the next. Applications call its bound methods.

    It borrows the connection for as long as the request lasts; afterwards `conn` is NULL, and using it raises.
    """

    def __cinit__(self):
        self.bound_start = self.start_response
        self.bound_write = self.write

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333: begin the response; the returned write() sends a block at once.

        Raises ValueError or TypeError for a status or header that must not be sent, AssertionError for a second
        call without exc_info, and exc_info itself where the head is out already.
        """
        cdef fw_conn *conn = self.conn
        cdef bint offered
        if conn is NULL:
            raise RuntimeError("start_response was called after its request had ended")
        offered = fw_monitor_holds(self.monitor, self.player)
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
        self.heads.put_status(conn, status)
        self.half = True
        self.heads.put_fields(conn, <list>headers)
        self.half = False
        if self.keep_head:
            self.status = status
            self.headers = headers
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
            if type(result) is FileWrapper and self.sendfile:
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
        found = real_file(wrapper.filelike)
        if found is None:
            return False
        descriptor, position, size = found
        self.begin(size - position)
        length = size - position
        fw_conn_sendfile(conn, descriptor, position, length)
        return True

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
            self.log.error(
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

    # --- who has the loop meanwhile ---

    cdef void offer(self) noexcept:
        """The application is about to have the thread: nobody and nothing must wait for it."""
        cdef fw_baton *baton = &self.monitor.baton
        if not self.player.away and not (
            fw_baton_should_pass(baton) and fw_baton_pass(baton, self.player, self.conn)
        ):
            fw_monitor_offer(self.monitor, self.player, self.conn)
        elif fw_conn_waits(self.conn):
            self.wait_for_room() # PEP 3333: a block is sent before the next one is asked for, or while it is made
        fw_abort_lend(self.player, self.conn)

    cdef void reclaim(self) noexcept:
        """The application has given the thread back: the loop is ours again, or at least our output is."""
        fw_abort_back(self.player)
        if not fw_monitor_reclaim(self.monitor, self.player):
            fw_player_refresh(&self.monitor.baton, self.player)

    cdef void send_unless_quick(self) noexcept:
        """The answer is whole. Where calls are quick it leaves with the others of its turn (the monitor minds it)."""
        if self.player.away or not self.loop.quick:
            fw_conn_push(self.conn)

    cdef bint is_away(self) noexcept:
        """Are we without the loop, as it is better to be before a wait? If there is a thread to take it, it does."""
        return self.player.away or fw_baton_pass(&self.monitor.baton, self.player, self.conn)

    cdef int wait_room(self) except -1:
        cdef fw_conn *conn = self.conn
        cdef fw_loop *loop = self.loop
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
        cdef fw_baton *baton = &self.monitor.baton
        cdef fw_player *player = self.player
        cdef bint more = True
        while more:
            with nogil:
                more = fw_player_wait_room(baton, player)

    def pull_body(self):
        """Wait for more of a body that is read as it comes; False at its end. OSError: there will be no more."""
        cdef fw_pull pull
        if self.conn is NULL:
            raise RuntimeError("a body was read after its request had ended")
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
        cdef fw_baton *baton = &self.monitor.baton
        cdef fw_loop *loop = self.loop
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
