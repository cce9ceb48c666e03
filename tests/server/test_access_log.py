"""The access log of a running server: what a line says, when it is there, where it goes."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from log_ini import log_ini

from .client import Client, request
from .process import Server, Start, eventually

GATED = "/gated?gate={}"


def lines_of(server: Server, count: int, path: Path | None = None) -> list[str]:
    """The lines of its access log, once there are `count`."""

    def lines() -> list[str]:
        text = path.read_text() if path is not None else server.output
        return text.splitlines()

    eventually(lambda: len(lines()) >= count, lambda: f"{lines()}\n{server.explain()}")
    assert len(lines()) == count
    return lines()


@pytest.mark.parametrize(
    ("atom", "expected"),
    [
        ("%(h)s", r"127\.0\.0\.1"),
        ("%(l)s", "-"),
        ("%(u)s", "alice"),
        ("%(t)s", r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"),
        ("%(r)s", r"POST /echo\?a=%20b HTTP/1\.1"),
        ("%(m)s", "POST"),
        ("%(U)s", "/echo"),
        ("%(q)s", "a=%20b"),
        ("%(H)s", r"HTTP/1\.1"),
        ("%(s)s", "200"),
        ("%(B)d", "5"),
        ("%(b)s", "5"),
        ("%(f)s", "http://r/"),
        ("%(a)s", "test"),
        ("%(T)s", "0"),
        ("%(D)s", r"\d+"),
        ("%(M)s", r"\d+"),
        ("%(L)s", r"0\.\d{6}"),
        ("%(p)s", r"<\d+>"),
        ("%({X-Thing}i)s", "thing"),
        ("%({absent}i)s", "-"),
        ("%({Content-Type}o)s", "text/plain"),
        ("%({wsgi.url_scheme}e)s", "http"),
    ],
)
def test_each_atom(serve: Start, atom: str, expected: str) -> None:
    server = serve("responses", "--access-logfile", "-", "--access-logformat", f"<{atom}>%%")
    with server.connect() as client:
        client.ask(
            "POST",
            "/echo?a=%20b",
            ("Referer", "http://r/"),
            ("User-Agent", "test"),
            ("Authorization", "Basic YWxpY2U6c2VjcmV0"),
            ("X-Thing", "thing"),
            body=b"12345",
        )
    (line,) = lines_of(server, 1)
    assert re.fullmatch(f"<{expected}>%", line)


def test_the_process_is_the_worker(serve: Start) -> None:
    server = serve("responses", "--access-logfile", "-", "--access-logformat", "%(p)s")
    with server.connect() as client:
        pid = client.get("/pid").body.decode()
    assert lines_of(server, 1) == [f"<{pid}>"]


def test_json(serve: Start) -> None:
    server = serve("responses", "--access-logfile", "-", "--access-logformat", "json")
    with server.connect() as client:
        client.get("/hello?q", ("User-Agent", 'x"\\\xff\x85'), ("X-Request-Id", "7"))
        client.send(b"NO HTTP\x01\r\n\r\n")
        client.rest()
    first, second = map(json.loads, lines_of(server, 2))
    assert (first["method"], first["path"], first["query"], first["status"]) == ("GET", "/hello", "q", 200)
    assert (first["user_agent"], first["request_id"], first["bytes"]) == ('x"\\\xff\x85', "7", 14)
    assert (second["status"], second["method"], second["request_line"]) == (400, None, "NO HTTP\x01")
    # the documented keys, and no others
    documented = re.findall(r"^\| `(\w+)` \|", Path("docs/logs.md").read_text(), re.MULTILINE)
    assert [*first, "request_line"] == documented == [*second]


STATUS = ("--access-logfile", "-", "--access-logformat", "%(r)s|%(s)s|%(b)s")


@pytest.fixture(params=["core", "python"])
def formatted(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Flags for lines made by the core, and by Python since the format names an environ key."""
    return STATUS if request.param == "core" else (*STATUS[:-1], STATUS[-1] + "%({wsgi.no}e)s")


