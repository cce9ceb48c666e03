"""Is a server's answer the right one? Asked inside the run, before the load, with the same bytes."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from bench.errors import CandidateError

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.server import Server

# A server may still be loading the application when its socket listens already.
_LOAD_S = 20.0
# Less than any server's keep-alive time-out, so that "waits until another client leaves" does not pass.
_ANSWER_S = 1.5


@dataclass(frozen=True)
class Finding:
    """A right answer's peculiarities: a remark for the results, and whether it rules a comparison out."""

    remark: str = ""
    unlike: bool = False


@dataclass(frozen=True)
class _Answer:
    """How a right answer was framed."""

    closes: bool
    sized: bool


def check(server: Server, case: Case) -> Finding:
    """Send the case's requests and compare status, length and every byte of the answers.

    Raises CandidateError with what was wrong.
    """
    requests = case.requests(server.host)
    answer = _await_application(server, requests[0], case)
    remark = "" if case.close else _check_in_order(server, case, requests)
    _check_together(server, case, requests)
    if case.streamed and answer.sized:
        return Finding("gathers all blocks before it sends the first", unlike=True)
    if case.framework and not _calls_close(server):
        return Finding("never calls an answer's close(): the framework's work there is not done", unlike=True)
    return Finding(remark)


def _await_application(server: Server, request: bytes, case: Case) -> _Answer:
    with _Client(server, _LOAD_S) as client:
        client.send(request)
        answer = client.expect(case)
        if case.close and not client.is_closed():
            raise CandidateError("the connection was not closed")
        return answer


def _check_in_order(server: Server, case: Case, requests: list[bytes]) -> str:
    """Requests one after the other, or `depth` at once, on one connection."""
    count = case.depth if case.depth > 1 else 2
    with _Client(server, _ANSWER_S) as client:
        if case.depth > 1:
            client.send(b"".join(requests[i % len(requests)] for i in range(count)))
        for answered in range(count):
            if case.depth == 1:
                client.send(requests[answered % len(requests)])
            try:
                answer = client.expect(case)
            except CandidateError as error:
                if answered and case.depth > 1:
                    raise CandidateError(f"answered {answered} of {count} pipelined requests") from error
                raise
            if answer.closes and case.depth > 1 and answered + 1 < count:
                return f"closes after {answered + 1} of {count} pipelined requests"
            if answer.closes:
                return "closes after every answer"
    return ""


def _check_together(server: Server, case: Case, requests: list[bytes]) -> None:
    """As many connections as the case has, each with a request before the first answer is read.

    wrk does not count a connection that is never answered, so a server that serves fewer clients than there
    are would look like a fast one.
    """
    deadline = time.monotonic() + 2 * _ANSWER_S
    answered = 0
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(_Client(server, _ANSWER_S)) for _ in range(case.connections)]
        for n, client in enumerate(clients):
            client.send(requests[n % len(requests)])
        for client in clients:
            try:
                answer = client.expect(case, deadline)
            except CandidateError as error:
                raise CandidateError(
                    f"{answered} of {case.connections} connections answered: {error}"
                ) from error
            answered += 1
            if answer.closes:
                # Some servers wait for the client to close too.
                client.end()


def _calls_close(server: Server) -> bool:
    """Is the answer to /closing closed before the next request is served?"""
    bodies = []
    for path in ("/closing", "/closed"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_ANSWER_S)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                bodies.append(connection.getresponse().read())
            except (OSError, http.client.HTTPException) as error:
                raise CandidateError(f"no valid answer to {path}: {error}"[:200]) from error
    return bodies == [b"closing", b"1"]


class _Client:
    """A connection that reads one answer at a time."""

    def __init__(self, server: Server, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        try:
            self._socket = socket.create_connection(("127.0.0.1", server.port), timeout_s)
        except OSError as error:
            raise CandidateError(f"no connection: {error}") from error
        self._reader = _Reader(self._socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._reader.end()
        self._socket.close()

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise CandidateError(f"request not taken: {error}") from error

    def expect(self, case: Case, deadline: float | None = None) -> _Answer:
        """Read an answer. Raises CandidateError when it is wrong."""
        left = self._timeout_s if deadline is None else deadline - time.monotonic()
        self._socket.settimeout(max(0.05, min(left, self._timeout_s)))
        # http.client reads through makefile(), and the next answer may be in the same buffer.
        response = http.client.HTTPResponse(cast("socket.socket", self._reader))
        try:
            response.begin()
            body = response.read()
        except TimeoutError as error:
            raise CandidateError("no answer in time") from error
        except (OSError, http.client.HTTPException) as error:
            raise CandidateError(f"no valid answer: {type(error).__name__}: {error}"[:200]) from error
        if response.status != 200:
            raise CandidateError(f"status {response.status}")
        if len(body) != len(case.expected):
            raise CandidateError(f"body of {len(body)} bytes, not {len(case.expected)}")
        if body != case.expected:
            raise CandidateError("wrong bytes in the body")
        return _Answer(response.will_close, response.getheader("Content-Length") is not None)

    def is_closed(self) -> bool:
        """Whether the server ends the connection, in time and without another byte."""
        try:
            return self._reader.read(1) == b""
        except OSError:
            return False


class _Reader(io.BufferedReader):
    """A buffered reader of a socket that several HTTPResponse objects share: their close() is not its end."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(socket.SocketIO(connection, "r"))

    def makefile(self, mode: str) -> _Reader:
        return self

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()
