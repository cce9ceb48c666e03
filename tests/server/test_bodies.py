"""Bodies that are long, both ways: their limits, where they are kept, and that they cost no memory."""

import hashlib
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .client import request
from .process import Server, Start, eventually

MEBI = 1024 * 1024
HEAD = b"GET /hello HTTP/1.1\r\nHost: test\r\n"


def only_worker(server: Server) -> int:
    (worker,) = server.wait_for_workers(1)
    return worker


def peak_memory(pid: int) -> int:
    """The most bytes of memory that a process has had so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def open_files(pid: int, directory: Path) -> list[str]:
    """What a process has open in a directory, files without a name included."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue
        if target.startswith(f"{directory}/"):
            found.append(target)
    return found


# limits


def request_line(length: int) -> bytes:
    """A request whose first line has `length` bytes, its CR LF not counted."""
    fixed = len("GET /hello? HTTP/1.1")
    return HEAD.replace(b"/hello", b"/hello?" + b"x" * (length - fixed)) + b"\r\n"


def fields(count: int) -> bytes:
    """A request of `count` fields, with Host."""
    return HEAD + b"X-Field: value\r\n" * (count - 1) + b"\r\n"


def field_size(length: int) -> bytes:
    """A request with a field line of `length` bytes, its CR LF counted."""
    return HEAD + b"X-Field: " + b"x" * (length - len("X-Field: \r\n")) + b"\r\n\r\n"


LIMITS: dict[str, tuple[str, Callable[[int], bytes], int]] = {
    "limit_request_line": ("--limit-request-line", request_line, 414),
    "limit_request_fields": ("--limit-request-fields", fields, 431),
    "limit_request_field_size": ("--limit-request-field_size", field_size, 431),
}


class TestLimitsOfHeads:
    # gunicorn takes no more than 8190 bytes, whatever the limit says; and both of these lines together are
    # longer than the head may be by default.
    @pytest.mark.parametrize(
        ("name", "limit"),
        [
            ("limit_request_line", 60),
            ("limit_request_line", 140_000),
            ("limit_request_fields", 3),
            ("limit_request_fields", 10_000),
            ("limit_request_field_size", 60),
            ("limit_request_field_size", 140_000),
        ],
    )
    def test_exactly_as_set(self, serve: Start, name: str, limit: int) -> None:
        flag, make, status = LIMITS[name]
        server = serve("responses", flag, str(limit))
        with server.connect() as client:
            client.send(make(limit))
            assert client.response().status == 200
            client.send(make(limit + 1))
            assert client.response().status == status
        server.wait_for_log(rf"Invalid request from ip=127\.0\.0\.1: .* \({name} is {limit}\)$")

    @pytest.mark.parametrize("name", LIMITS)
    def test_no_limit_of_its_own(self, serve: Start, name: str) -> None:
        flag, make, _ = LIMITS[name]
        server = serve("responses", flag, "0")
        with server.connect() as client:
            client.send(make(30_000))
            assert client.response().status == 200


class TestLimitOfBodies:
    LIMIT = 100_000

    @pytest.fixture
    def server(self, servers: Start) -> Server:
        return servers("responses", "--limit-request-body", str(self.LIMIT), "--body-memory", "1000")

    def test_exactly_as_set(self, server: Server) -> None:
        body = random.Random(4).randbytes(self.LIMIT)
        with server.connect() as client:
            assert client.ask("POST", "/echo", body=body).body == body
            assert client.ask("POST", "/digest", chunks=[body[:7], body[7:]]).status == 200

    def test_a_length_is_refused_before_it_is_read(self, server: Server) -> None:
        expect = ("Expect", "100-continue")
        for length, status in ((self.LIMIT, 100), (self.LIMIT + 1, 413), (2**62, 413)):
            with server.connect() as client:
                client.send(request("POST", "/echo", expect, ("Content-Length", str(length))))
                response = client.response()
                assert response.status == status
                assert status == 100 or client.at_eof()
        server.wait_for_log(rf"ip=127\.0\.0\.1: request body .* \(limit_request_body is {self.LIMIT}\)$")

    @pytest.mark.parametrize("last", [b"1\r\n", b"ffffffff\r\n", b"7fffffffffffffff\r\n"])
    def test_chunks_are_refused_as_soon_as_they_are_too_long(self, server: Server, last: bytes) -> None:
        with server.connect() as client:
            client.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(b"%x\r\n%b\r\n" % (self.LIMIT, b"x" * self.LIMIT) + last)
            assert client.response().status == 413
            assert client.at_eof()

    def test_there_need_be_none(self, serve: Start) -> None:
        server = serve("responses", "--limit-request-body", "0")
        with server.connect() as client:
            client.send(request("POST", "/echo", ("Expect", "100-continue"), ("Content-Length", str(2**62))))
            assert client.response().status == 100


