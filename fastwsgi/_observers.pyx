"""Who sees each request: the hooks pre_request and post_request, and an access log that the core cannot write."""

from libc.stdint cimport uint64_t

from fastwsgi._exchange cimport Exchange
from fastwsgi.c_server cimport *

from datetime import timedelta

from fastwsgi.access_format import CLIENT_GONE
from fastwsgi.message import Request, Response


cdef class Observers:
    """Those of one worker. Where there is nobody, the gateway has None."""

    def __init__(self, log, bint access_log, worker, pre_request, post_request):
        self.log = log
        self.access_log = access_log
        self.worker = worker
        self.pre_request = pre_request
        self.post_request = post_request
        self.keep_head = access_log or post_request is not None

    cdef int before(self, Exchange exchange, dict environ) except -1:
        """What pre_request raises is an error of the application's."""
        if self.pre_request is None and self.post_request is None:
            return 0
        exchange.request = Request(environ)
        if self.pre_request is not None:
            exchange.offer()
            self.pre_request(self.worker, exchange.request)
            exchange.reclaim()
        return 0

    cdef int after(self, Exchange exchange, dict environ, uint64_t began) except -1:
        """The request is over, whatever has happened. There is no environ if not even that could be made."""
        if self.access_log and environ is not None:
            self.answered(exchange, environ, fw_clock_ns() - began)
        if self.post_request is not None and exchange.request is not None:
            self.call_post_request(exchange, environ)
        return 0

    cdef int answered(self, Exchange exchange, dict environ, uint64_t duration_ns) except -1:
        cdef fw_conn *conn = exchange.conn
        status = exchange.status or "500 Internal Server Error"
        if conn.error in (FW_E_PEER_RESET, FW_E_WRITE_TIMEOUT, FW_E_WRITE_RATE):
            status = CLIENT_GONE
        return self.access(self.response(conn, status, exchange.headers), environ, duration_ns)

    cdef int call_post_request(self, Exchange exchange, dict environ) except -1:
        response = self.response(exchange.conn, exchange.status, exchange.headers)
        exchange.reclaim()
        exchange.offer() # what post_request does, perhaps slowly, is no client's concern
        try:
            self.post_request(self.worker, exchange.request, environ, response)
        except BaseException as error:
            if not (exchange.player.told and isinstance(error, SystemExit)):
                self.log.exception("Exception in the hook post_request")
        exchange.reclaim()
        return 0

    def refused(self, str status, dict environ):
        """The access line of a request that the application did not see."""
        self.access(Response(status, [], sent=0, length=None, headers_sent=True, closes=True), environ, 0)

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

    cdef int access(self, response, dict environ, uint64_t duration_ns) except -1:
        took = timedelta(microseconds=duration_ns // 1000)
        try:
            self.log.access(response, Request(environ), environ, took)
        except Exception:
            self.log.exception("Exception in the access log")
        return 0
