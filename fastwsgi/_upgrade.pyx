"""The socket of a request that asks for another protocol: the application may have it (`fastwsgi/handover.py`)."""

from cpython.bytes cimport PyBytes_FromStringAndSize

from fastwsgi._exchange cimport Exchange
from fastwsgi.c_server cimport *

from fastwsgi._exchange import ClientGone
from fastwsgi.handover import HandedSocket

cdef str HANDED_STATUS = f"{FW_CONN_HANDED_STATUS} Switching Protocols"


cdef class Upgrade:
    """One such request. Whoever keeps its socket keeps its exchange, which is then not used again."""

    def __cinit__(self, Exchange exchange not None):
        self.exchange = exchange

    cdef int add_socket(self, dict environ) except -1:
        cdef fw_conn *conn = self.exchange.conn
        self.socket = HandedSocket(conn.fd, self.hand_over, fw_conn_behind(conn).len > 0)
        environ["gunicorn.socket"] = environ["fastwsgi.socket"] = self.socket
        return 0

    def hand_over(self):
        """The application uses the socket: the connection is its own. Returns the bytes behind the request."""
        cdef Exchange exchange = self.exchange
        cdef fw_conn *conn = exchange.conn
        cdef fw_error error
        cdef fw_span behind
        if conn is NULL:
            raise RuntimeError("the socket was used after its request had ended")
        if conn.resp.stage >= FW_RESP_BODY:
            raise RuntimeError("the socket was used after the response had begun")
        if fw_conn_body_is_early(conn):
            raise RuntimeError("the socket was used before the request's body was read")
        exchange.reclaim()
        try:
            if fw_conn_waits(conn):
                exchange.is_away() # if there is a way not to keep others waiting
            with nogil:
                error = fw_conn_drain(conn)
            if error != FW_OK:
                raise ClientGone("the client has closed the connection, or does not read")
            behind = fw_conn_behind(conn)
            rest = b""
            if behind.len > 0:
                rest = PyBytes_FromStringAndSize(fw_conn_request(conn) + behind.off, behind.len)
            fw_loop_hand_over(exchange.loop, conn)
            exchange.is_away() # it will take its time
            fw_loop_wake(exchange.loop) # the board is not to show it any more
        finally:
            exchange.offer()
        return rest

    cdef int let_go(self) except -1:
        """The request is over: the socket is ours again, used or not."""
        cdef Exchange exchange = self.exchange
        cdef fw_conn *conn = exchange.conn
        cdef int fd = self.socket.release()
        self.socket = None
        if conn.handed:
            exchange.reclaim()
            conn.resp.status = FW_CONN_HANDED_STATUS
            exchange.status, exchange.headers = HANDED_STATUS, []
            fw_player_take_back(exchange.player, conn, fd)
        return 0