# where they are kept


class TestTemporaryFiles:
    def test_body_memory_and_tmp_upload_dir(self, serve: Start, tmp_path: Path) -> None:
        uploads = tmp_path / "uploads"
        uploads.mkdir()
        (tmp_path / "conf.py").write_text("tmp_upload_dir = 'uploads'\nbody_memory = 20_000\n")
        server = serve("responses", "-c", "conf.py", cwd=tmp_path)
        worker = only_worker(server)
        for size in (20_000, 20_002):
            body = random.Random(size).randbytes(size)
            with server.connect() as client, server.connect() as other:
                client.send(request("POST", "/echo", body=body)[:-1])
                expected = int(size > 20_000)
                eventually(
                    lambda expected=expected: (
                        other.get("/hello").status == 200 and len(open_files(worker, uploads)) == expected
                    ),
                    lambda: f"{open_files(worker, uploads)} are open",
                )
                assert list(uploads.iterdir()) == []
                client.send(body[-1:])
                assert client.response().body == body
                # a thread that has lost the loop sends its answer first, and gives the body back afterwards
                eventually(lambda: open_files(worker, uploads) == [], server.explain)

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_a_file_is_used_again_and_nobody_reads_what_was_in_it(
        self, serve: Start, tmp_path: Path, framing: str
    ) -> None:
        uploads = tmp_path / "uploads"
        uploads.mkdir()
        (tmp_path / "conf.py").write_text(f"tmp_upload_dir = {str(uploads)!r}\nbody_memory = 1000\n")
        server = serve("responses", "-c", "conf.py", cwd=tmp_path)
        worker = only_worker(server)
        pieces = random.Random(7)
        with server.connect() as client:
            for size in (3 * MEBI, MEBI, 1001, 2 * MEBI + 1, 70_000):
                body = pieces.randbytes(size)
                how = {"body": body} if framing == "length" else {"chunks": [body[:-7], body[-7:]]}
                assert client.ask("POST", "/echo", **how).body == body
                assert client.ask("POST", "/digest", **how).body == digest_of(body)
                assert len(open_files(worker, uploads)) <= 1
        eventually(lambda: open_files(worker, uploads) == [], server.explain)

    @pytest.mark.parametrize("kind", ["missing", "a file"])
    def test_a_directory_that_will_not_do(self, start: Start, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "uploads"
        if kind == "a file":
            path.write_text("")
        (tmp_path / "conf.py").write_text(f"tmp_upload_dir = {str(path)!r}\n")
        server = start("responses", "-c", "conf.py", "--bind", "127.0.0.1:0", cwd=tmp_path)
        assert server.wait() == 1
        expected = f"tmp_upload_dir = {str(path)!r} ({tmp_path}/conf.py) is not valid: expected "
        assert expected in server.log
        assert "Traceback" not in server.log

    def test_no_space(self, serve: Start, tmp_path: Path) -> None:
        """A worker that may write files of 1 MiB: longer bodies are refused, and nothing else."""
        uploads = tmp_path / "uploads"
        uploads.mkdir()
        (tmp_path / "conf.py").write_text(
            "import resource\n"
            f"tmp_upload_dir = {str(uploads)!r}\n"
            "def post_fork(server, worker):\n"
            f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({MEBI}, {MEBI}))\n"
        )
        server = serve("responses", "-c", str(tmp_path / "conf.py"))
        worker = only_worker(server)
        fits, too_long = b"x" * MEBI, b"y" * (MEBI + 1)
        with server.connect() as kept, server.connect() as half:
            half.send(request("POST", "/digest", body=fits)[:-1])
            assert kept.get("/hello").status == 200
            for how in ({"body": too_long}, {"chunks": [too_long]}):
                with server.connect() as client:
                    response = client.ask("POST", "/digest", **how)
                    assert (response.status, response.closes) == (507, True)
                    assert client.at_eof()
                assert kept.get("/hello").status == 200
            half.send(fits[-1:])
            assert half.response().body == digest_of(fits)
            assert kept.ask("POST", "/digest", body=fits).body == digest_of(fits)
        eventually(lambda: not open_files(worker, uploads), lambda: f"{open_files(worker, uploads)} are open")
        server.wait_for_log(
            r"\[ERROR\] A request from ip=127\.0\.0\.1 was refused: no space for the request body "
            rf"\(tmp_upload_dir is {uploads}: File too large\)"
        )
        assert server.workers() == [worker]


