"""fastwsgi/app/base.py, wsgiapp.py: where settings come from, and programs that embed the server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.process import Server

from fastwsgi.app.base import Application, BaseApplication
from fastwsgi.app.wsgiapp import WSGIApplication
from fastwsgi.errors import ConfigError
from fastwsgi.settings import Settings

VARIABLES = (
    "PORT",
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "SENDFILE",
    "FASTWSGI_CMD_ARGS",
    "GUNICORN_CMD_ARGS",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    sys.modules.pop("__config__", None)


def command(line: str) -> Settings:
    return WSGIApplication(argv=line.split()).cfg


def test_the_environment_takes_the_place_of_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1234")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("SENDFILE", "no")
    settings = command("app")
    assert settings.bind == ("0.0.0.0:1234",)
    assert settings.source("bind") == "environment variable PORT"
    assert (settings.workers, settings.forwarded_allow_ips, settings.sendfile) == (3, ("*",), False)
    assert command("app -w 2 -b a:1").bind == ("a:1",)
    monkeypatch.setenv("SENDFILE", "Yes")
    assert command("app").sendfile
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    with pytest.raises(SystemExit, match=r"workers = 'many' \(environment variable WEB_CONCURRENCY\) is not"):
        command("app")


def test_later_sources_win(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "gunicorn.conf.py").write_text("timeout = workers = backlog = 11\nbind = 'a:1'\nreload = True\n")
    monkeypatch.setenv("WEB_CONCURRENCY", "10")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--backlog 12 --timeout=12 -b 'env:1' ignored --env 'A=b c'")
    settings = command("app --timeout 13")
    file, variable = str(here / "gunicorn.conf.py"), "environment variable GUNICORN_CMD_ARGS"
    assert (settings.workers, settings.source("workers")) == (11, file)
    assert (settings.backlog, settings.source("backlog")) == (12, variable)
    assert (settings.timeout, settings.source("timeout")) == (13, "command line")
    assert settings.bind == ("env:1",)
    assert settings.env == {"A": "b c"}
    assert settings.reload
    assert settings.wsgi_app == "app"
    assert (settings.config, settings.source("config")) == (file, "where the server was started")


def test_our_variable_is_stronger_than_gunicorns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--backlog 1 --timeout 1")
    monkeypatch.setenv("FASTWSGI_CMD_ARGS", "--backlog 2")
    settings = command("app")
    assert (settings.backlog, settings.timeout) == (2, 30)
    assert settings.source("backlog") == "environment variable FASTWSGI_CMD_ARGS"


@pytest.mark.parametrize("written", ["--nosuch 1", "'unclosed"])
def test_arguments_in_the_environment_that_are_wrong(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", written)
    with pytest.raises(SystemExit, match="fastwsgi: error: environment variable GUNICORN_CMD_ARGS: "):
        command("app")


def test_which_file_is_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fastwsgi.conf.py", "gunicorn.conf.py", "cli.py", "env.py"):
        (here / name).write_text(f"proc_name = {name!r}\n")
    assert command("app").proc_name == "fastwsgi.conf.py"
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-c env.py")
    settings = command("app")
    assert (settings.proc_name, settings.config) == ("env.py", str(here / "env.py"))
    assert settings.source("config") == "environment variable GUNICORN_CMD_ARGS"
    assert command("app -c file:cli.py").proc_name == "cli.py"


def test_the_file_of_the_starting_directory_not_of_chdir(here: Path) -> None:
    (here / "site").mkdir()
    (here / "site/gunicorn.conf.py").write_text("workers = 5\n")
    settings = command("app --chdir site")
    assert (settings.workers, settings.chdir) == (1, str(here / "site"))


def test_a_file_may_name_the_application_and_import_its_neighbours(here: Path) -> None:
    (here / "neighbour.py").write_text("def hook(server): return 'called'\n")
    (here / "conf.py").write_text(
        "from neighbour import hook as on_exit\nwhen_ready = 'neighbour.hook'\nwsgi_app = 'shop.wsgi'\n"
    )
    settings = command("-c conf.py")
    assert (settings.wsgi_app, settings.proc_name) == ("shop.wsgi", "shop.wsgi")
    assert settings.on_exit(None) == settings.when_ready(None) == "called"
    assert command("-c conf.py other").wsgi_app == "other"
    del sys.modules["neighbour"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers = 'x'\n", "workers = 'x' ({here}/conf.py) is not valid: expected a whole number"),
        ("def pre_fork(server): pass\n", "({here}/conf.py) is not valid: expected a function of (serv"),
        ("1 / 0\n", 'cannot be used: Traceback (most recent call last):\n  File "{here}/conf.py", line 1'),
    ],
)
def test_what_is_wrong_in_a_file_is_said(here: Path, text: str, message: str) -> None:
    (here / "conf.py").write_text(text)
    with pytest.raises(SystemExit) as caught:
        command("app -c conf.py")
    assert message.format(here=here) in str(caught.value)


def test_what_is_not_built_may_be_taken_back(here: Path) -> None:
    (here / "gunicorn.conf.py").write_text("threads = 4\nworker_class = 'gevent'\ncertfile = 'cert.pem'\n")
    with pytest.raises(
        SystemExit, match=rf"{here}/gunicorn.conf.py\) is not valid: fastwsgi has no such worker"
    ):
        command("app")
    settings = command("app --threads 1 --worker-class sync --certfile=")
    assert (settings.threads, settings.worker_class, settings.is_ssl) == (1, "sync", False)


def test_reload_reads_anew(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "site").mkdir()
    (here / "conf.py").write_text("workers = 2\n")
    application = WSGIApplication(argv=["app", "-c", "conf.py", "--chdir", "site", "--timeout", "5"])
    before = application.cfg
    os.chdir(before.chdir)
    (here / "conf.py").write_text("workers = 3\ntimeout = 6\n")
    application.reload()
    after = application.cfg
    assert (after.workers, after.timeout, after.chdir) == (3, 5, str(here / "site"))
    assert (before.workers, os.getcwd()) == (2, str(here / "site"))
    for text in ("workers = 'x'\n", "1 / 0\n", "workers =", "raise SystemExit\n"):
        (here / "conf.py").write_text(text)
        with pytest.raises(ConfigError):
            application.reload()
        assert application.cfg is after
        assert os.getcwd() == str(here / "site")


def test_reload_reads_the_environment_the_server_was_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    application = WSGIApplication(argv=["app", "--env", "WEB_CONCURRENCY=5"])
    os.environ.update(application.cfg.env)
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--timeout 5")
    application.reload()
    assert (application.cfg.workers, application.cfg.timeout) == (2, 30)
    assert application.cfg.env_orig["WEB_CONCURRENCY"] == "2"


def test_a_logger_that_cannot_be_imported_is_one_line(here: Path) -> None:
    result = run("app", "--logger-class", "no.such.Logger")
    assert result.returncode == 1
    assert result.stderr == (
        "fastwsgi: error: logger_class = 'no.such.Logger' (command line) is not valid: "
        "'no.such.Logger' cannot be imported: No module named 'no'\n"
    )


def test_what_has_no_effect_is_said_in_one_line(here: Path) -> None:
    (here / "conf.py").write_text("asgi_loop = 'uvloop'\ndirty_workers = dirty_threads = 2\nlog_level = 5\n")
    settings = command("app -c conf.py --control-socket-mode 0600 --no-control-socket")
    assert settings.warnings() == [
        f"log_level in {here}/conf.py is no setting; did you mean 'loglevel'?",
        "These settings have no effect: asgi_loop (fastwsgi serves WSGI applications only); "
        "dirty_workers, dirty_threads (there are no dirty arbiters)",
    ]
    assert command("app").warnings() == []


@pytest.mark.parametrize(
    ("flag", "name"),
    [("--stream-request-body", "stream_request_body"), ("--stream-request-path /a", "stream_request_paths")],
)
def test_a_streamed_body_holds_the_only_thread(flag: str, name: str) -> None:
    (line,) = command(f"app {flag}").warnings()
    assert line.startswith(f"{name} with one thread: ") and line.endswith("use --threads")
    assert command(f"app {flag} --threads 2").warnings() == []


class Embedded(BaseApplication):
    """As gunicorn's documentation has it."""

    def __init__(self, app: object, options: dict[str, object] | None = None) -> None:
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self) -> None:
        config = {
            key: value
            for key, value in self.options.items()
            if key in self.cfg.settings and value is not None
        }
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self) -> object:
        return self.application


