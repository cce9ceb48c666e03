"""fastwsgi/app/pasterapp.py, with the real PasteDeploy."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from server.process import Server

from fastwsgi.app import pasterapp
from fastwsgi.app.wsgiapp import WSGIApplication
from fastwsgi.errors import AppNotFoundError

SITE = """
def factory(global_conf, **local_conf):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [f"{local_conf['name']} {global_conf.get('town')}".encode()]
    return application
"""
INI = """\
[DEFAULT]
town = nowhere

[app:main]
paste.app_factory = site_of_paste:factory
name = main

[app:other]
paste.app_factory = site_of_paste:factory
name = other

[server:main]
use = egg:fastwsgi#main
host = 127.0.0.1
port = 0
workers = 2
"""
LOGGERS = "[loggers]\nkeys = root\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "site_of_paste.py").write_text(SITE)
    (tmp_path / "site.ini").write_text(INI)
    yield tmp_path
    sys.modules.pop("site_of_paste", None)


def body(made: WSGIApplication) -> bytes:
    [block] = made.wsgi()({}, lambda status, headers, exc_info=None: lambda data: None)
    return block


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("--paste site.ini", b"main nowhere"),
        ("--paster site.ini#other", b"other nowhere"),
        ("--paste site.ini --paste-global town=here", b"main here"),
    ],
)
def test_the_application_of_an_ini_file(here: Path, line: str, answer: bytes) -> None:
    made = WSGIApplication(argv=line.split())
    assert body(made) == answer
    assert made.cfg.proc_name == str(here / "site.ini")
    assert made.cfg.logconfig is None


def test_a_file_may_say_paste_too(here: Path) -> None:
    (here / "conf.py").write_text("paste = 'site.ini#other'\n")
    assert body(WSGIApplication(argv=["-c", "conf.py"])) == b"other nowhere"


def test_an_ini_file_may_configure_logging(here: Path) -> None:
    (here / "site.ini").write_text(INI + LOGGERS)
    assert WSGIApplication(argv=["--paste", "site.ini"]).cfg.logconfig == str(here / "site.ini")
    given = WSGIApplication(argv=["--paste", "site.ini", "--log-config", "my.ini"])
    assert given.cfg.logconfig == "my.ini"


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(
        SystemExit, match=r"paste = 'nosuch.ini#a' \(command line\) is not valid: expected FILE"
    ):
        WSGIApplication(argv=["--paste", "nosuch.ini#a"])


def test_without_pastedeploy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = WSGIApplication(argv=["--paste", "site.ini"])
    monkeypatch.setitem(sys.modules, "paste.deploy", None)
    with pytest.raises(AppNotFoundError, match=r"pip install 'fastwsgi\[paste\]'"):
        made.wsgi()


@pytest.mark.parametrize(
    ("name", "function"),
    [("paste.server_runner", pasterapp.serve), ("paste.server_factory", pasterapp.server_factory)],
)
def test_entry_points(name: str, function: Callable[..., object]) -> None:
    [found] = [point for point in entry_points(group=name) if point.dist and point.dist.name == "fastwsgi"]
    assert (found.name, found.load()) == ("main", function)


@pytest.mark.parametrize(
    ("settings", "bind"),
    [
        ({"host": "127.0.0.1", "port": "81"}, ("127.0.0.1:81",)),
        ({"host": "a:1,b:2"}, ("a:1", "b:2")),
        ({"port": "81"}, ("127.0.0.1:81",)),
        ({"bind": "c:3"}, ("c:3",)),
    ],
)
def test_settings_of_a_server_section(
    here: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], bind: tuple[str, ...]
) -> None:
    seen: list[pasterapp.PasteServer] = []
    monkeypatch.setattr(pasterapp.PasteServer, "run", lambda made: seen.append(made))
    (here / "conf.py").write_text("workers = 4\nbacklog = 4\n")
    globals_ = {"__file__": str(here / "site.ini")}
    pasterapp.server_factory(globals_, config="conf.py", workers="3", **settings)(print)
    [made] = seen
    assert (made.cfg.bind, made.cfg.workers, made.cfg.backlog) == (bind, 3, 4)
    assert made.cfg.source("workers") == str(here / "site.ini")
    assert made.wsgi() is print


@pytest.fixture
def served(here: Path) -> Iterator[Server]:
    (here / "serve.py").write_text(
        "from paste.deploy import loadapp, loadserver\n"
        f"uri = 'config:{here}/site.ini'\n"
        "loadserver(uri)(loadapp(uri))\n"
    )
    (here / "streams").mkdir()
    server = Server([sys.executable, "serve.py"], here / "streams", cwd=here)
    yield server
    server.kill()


def test_an_ini_file_runs_the_server(served: Server) -> None:
    with served.connect() as client:
        assert client.get("/").body == b"main nowhere"
    served.wait_for_workers(2)
    assert served.stop() == 0


def test_a_wrong_setting_of_an_ini_file_is_one_line(here: Path) -> None:
    (here / "site.ini").write_text(INI.replace("workers = 2", "workers = x"))
    code = f"from paste.deploy import loadserver; loadserver('config:{here}/site.ini')(print)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"fastwsgi: error: workers = 'x' ({here}/site.ini) is not valid: ")
    assert result.stderr.count("\n") == 1