def digest_of(data: bytes) -> bytes:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


# memory


class TestFlatMemory:
    """What is long passes through a worker without filling its memory."""

    SIZE = 64 * MEBI
    MORE = 8 * MEBI

    @pytest.fixture
    def server(self, serve: Start) -> Server:
        server = serve("responses", "--body-memory", "100000", "--output-buffer", "100000")
        with server.connect() as client:  # what only the first request needs
            assert client.ask("POST", "/digest", body=b"x" * 300_000).status == 200
            assert len(client.get("/blocks?count=10&size=100000").body) == MEBI - 48_576
        return server

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_up(self, server: Server, framing: str) -> None:
        worker = only_worker(server)
        before = peak_memory(worker)
        block = random.Random(5).randbytes(MEBI)
        sha = hashlib.sha256()
        field = (
            ("Content-Length", str(self.SIZE)) if framing == "length" else ("Transfer-Encoding", "chunked")
        )
        with server.connect() as client:
            client.send(request("POST", "/digest", field))
            for _ in range(self.SIZE // MEBI):
                sha.update(block)
                client.send(block if framing == "length" else b"%x\r\n%b\r\n" % (MEBI, block))
            client.send(b"" if framing == "length" else b"0\r\n\r\n")
            assert client.response().body == f"{self.SIZE} {sha.hexdigest()}".encode()
        assert peak_memory(worker) - before < self.MORE

    @pytest.mark.parametrize("how", ["blocks", "file", "file by hand"])
    def test_down(self, server: Server, tmp_path: Path, how: str) -> None:
        worker = only_worker(server)
        before = peak_memory(worker)
        target = f"/blocks?count={self.SIZE // MEBI}&size={MEBI}"
        if how != "blocks":
            path = tmp_path / "file"
            with path.open("wb") as file:
                file.truncate(self.SIZE)
            # a file-like of another kind than the server knows is read in blocks
            target = f"/file?path={path}" if how == "file" else f"/file_that_translates?path={path}"
        with server.connect(receive_buffer=65_536) as client:
            client.send(request("GET", target, version="HTTP/1.0"))
            received = 0
            while client.receive():
                received += len(client.buffer)
                client.buffer = b""
        assert self.SIZE < received < self.SIZE + 1000
        assert peak_memory(worker) - before < self.MORE


# files


class TestFilesOfAnApplication:
    def test_a_part_of_a_file(self, servers: Start, tmp_path: Path) -> None:
        """As an application answers a range request: 206, from where it has sought, so much."""
        data = random.Random(6).randbytes(300_000)
        path = tmp_path / "file"
        path.write_bytes(data)
        with servers("responses").connect() as client:
            for offset, length in ((0, 1), (1000, 99_000), (299_999, 1)):
                target = f"/file?path={path}&offset={offset}&length={length}&status=206%20Partial%20Content"
                response = client.get(target)
                assert (response.status, response.body) == (206, data[offset : offset + length])
                assert client.ask("HEAD", target).header("content-length") == str(length)

    def test_a_file_that_shrinks(self, servers: Start, tmp_path: Path) -> None:
        server = servers("responses")
        path = tmp_path / "file"
        path.write_bytes(b"x" * 20 * MEBI)
        with server.connect(receive_buffer=4096) as client:
            client.send(request("GET", f"/file?path={path}"))
            assert client.receive()
            os.truncate(path, MEBI)
            with pytest.raises(ConnectionResetError):
                while client.receive():
                    client.buffer = b""
        server.wait_for_log(r"\[ERROR\] The response to ip=127\.0\.0\.1 was cut: file has become shorter")
        with server.connect() as client:
            assert client.get("/hello").status == 200
        eventually(lambda: not open_files(only_worker(server), tmp_path), lambda: "the file is still open")

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_pipe_is_read_in_blocks(self, servers: Start, method: str) -> None:
        with servers("responses").connect() as client:
            response = client.ask(method, f"/pipe?token=pipe-{method}")
            assert response.body == (b"0123456789" * 2000 if method == "GET" else b"")
            assert client.get("/hello").status == 200
            assert client.get(f"/file_is_closed?token=pipe-{method}").body == b"True"

    def test_text_is_an_error_of_the_application(self, servers: Start, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("text")
        server = servers("responses")
        with server.connect() as client:
            assert client.get(f"/text_file?path={path}&token=text").status == 500
            assert client.at_eof()
        with server.connect() as client:
            assert client.get("/file_is_closed?token=text").body == b"True"
        server.wait_for_log("TypeError: a response body is made of bytes, not of str")