def test_refused_requests(serve: Start, formatted: tuple[str, ...]) -> None:
    server = serve("responses", *formatted)
    for sent in (b"GET /x HTTP/1.1\r\nbad field: 1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
        with server.connect() as client:
            client.send(sent)
            client.rest()
    first, second = lines_of(server, 2)
    assert first.startswith("GET /x HTTP/1.1|400|")
    assert second.startswith("\\x16\\x03\\x01|400|")


def test_a_client_that_leaves_within_its_request(serve: Start, formatted: tuple[str, ...]) -> None:
    server = serve("responses", *formatted)
    with server.connect() as client:
        client.send(request("POST", "/echo", body=b"x" * 100)[:-1])
    (line,) = lines_of(server, 1)
    assert line.rstrip("-") == "POST /echo HTTP/1.1|499|0"


@pytest.mark.parametrize("leave", [Client.reset, lambda client: client.sock.close()], ids=["reset", "close"])
def test_a_client_that_leaves_while_the_application_works(
    serve: Start, tmp_path: Path, leave: Callable[[Client], None]
) -> None:
    server = serve("responses", *STATUS)
    gate = tmp_path / "gate"
    client = server.connect()
    client.send(request("GET", GATED.format(gate)))
    eventually(gate.exists, server.explain)
    leave(client)
    # only after a call of some length the client is looked for
    long_enough = time.monotonic() + 0.02
    eventually(lambda: time.monotonic() > long_enough, server.explain)
    gate.unlink()
    (line,) = lines_of(server, 1)
    assert re.fullmatch(r"GET /gated\S+ HTTP/1\.1\|499\|\d+", line)


@pytest.mark.parametrize("target", ["/big?size=8000000", "/blocks?count=1000&size=8000"])
def test_a_client_that_leaves_within_the_answer(serve: Start, target: str) -> None:
    server = serve("responses", *STATUS)
    with server.connect(receive_buffer=4096) as client:
        client.send(request("GET", target))
        client.receive()
        client.reset()
    (line,) = lines_of(server, 1)
    status, sent = line.split("|")[1:]
    assert status == "499"
    assert 0 < int(sent) < 8_000_000


def test_an_answer_that_is_read_slowly_has_its_line_at_the_end(serve: Start) -> None:
    server = serve("responses", *STATUS)
    with server.connect(receive_buffer=4096) as client, server.connect() as other:
        client.send(request("GET", "/big?size=8000000"))
        client.receive()
        other.get("/hello")
        assert lines_of(server, 1) == ["GET /hello HTTP/1.1|200|14"]
        assert client.response().complete
    assert lines_of(server, 2)[1] == "GET /big?size=8000000 HTTP/1.1|200|8000000"


def test_an_application_that_is_stuck_keeps_no_line_from_the_log(serve: Start, tmp_path: Path) -> None:
    server = serve("responses", *STATUS)
    gate = tmp_path / "gate"
    with server.connect() as client:
        # both at once: the first answer's line waits for the end of the turn
        client.send(request("GET", "/hello") + request("GET", GATED.format(gate)))
        eventually(gate.exists, server.explain)
        assert lines_of(server, 1) == ["GET /hello HTTP/1.1|200|14"]
        assert gate.exists()
        gate.unlink()
        assert lines_of(server, 2)[0] == "GET /hello HTTP/1.1|200|14"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_no_line_is_lost_at_the_end(serve: Start, number: signal.Signals) -> None:
    server = serve("responses", *STATUS, "--workers", "2")
    for _ in range(50):
        with server.connect() as client:
            assert client.get("/hello").status == 200
    server.signal(number)
    assert server.wait() == 0
    assert server.output.splitlines() == ["GET /hello HTTP/1.1|200|14"] * 50


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_an_answer_that_is_not_sent_at_the_end(serve: Start, number: signal.Signals) -> None:
    server = serve("responses", *STATUS, "--graceful-timeout", "1")
    with server.connect(receive_buffer=4096) as client:
        client.send(request("GET", "/big?size=8000000"))
        client.receive()
        server.signal(number)
        assert server.wait() == 0
    (line,) = server.output.splitlines()
    target, status, sent = line.split("|")
    assert (target, status) == ("GET /big?size=8000000 HTTP/1.1", "200")
    assert int(sent) < 8_000_000


def test_a_worker_that_is_aborted(serve: Start, tmp_path: Path) -> None:
    server = serve("responses", *STATUS, "--timeout", "1", "--graceful-timeout", "1")
    with server.connect() as client:
        client.send(request("GET", "/hello") + request("GET", GATED.format(tmp_path / "gate")))
        first, second = lines_of(server, 2)
    assert first == "GET /hello HTTP/1.1|200|14"
    assert re.match(r"GET /gated\S+ HTTP/1\.1\|50[04]\|", second)


def test_a_pipe_that_nobody_reads_stops_nobody(serve: Start, tmp_path: Path) -> None:
    """The server goes on, and says how much of its log is missing."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server = serve("responses", "--access-logfile", str(path), "--access-logformat", "%(r)s" + "x" * 500)
    with server.connect() as client:
        for _ in range(10):
            client.send(request("GET", "/hello") * 100)
            for _ in range(100):
                assert client.response().status == 200
    server.wait_for_log(r"\[ERROR\] \d+ lines of the access log could not be written: nobody reads them")
    os.close(reading)


def test_a_full_disk(serve: Start) -> None:
    server = serve("responses", "--access-logfile", "/dev/full")
    with server.connect() as client:
        assert client.get("/hello").status == 200
    server.wait_for_log(r"\[ERROR\] 1 lines of the access log could not be written: No space left on device")


def test_lines_of_several_workers_do_not_mix(serve: Start, tmp_path: Path) -> None:
    path = tmp_path / "access"
    server = serve(
        "responses", "--access-logfile", str(path), "--access-logformat", "%(q)s", "--workers", "2"
    )
    server.wait_for_workers(2)
    clients = [server.connect() for _ in range(4)]
    for number in range(50):
        for which, client in enumerate(clients):
            client.send(request("GET", f"/hello?{which}-{number}-" + "x" * 300) * 4)
    for client in clients:
        for _ in range(50 * 4):
            assert client.response().status == 200
        client.sock.close()
    lines = lines_of(server, 4 * 50 * 4, path)
    assert sorted(lines) == sorted(
        f"{which}-{number}-" + "x" * 300 for which in range(4) for number in range(50) for _ in range(4)
    )


def with_files(start: Start, tmp_path: Path, *flags: str) -> tuple[Server, str, Path]:
    """A server whose error log is a file, its address, and that file."""
    address, errors = f"unix:{tmp_path / 'socket'}", tmp_path / "error"
    server = start("responses", "--bind", address, "--error-logfile", str(errors), *flags)
    eventually(lambda: errors.exists() and "Booting worker" in errors.read_text(), server.explain)
    return server, address, errors


@pytest.mark.parametrize("made_by", ["core", "python"])
def test_rotation(start: Start, tmp_path: Path, made_by: str) -> None:
    access = tmp_path / "access"
    text = "%(U)s" if made_by == "core" else "%(U)s%({no.such}e)s"
    flags = ("--access-logfile", str(access), "--access-logformat", text)
    server, address, errors = with_files(start, tmp_path, *flags)
    (worker,) = server.wait_for_workers(1)
    with Client.open(address) as client:
        client.get("/hello")
        lines_of(server, 1, access)
        for path in (access, errors):
            path.rename(f"{path}.1")
        os.kill(worker, signal.SIGUSR1)
        eventually(lambda: access.exists() and errors.exists(), server.explain)
        client.get("/errors")
        client.get("/hello")
        lines = lines_of(server, 2, access)
    assert [line.rstrip("-") for line in lines] == ["/errors", "/hello"]
    assert "written to wsgi.errors" in errors.read_text()
    assert Path(f"{access}.1").read_text().rstrip("-\n") == "/hello"
    assert server.wait_for_workers(1) == [worker]


def test_syslog(serve: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "syslog"))
        syslog.settimeout(20)
        address = f"unix://{tmp_path / 'syslog'}#dgram"
        flags = ("--log-syslog", "--log-syslog-to", address, "--log-syslog-prefix", "shop")
        server = serve("responses", *flags, "--access-logformat", "%(r)s")
        with server.connect() as client:
            client.get("/hello")
        (worker,) = server.wait_for_workers(1)
        got = ""
        while ".access" not in got:
            got = syslog.recv(9999).decode()
        assert got.rstrip("\0") == f"<14>fastwsgi.shop.access: [{worker}] GET /hello HTTP/1.1"


HANDLERS = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(name)s %(message)s"}},
    "handlers": {
        "error": {"class": "logging.FileHandler", "filename": "errors.log", "formatter": "short"},
        "access": {"class": "logging.FileHandler", "filename": "access.log", "formatter": "short"},
    },
    "root": {"level": "INFO", "handlers": ["error"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
    },
}

INI = log_ini("errors.log", "access.log", "%(name)s %(message)s")


@pytest.mark.parametrize("form", ["ini", "json", "dict"])
def test_logconfig(start: Start, tmp_path: Path, form: str) -> None:
    """A logging configuration made for gunicorn, rotated in master and worker."""
    (tmp_path / "logging.ini").write_text(INI)
    (tmp_path / "logging.json").write_text(json.dumps(HANDLERS))
    (tmp_path / "gunicorn.conf.py").write_text(f"logconfig_dict = {HANDLERS!r}\n" if form == "dict" else "")
    flags = {
        "ini": ["--log-config", "logging.ini"],
        "json": ["--log-config-json", "logging.json"],
        "dict": [],
    }[form]
    address = f"unix:{tmp_path / 'socket'}"
    server = start("responses", "--bind", address, *flags, cwd=tmp_path)
    errors, access = tmp_path / "errors.log", tmp_path / "access.log"
    eventually(lambda: errors.exists() and "Booting worker" in errors.read_text(), server.explain)
    with Client.open(address) as client:
        client.get("/hello?a")
        (line,) = lines_of(server, 1, access)
        assert re.fullmatch(r'fastwsgi\.access - - - \[.*\] "GET /hello\?a HTTP/1\.1" 200 14 "-" "-"', line)
        access.rename(f"{access}.1")
        os.kill(server.wait_for_workers(1)[0], signal.SIGUSR1)
        eventually(access.exists, server.explain)
        client.get("/hello?b")
        assert "/hello?b" in lines_of(server, 1, access)[0]
    assert "fastwsgi.error Listening at" in errors.read_text()
    assert server.log == ""


def test_a_logging_configuration_that_is_wrong(start: Start, tmp_path: Path) -> None:
    (tmp_path / "logging.ini").write_text("[loggers]\nkeys=root\n")
    server = start("responses", "--log-config", "logging.ini", "--bind", "127.0.0.1:0", cwd=tmp_path)
    assert server.wait() == 1
    assert "logging.ini" in server.log
    assert "Traceback" not in server.log


OWN_LOGGER = """
import json
from {module} import Logger

class JsonLogger(Logger):
    def access(self, resp, req, environ, request_time):
        print(json.dumps({{
            "method": req.method, "uri": req.uri, "status": resp.status, "sent": resp.sent,
            "microseconds": request_time.microseconds, "header": dict(resp.headers)["Content-Type"],
            "agent": dict(req.headers)["USER-AGENT"], "remote": environ["REMOTE_ADDR"],
        }}), flush=True)

logger_class = JsonLogger
"""


@pytest.mark.parametrize("module", ["fastwsgi.glogging", "gunicorn.glogging"])
def test_a_logger_of_ones_own(serve: Start, tmp_path: Path, module: str) -> None:
    config = tmp_path / "config.py"
    config.write_text(OWN_LOGGER.format(module=module))
    server = serve("responses", "-c", str(config), "--access-logfile", "-")
    with server.connect() as client:
        client.get("/hello", ("User-Agent", "test"))
    record = json.loads(lines_of(server, 1)[0])
    assert record.pop("microseconds") >= 0
    assert record == {
        "method": "GET",
        "uri": "/hello",
        "status": "200 OK",
        "sent": 14,
        "header": "text/plain",
        "agent": "test",
        "remote": "127.0.0.1",
    }
    assert server.stop() == 0


def test_an_access_log_that_fails(serve: Start, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(
        "from fastwsgi.glogging import Logger\n"
        "class logger_class(Logger):\n"
        "    def access(self, resp, req, environ, request_time):\n"
        "        raise LookupError('mine')\n"
    )
    server = serve("responses", "-c", str(config))
    for _ in range(2):
        with server.connect() as client:
            assert client.get("/hello").status == 200
    server.wait_for_log(r"Exception in the access log\n(.*\n)*LookupError: mine")


def test_captured_output(start: Start, tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "import os\n"
        "def application(environ, start_response):\n"
        "    print('printed', flush=True)\n"
        "    os.write(2, b'written\\n')\n"
        "    start_response('204 No Content', [])\n"
        "    return []\n"
    )
    address, errors = f"unix:{tmp_path / 'socket'}", tmp_path / "error"
    flags = ("--error-logfile", str(errors), "--capture-output")
    server = start("chatty", "--bind", address, *flags, cwd=tmp_path)
    eventually(lambda: errors.exists() and "Booting worker" in errors.read_text(), server.explain)
    with Client.open(address) as client:
        assert client.get("/").status == 204
    assert "printed\nwritten\n" in errors.read_text()
    assert server.stop() == 0
    assert server.output == server.log == ""