def test_the_embedding_recipe() -> None:
    made = Embedded(print, {"bind": "a:1", "workers": 3, "timeout": None, "nosuch": 5})
    assert (made.cfg.bind, made.cfg.workers, made.cfg.timeout) == (("a:1",), 3, 30)
    assert made.cfg.source("workers") == "load_config()"
    assert made.wsgi() is print
    with pytest.raises(AttributeError, match="not while serving"):
        made.cfg.set("workers", 4)
    with pytest.raises(ConfigError):
        Embedded(print, {"workers": "x"})


def test_a_name_that_is_no_setting_is_an_attribute_error_as_well() -> None:
    class Wrong(BaseApplication):
        def load_config(self) -> None:
            with pytest.raises(AttributeError, match="did you mean 'workers'"):
                self.cfg.set("wrokers", 1)

    Wrong()


def test_the_application_is_loaded_once() -> None:
    loaded: list[int] = []

    class Counting(Embedded):
        def load(self) -> object:
            loaded.append(1)
            return print

    made = Counting(None)
    assert loaded == []
    assert made.wsgi() is made.wsgi() is print
    assert loaded == [1]


def test_a_program_with_a_command_line_of_its_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Standalone(WSGIApplication):
        """As programs have it that know only the name of the application."""

        def __init__(self, app_uri: str, options: dict[str, object]) -> None:
            self.options = options
            self.app_uri = app_uri
            super().__init__()

        def load_config(self) -> None:
            for key, value in self.options.items():
                self.cfg.set(key, value)

    (here / "shop.py").write_text("def application(environ, start_response): pass\n")
    monkeypatch.setattr(sys, "argv", ["program", "--its-own-flag"])
    made = Standalone("shop", {"workers": 2})
    assert made.cfg.workers == 2
    monkeypatch.syspath_prepend(str(here))
    assert made.wsgi().__name__ == "application"
    del sys.modules["shop"]


