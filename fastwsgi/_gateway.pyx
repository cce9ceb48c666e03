"""PEP 3333: between a request that the core has taken in whole and a WSGI application.

Rooms 7, 8 and 12 of a request: the environ is made, the application called, what it gives is handed to its exchange,
and everything is let go. What the application does meanwhile is in `_exchange.pyx`.

Who owns what: the connection (`fw_conn`) belongs to the thread that serves it while it is in state APP, but for the
time between `offer` and `reclaim`. An `Exchange` and an `Input` borrow it for that long; afterwards their pointer is
NULL and using them raises. What the threads share (`Strings`, `Shapes`, `HeadWriter`, the spare exchange) is looked at
and changed with the GIL and without a call between that could let go of it: no object of the application's is made or
freed there.
"""

from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint64_t

from fastwsgi._early_hints cimport EarlyHints
from fastwsgi._environ cimport Environ
from fastwsgi._exchange cimport Exchange
from fastwsgi._observers cimport Observers
from fastwsgi._response_head cimport HeadWriter
from fastwsgi._shapes cimport Shapes
from fastwsgi._strings cimport text
from fastwsgi._upgrade cimport Upgrade
from fastwsgi.c_server cimport *

import sys

from fastwsgi._environ import NotMountedError

# Interned, with its hash computed.
cdef str EARLY_HINTS = sys.intern("wsgi.early_hints")

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    object PyObject_Vectorcall(object callable, PyObject **args, size_t nargsf, PyObject *kwnames)
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET


cdef str status_line(fw_error error):
    cdef int status = fw_error_status(error)
    return f"{status} {fw_error_reason(status).decode('ascii')}"


cdef class Gateway:
    """What the requests of one worker share: the application, its environs, the log."""

    def __init__(self, application, log, Environ environ not None, Observers observers, bint sendfile):
        self.application = application
        self.log = log
        self.environ = environ
        self.shapes = Shapes(environ)
        self.observers = observers
        self.sendfile = sendfile
        self.heads = HeadWriter()

    cdef Exchange make_exchange(self):
        cdef Exchange exchange = Exchange()
        exchange.loop = self.loop
        exchange.monitor = self.monitor
        exchange.heads = self.heads
        exchange.log = self.log
        exchange.sendfile = self.sendfile
        exchange.keep_head = self.observers is not None and self.observers.keep_head
        exchange.hints = EarlyHints(exchange)
        return exchange

    cdef int serve(self, fw_conn *conn, fw_player *player) except -1:
        """Answer the request of `conn` (state APP). What goes wrong in the application is logged and answered.

        `player`: this thread. It may be without the loop afterwards (`away`).
        """
        cdef Exchange exchange = self.spare
        cdef PyObject *args[3]
        cdef dict environ = None
        cdef uint64_t began = 0
        if exchange is None:
            exchange = self.make_exchange()
        self.spare = None
        exchange.conn = conn
        exchange.player = player
        if self.observers is not None:
            began = fw_clock_ns()
        try:
            environ = self.shapes.make(conn, exchange.hints)
            if conn.parser.framing.upgrade:
                exchange.upgrade = Upgrade(exchange)
                (<Upgrade>exchange.upgrade).add_socket(environ)
            if conn.parser.framing.kind != FW_BODY_NONE:
                exchange.body = self.environ.add_body(environ, conn)
                if fw_conn_body_is_early(conn):
                    exchange.body.pull = exchange.pull_body
            if self.observers is not None:
                self.observers.before(exchange, environ)
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
        if exchange.upgrade is not None:
            (<Upgrade>exchange.upgrade).let_go()
            exchange.upgrade = None
        if conn.error == FW_E_APP_TIMEOUT: # the answer that its client has, whatever came afterwards
            conn.resp.status = <uint16_t>fw_error_status(FW_E_APP_TIMEOUT)
            exchange.status, exchange.headers = status_line(FW_E_APP_TIMEOUT), []
        if self.observers is not None:
            self.observers.after(exchange, environ, began)
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
