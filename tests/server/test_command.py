"""The command: what it is told, what it says when that is wrong, and how it looks after its workers."""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from .client import Client, request
from .process import DEADLINE, Server, Start, clean_environment, eventually

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(command: list[str], tmp_path: Path) -> Run:
    """run(*arguments): the result of a command that is to end by itself, in the test's directory."""

    def new(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    return new


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the module `shop`, whose applications answer with what they were made of."""
    (tmp_path / "shop.py").write_text(
        textwrap.dedent(
            """
            import os

            def make(*args, **kwargs):
                def application(environ, start_response):
                    start_response("200 OK", [("Content-Type", "text/plain")])
                    return [f"{args} {kwargs} {os.environ.get('SHOP')}".encode()]
                return application

            application = make()
            second = make("second")
            number = 7

            class Branch:
                third = staticmethod(make("third"))
            """
        )
    )
    return tmp_path


def get(server: Server, target: str = "/", address: str | None = None) -> str:
    with server.connect(address) as client:
        response = client.get(target)
        assert response.status == 200
        return response.body.decode()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def at_the_gate(server: Server, client: Client, gate: Path) -> None:
    """Send a request that stays in the application until `gate` is removed."""
    client.send(request("GET", f"/gated?gate={gate}"))
    eventually(gate.exists, server.explain)


class TestArguments:
    def test_version(self, run: Run) -> None:
        result = run("--version")
        assert (result.returncode, result.stderr) == (0, "")
        assert re.fullmatch(r"\w+ \(version \d+\.\d+\.\d+\S*\)\n", result.stdout)

    def test_help(self, run: Run) -> None:
        result = run("--help")
        assert (result.returncode, result.stderr) == (0, "")
        for flag in (
            "--bind",
            "--workers",
            "--env",
            "--chdir",
            "--pythonpath",
            "--keep-alive",
            "--access-logfile",
            "--timeout",
            "--graceful-timeout",
            "--log-level",
            "--version",
            "--help",
        ):
            assert flag in result.stdout

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["shop", "--wokers", "2"], ["--wokers", "--workers"]),
            (["shop", "--workers", "two"], ["workers", "'two'", "command line"]),
            (["shop", "--workers", "-1"], ["workers", "-1"]),
            (["shop", "--timeout", ""], ["timeout"]),
            (["shop", "--bind", "127.0.0.1:http"], ["bind", "127.0.0.1:http", "port"]),
            (["shop", "--bind", "127.0.0.1:70000"], ["bind", "70000"]),
            (["shop", "--env", "NOTHING"], ["env", "NOTHING"]),
            (["shop", "--chdir", "nowhere"], ["chdir", "nowhere"]),
            (["shop", "--bind"], ["--bind"]),
            ([], ["application"]),
        ],
        ids=lambda value: " ".join(value),
    )
    def test_a_wrong_argument_is_one_line(
        self, run: Run, project: Path, arguments: list[str], said: list[str]
    ) -> None:
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert len(result.stderr.splitlines()) == 1, result.stderr
        for words in said:
            assert words in result.stderr

    def test_port_in_use(self, run: Run, project: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = run("shop", "--bind", f"127.0.0.1:{port}")
        assert result.returncode == 1
        assert f"127.0.0.1:{port}" in result.stderr
        assert "in use" in result.stderr
        assert "Traceback" not in result.stderr

    def test_an_address_that_is_not_ours(self, run: Run, project: Path) -> None:
        result = run("shop", "--bind", f"unix:{project}/no/such/directory/socket")
        assert result.returncode == 1
        assert "no/such/directory" in result.stderr
        assert "Traceback" not in result.stderr

    def test_environment(self, serve: Start, project: Path) -> None:
        server = serve("shop", "--env", "SHOP=open=yes", "-e", "OTHER=1", cwd=project)
        assert get(server) == "() {} open=yes"

    def test_chdir(self, serve: Start, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        server = serve("shop:second", "--chdir", str(project), cwd=elsewhere)
        assert get(server) == "('second',) {} None"

    def test_chdir_is_relative_to_the_start(self, serve: Start, project: Path) -> None:
        assert get(serve("shop", "--chdir", project.name, cwd=project.parent)) == "() {} None"

    def test_pythonpath(self, serve: Start, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        assert get(serve("shop", "--pythonpath", f"/nowhere,{project}", cwd=elsewhere)) == "() {} None"

    def test_flags_before_the_application(self, start: Start, project: Path) -> None:
        server = start("--bind=127.0.0.1:0", "-w1", "shop:second", cwd=project)
        assert get(server) == "('second',) {} None"


class TestApplication:
    @pytest.mark.parametrize(
        ("spec", "body"),
        [
            ("shop", "() {} None"),
            ("shop:application", "() {} None"),
            ("shop:second", "('second',) {} None"),
            ("shop:Branch.third", "('third',) {} None"),
            ("shop:make()", "() {} None"),
            (
                "shop:make('x', 2, [None, True], a=1.5, b={'c': 'd'})",
                "('x', 2, [None, True]) {'a': 1.5, 'b': {'c': 'd'}} None",
            ),
        ],
    )
    def test_found(self, serve: Start, project: Path, spec: str, body: str) -> None:
        assert get(serve(spec, cwd=project)) == body

    @pytest.mark.parametrize(
        ("spec", "code", "said"),
        [
            ("shopp", 3, ["'shopp'", "'shop'"]),
            ("shop.till", 3, ["shop.till", "package"]),
            ("shop:secnod", 4, ["shop", "'secnod'", "second"]),
            ("shop:app", 4, ["'app'", "application"]),
            ("shop:number", 4, ["number", "int"]),
            ("shop:make(open('/etc/passwd'))", 4, ["literal"]),
            ("shop:make(", 4, ["shop:make("]),
        ],
    )
    def test_not_found(self, run: Run, project: Path, spec: str, code: int, said: list[str]) -> None:
        """The reason is one line, with the name that was probably meant; nobody needs a traceback for it."""
        result = run(spec, "--bind", "127.0.0.1:0")
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        errors = [line for line in result.stderr.splitlines() if "[ERROR]" in line or "[CRITICAL]" in line]
        assert any(all(words in line for words in said) for line in errors), result.stderr

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            ("import shop\nraise LookupError('no stock')\n", "LookupError: no stock"),
            ("import no_such_dependency\n", "ModuleNotFoundError: No module named 'no_such_dependency'"),
            ("from shop import no_such_name\n", "ImportError: cannot import name 'no_such_name'"),
            ("def application(environ, start_response)\n", "SyntaxError: "),
            ("raise SystemExit('closed on Sundays')\n", "closed on Sundays"),
        ],
    )
    def test_an_exception_on_import(self, run: Run, project: Path, source: str, error: str) -> None:
        (project / "broken_shop.py").write_text(source)
        result = run("broken_shop", "--bind", "127.0.0.1:0", "--workers", "2")
        assert result.returncode == 3, result.stderr
        assert error in result.stderr
        assert "broken_shop.py" in result.stderr

    def test_an_exception_in_the_factory(self, run: Run, project: Path) -> None:
        (project / "broken_shop.py").write_text(
            "def make(size):\n    raise LookupError(f'no stock of {size}')\n"
        )
        result = run("broken_shop:make(7)", "--bind", "127.0.0.1:0")
        assert result.returncode == 3, result.stderr
        assert "LookupError: no stock of 7" in result.stderr

    def test_run(self, start: Start, serve: Start, project: Path) -> None:
        """fastwsgi.run() from a program."""
        (project / "serve.py").write_text(
            textwrap.dedent(
                """
                import fastwsgi
                import shop

                fastwsgi.run(shop.make("run"), bind=["127.0.0.1:0", "127.0.0.1:0"], workers=2)
                print("after the server")
                """
            )
        )
        directory = project / "logs"
        directory.mkdir()
        server = Server([sys.executable, "serve.py"], directory, cwd=project)
        try:
            assert len(server.wait_for_workers(2)) == 2
            for address in server.addresses:
                assert get(server, address=address) == "('run',) {} None"
            assert server.stop() == 0
            assert server.output == "after the server\n"
        finally:
            server.kill()


class TestListening:
    def test_several_addresses(self, serve: Start) -> None:
        server = serve("responses", "--bind", "127.0.0.1:0", "-b", "127.0.0.1:0", "--bind", "[::1]:0")
        first, second, third = server.addresses
        assert len({first, second, third}) == 3
        for address in server.addresses:
            assert get(server, "/hello", address) == "Hello, world!\n"

    def test_ipv6(self, serve: Start) -> None:
        server = serve("show_environ", "--bind", "[::1]:0")
        assert server.url.startswith("http://[::1]:")
        with server.connect() as client:
            environ = client.get("/").body.decode()
            port = client.sock.getsockname()[1]
        assert '"REMOTE_ADDR": ["str", "::1"]' in environ
        assert f'"REMOTE_PORT": ["str", "{port}"]' in environ
        assert '"SERVER_NAME": ["str", "::1"]' in environ

    def test_unix_socket(self, serve: Start, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        server = serve("show_environ", "--bind", f"unix:{path}")
        assert server.url == f"unix:{path}"
        with server.connect() as client:
            environ = client.get("/", ("Host", "example.org:81")).body.decode()
        assert '"REMOTE_ADDR": ["str", ""]' in environ
        for key in ("SERVER_NAME", "SERVER_PORT"):
            assert f'"{key}": ["str", "' in environ
        assert server.stop() == 0
        assert not path.exists()

    def test_unix_socket_that_was_left_behind(self, serve: Start, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        server = serve("responses", "--bind", f"unix:{path}")
        server.kill()
        assert path.exists()
        assert get(serve("responses", "--bind", f"unix:{path}"), "/hello") == "Hello, world!\n"

    def test_a_file_is_not_replaced_by_a_socket(self, run: Run, project: Path) -> None:
        path = project / "precious"
        path.write_text("data")
        result = run("shop", "--bind", f"unix:{path}")
        assert result.returncode == 1
        assert "precious" in result.stderr
        assert path.read_text() == "data"


class TestWorkers:
    def test_several(self, serve: Start) -> None:
        server = serve("responses", "--workers", "3")
        pids = server.wait_for_workers(3)
        for pid in pids:
            server.wait_for_log(rf"Booting worker with pid: {pid}$")
        assert int(get(server, "/pid")) in pids

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
    def test_a_worker_that_dies_is_replaced(self, serve: Start, number: signal.Signals) -> None:
        server = serve("responses", "--workers", "2")
        before = server.wait_for_workers(2)
        assert get(server, "/hello")
        os.kill(before[0], number)
        server.wait_for_log(rf"Worker \(pid:{before[0]}\) was sent {number.name}!")
        eventually(
            lambda: before[0] not in server.workers() and len(server.workers()) == 2,
            lambda: f"never\n{server.explain()}",
        )
        assert before[1] in server.workers()
        for _ in range(10):
            assert get(server, "/hello") == "Hello, world!\n"

    def test_ttin_and_ttou(self, serve: Start) -> None:
        server = serve("responses", "--workers", "1")
        server.wait_for_workers(1)
        server.signal(signal.SIGTTIN)
        server.wait_for_workers(2)
        server.signal(signal.SIGTTOU)
        server.wait_for_workers(1)
        assert get(server, "/hello") == "Hello, world!\n"

    def test_workers_do_not_outlive_the_arbiter(self, serve: Start) -> None:
        server = serve("responses", "--workers", "2")
        workers = server.wait_for_workers(2)
        assert get(server, "/hello")
        server.signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not any(map(is_alive, workers)), lambda: f"workers stay\n{server.explain()}")

    def test_a_stuck_worker_is_replaced(self, serve: Start, tmp_path: Path) -> None:
        server = serve("responses", "--workers", "2", "--timeout", "1")
        before = server.wait_for_workers(2)
        gate = tmp_path / "gate"
        with server.connect() as client:
            at_the_gate(server, client, gate)
            stuck = int(server.wait_for_log(r"\[CRITICAL\] WORKER TIMEOUT \(pid:(\d+)\)")[1])
            assert stuck in before
            eventually(
                lambda: stuck not in server.workers() and len(server.workers()) == 2,
                lambda: f"never\n{server.explain()}",
            )
        assert get(server, "/hello") == "Hello, world!\n"
        assert len(re.findall("WORKER TIMEOUT", server.log)) == 1

    def test_idle_workers_do_not_time_out(self, serve: Start) -> None:
        server = serve("responses", "--timeout", "1", "--keep-alive", "3")
        workers = server.wait_for_workers(1)
        with server.connect() as client:
            assert client.get("/hello").status == 200
            assert client.at_eof()  # after three seconds
        assert server.workers() == workers
        assert "TIMEOUT" not in server.log


class TestEnding:
    def test_term_lets_requests_finish(self, serve: Start, tmp_path: Path) -> None:
        server = serve("responses")
        gate = tmp_path / "gate"
        with server.connect() as idle, server.connect() as client:
            assert idle.get("/hello").status == 200
            at_the_gate(server, client, gate)
            server.signal(signal.SIGTERM)
            server.wait_for_log("Handling signal: term")
            gate.unlink()
            response = client.response()
            assert (response.status, response.body) == (200, b"after the gate")
            assert response.closes
            assert client.at_eof()
            assert idle.at_eof()
        assert server.wait() == 0
        assert "Traceback" not in server.log
        with pytest.raises(ConnectionRefusedError):
            server.connect()

    def test_term_lets_a_stream_finish(self, serve: Start, tmp_path: Path) -> None:
        server = serve("responses")
        gate = tmp_path / "gate"
        with server.connect() as client:
            client.send(request("GET", f"/gated_blocks?gate={gate}"))
            eventually(gate.exists, server.explain)
            server.signal(signal.SIGTERM)
            server.wait_for_log("Handling signal: term")
            gate.unlink()
            response = client.response()
            assert (response.complete, response.body) == (True, b"before the gate, after the gate")
        assert server.wait() == 0

    def test_term_lets_an_answer_be_read(self, serve: Start) -> None:
        server = serve("responses")
        with server.connect(receive_buffer=4096) as client:
            client.send(request("GET", "/big?size=8000000"))
            assert client.receive()
            server.signal(signal.SIGTERM)
            server.wait_for_log("Handling signal: term")
            assert len(client.response().body) == 8_000_000
        assert server.wait() == 0

    def test_int_does_not_wait_for_requests(self, serve: Start, tmp_path: Path) -> None:
        server = serve("responses")
        gate = tmp_path / "gate"
        workers = server.wait_for_workers(1)
        with server.connect() as client:
            at_the_gate(server, client, gate)
            server.signal(signal.SIGINT)
            assert server.wait() == 0
            assert gate.exists()
        assert not any(map(is_alive, workers))

    def test_quit_without_work(self, serve: Start) -> None:
        server = serve("responses", "--workers", "2")
        assert get(server, "/hello")
        server.signal(signal.SIGQUIT)
        assert server.wait() == 0

    def test_graceful_timeout_bounds_it(self, serve: Start, tmp_path: Path) -> None:
        server = serve("responses", "--graceful-timeout", "1")
        gate = tmp_path / "gate"
        workers = server.wait_for_workers(1)
        with server.connect() as client:
            at_the_gate(server, client, gate)
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert gate.exists()
        assert not any(map(is_alive, workers))

    def test_term_while_booting(self, start: Start, project: Path) -> None:
        (project / "slow_shop.py").write_text("import time\ntime.sleep(60)\n")
        server = start("slow_shop", "--bind", "127.0.0.1:0", "--graceful-timeout", "1", cwd=project)
        server.wait_for_log("Booting worker")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


class TestLogs:
    ACCESS_LINE = re.compile(
        r"(?P<h>\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"(?P<r>.*)" (?P<s>\d{3}) (?P<b>\d+|-) "(?P<f>.*)" "(?P<a>.*)"'
    )

    def access_lines(self, server: Server, count: int) -> list[dict[str, str]]:
        eventually(lambda: server.output.count("\n") >= count, server.explain)
        matches = [self.ACCESS_LINE.fullmatch(line) for line in server.output.splitlines()]
        assert all(matches), server.output
        assert len(matches) == count, server.output
        return [match.groupdict() for match in matches if match]

    def test_access_log(self, serve: Start) -> None:
        """gunicorn's default format, so that what reads its logs reads ours."""
        server = serve("responses", "--access-logfile", "-")
        with server.connect() as client:
            client.get("/hello?q=%20", ("Referer", "http://example.org/"), ("User-Agent", "test/1.0"))
            client.ask("POST", "/echo", body=b"x" * 1000)
            client.ask("HEAD", "/hello")
            client.get("/no_content")
            client.get("/blocks?count=10&size=500")
            client.get("/hello", ("User-Agent", 'a "quoted" \xe9'))
        with server.connect() as client:
            client.ask("GET", "/hello", version="HTTP/1.0")
        lines = self.access_lines(server, 7)
        assert lines[0] == {
            "h": "127.0.0.1",
            "r": "GET /hello?q=%20 HTTP/1.1",
            "s": "200",
            "b": "14",
            "f": "http://example.org/",
            "a": "test/1.0",
        }
        assert [line["r"] for line in lines[1:5]] == [
            "POST /echo HTTP/1.1",
            "HEAD /hello HTTP/1.1",
            "GET /no_content HTTP/1.1",
            "GET /blocks?count=10&size=500 HTTP/1.1",
        ]
        assert [(line["s"], line["b"]) for line in lines[1:5]] == [
            ("200", "1000"),
            ("200", "0"),
            ("204", "0"),
            ("200", "5000"),
        ]
        assert (lines[1]["f"], lines[1]["a"]) == ("-", "-")
        assert lines[5]["a"] == 'a \\"quoted\\" \xe9'
        assert lines[6]["r"] == "GET /hello HTTP/1.0"

    def test_a_client_cannot_write_lines_of_its_own(self, serve: Start) -> None:
        server = serve("responses", "--access-logfile", "-")
        with server.connect() as client:
            client.get("/hello", ("User-Agent", "x\x85127.0.0.1 - - forged\xa0"))
            client.get("/hello", ("Referer", '" 500 0 "'))
        lines = self.access_lines(server, 2)
        assert [line["s"] for line in lines] == ["200", "200"]

    def test_access_log_of_a_failure(self, serve: Start) -> None:
        server = serve("broken", "--access-logfile", "-")
        with server.connect() as client:
            assert client.get("/raises").status == 500
        assert [line["s"] for line in self.access_lines(server, 1)] == ["500"]

    def test_access_log_in_a_file(self, serve: Start, tmp_path: Path) -> None:
        path = tmp_path / "access.log"
        server = serve("responses", "--access-logfile", str(path), "--workers", "2")
        for _ in range(10):
            get(server, "/hello")
        eventually(lambda: len(path.read_text().splitlines()) == 10, server.explain)
        assert all(map(self.ACCESS_LINE.fullmatch, path.read_text().splitlines()))
        assert server.output == ""

    def test_no_access_log_by_default(self, serve: Start) -> None:
        server = serve("responses")
        get(server, "/hello")
        assert server.stop() == 0
        assert server.output == ""
        assert "/hello" not in server.log

    def test_error_log_lines(self, serve: Start) -> None:
        server = serve("responses")
        get(server, "/hello")
        assert server.stop() == 0
        line = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[INFO\] .+")
        assert all(map(line.fullmatch, server.log.splitlines())), server.log
        for words in (
            "Starting",
            "Listening at: http://127.0.0.1:",
            "Using worker:",
            "Booting worker with pid:",
            "Handling signal: term",
            "Worker exiting (pid:",
            "Shutting down: Master",
        ):
            assert words in server.log

    def test_log_level(self, start: Start, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        server = start("broken", "--bind", f"unix:{path}", "--log-level", "error")
        eventually(path.exists, server.explain)
        with Client.open(f"unix:{path}") as client:
            assert client.get("/raises").status == 500
        assert server.stop() == 0
        assert "[ERROR]" in server.log
        assert "[INFO]" not in server.log