def test_an_application_with_a_command_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Framework(Application):
        def init(self, parser: object, options: object, arguments: list[str]) -> dict[str, object]:
            self.seen = (options.workers, options.timeout, arguments)  # type: ignore[attr-defined]
            return {"workers": 7, "timeout": 7, "backlog": 7}

    (here / "gunicorn.conf.py").write_text("backlog = 8\n")
    monkeypatch.setattr(sys, "argv", ["manage", "one", "two", "--timeout", "9"])
    made = Framework(usage="%(prog)s runs", prog="manage")
    assert made.seen == (None, "9", ["one", "two"])
    assert (made.cfg.workers, made.cfg.backlog, made.cfg.timeout) == (7, 8, 9)
    assert made.cfg.source("workers") == "framework"
    monkeypatch.setattr(sys, "argv", ["manage", "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        Framework(usage="%(prog)s runs", prog="manage")
    assert capsys.readouterr().out.startswith("usage: manage runs\n")
    monkeypatch.setattr(sys, "argv", ["manage", "--workers", "x"])
    with pytest.raises(SystemExit, match=r"^manage: error: workers = 'x' \(command line\)"):
        Framework(prog="manage")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastwsgi", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


APPLICATION = """
import os
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
assert os.environ["WANTED"] == "yes"
"""


def test_check_config(here: Path) -> None:
    (here / "site").mkdir()
    (here / "site/shop.py").write_text(APPLICATION)
    result = run("shop", "--chdir", "site", "--env", "WANTED=yes", "--check-config", "--asgi-loop", "asyncio")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith("Warning: These settings have no effect: asgi_loop (")


@pytest.mark.parametrize("flag", ["--check-config", "--print-config"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("shop", "Error: the application cannot be loaded:\nTraceback"),
        ("shop:app --env WANTED=yes", "Error: there is no 'app' in shop; did you mean 'application'?\n"),
        ("shops", "Error: there is no module 'shops'"),
        ("shop --workers x", "fastwsgi: error: workers = 'x'"),
    ],
)
def test_check_config_says_what_is_wrong(here: Path, flag: str, arguments: str, message: str) -> None:
    (here / "shop.py").write_text(APPLICATION)
    result = run(*arguments.split(), flag)
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert "fastwsgi/app" not in result.stderr


def test_print_config(here: Path) -> None:
    (here / "shop.py").write_text(APPLICATION)
    (here / "fastwsgi.conf.py").write_text("def post_fork(server, worker): pass\nbind = ['a:1', 'b:2']\n")
    result = run("shop", "--print-config", "--env", "WANTED=yes", "-w", "3")
    assert (result.returncode, result.stderr) == (0, "")
    printed = result.stdout.splitlines()
    assert printed == sorted(printed)
    assert len(printed) == len(Settings().entries)
    squeezed = [" ".join(line.split()) for line in printed]
    assert "workers = 3 (command line)" in squeezed
    assert f"bind = ['a:1', 'b:2'] ({here}/fastwsgi.conf.py)" in squeezed
    assert f"post_fork = <post_fork()> ({here}/fastwsgi.conf.py)" in squeezed
    assert "backlog = 2048 (default)" in squeezed


PROGRAM = """
import sys
from fastwsgi.app.base import BaseApplication

class Standalone(BaseApplication):
    def __init__(self, app, options):
        self.options, self.application = options, app
        super().__init__()
    def load_config(self):
        for key, value in self.options.items():
            self.cfg.set(key.lower(), value)
    def load(self):
        return self.application

def handler(environ, start_response):
    start_response("200 OK", [])
    return [b"embedded"]

Standalone(handler, {"bind": "127.0.0.1:0", "WORKERS": 2}).run()
"""


@pytest.fixture
def served(here: Path) -> Iterator[Server]:
    (here / "program.py").write_text(PROGRAM)
    streams = here / "streams"
    streams.mkdir()
    server = Server([sys.executable, "program.py"], streams, cwd=here)
    yield server
    server.kill()


def test_an_embedded_server_serves(served: Server) -> None:
    with served.connect() as client:
        assert client.get("/").body == b"embedded"
    served.wait_for_workers(2)
    assert served.stop() == 0
    assert "Number of workers: 2" in served.log


def test_spew_shows_every_line(here: Path) -> None:
    (here / "shop.py").write_text("one = 1\n\ndef application(environ, start_response): pass\n")
    code = (
        "from fastwsgi.app.wsgiapp import WSGIApplication\n"
        "import fastwsgi.arbiter\n"
        "fastwsgi.arbiter.Arbiter = lambda app: type('Loads', (), {'run': lambda self: app.wsgi() and 0})()\n"
        "WSGIApplication(argv=['shop', '--spew']).run()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"{here}/shop.py:1: one = 1\n" in result.stderr
