"""fastwsgi/settings/file.py: which configuration file, what it says, what is misspelt in it."""

import os
import re
import sys
from pathlib import Path

import pytest

from fastwsgi.errors import ConfigFileError
from fastwsgi.settings.file import default_file, near_setting, read_file


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ours_is_looked_for_before_gunicorns(here: Path) -> None:
    assert default_file(str(here)) is None
    (here / "gunicorn.conf.py").touch()
    assert default_file(str(here)) == str(here / "gunicorn.conf.py")
    (here / "fastwsgi.conf.py").touch()
    assert default_file(str(here)) == str(here / "fastwsgi.conf.py")


@pytest.mark.parametrize("location", ["conf.py", "file:conf.py", "{here}/conf.py"])
def test_a_path(here: Path, location: str) -> None:
    (here / "conf.py").write_text("import os\nworkers = 2\nwhere = __file__\nbind = [where]\nx = 1\n")
    file = read_file(location.format(here=here))
    path = str(here / "conf.py")
    assert (file.path, file.values) == (path, {"workers": 2, "bind": [path]})
    assert not list(here.glob("**/*.pyc"))


def test_any_suffix(here: Path) -> None:
    (here / "conf").write_text("workers = 2\n")
    assert read_file("conf").values == {"workers": 2}


def test_a_change_is_seen_at_once(here: Path) -> None:
    for number in range(1, 9):
        (here / "conf.py").write_text(f"workers = {number}\n")
        os.utime(here / "conf.py", (1000, 1000))
        assert read_file("conf.py").values == {"workers": number}


def test_a_module(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (here / "deploy").mkdir()
    (here / "deploy/__init__.py").touch()
    (here / "deploy/shop.py").write_text("workers = 2\nworker = 1\n")
    file = read_file("python:deploy.shop")
    assert (file.path, file.values) == ("python:deploy.shop", {"workers": 2})
    (here / "deploy/shop.py").write_text("workers = 345\n")
    assert read_file("python:deploy.shop").values == {"workers": 345}
    monkeypatch.delitem(sys.modules, "deploy.shop")


def test_a_file_cannot_say_which_file_is_read(here: Path) -> None:
    (here / "conf.py").write_text("config = object()\n")
    assert read_file("conf.py").values == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers = 2\n\ndef f():\n    1 / 0\nf()\n", "line 5, in <module>\n    f()"),
        ("workers =\n", "SyntaxError"),
        ("import no_such_module_anywhere\n", "No module named 'no_such_module_anywhere'"),
        ("raise SystemExit(5)\n", "SystemExit: 5"),
    ],
)
def test_what_goes_wrong_in_it(here: Path, text: str, message: str) -> None:
    (here / "conf.py").write_text(text)
    with pytest.raises(ConfigFileError) as caught:
        read_file("conf.py")
    said = str(caught.value)
    assert said.startswith(f"the configuration file {here}/conf.py cannot be used: ")
    assert message in said
    assert f'File "{here}/conf.py"' in said
    assert "fastwsgi/settings" not in said  # only the way from the file's own first line


def test_the_traceback_shows_the_file_as_it_is_now(here: Path) -> None:
    for number in range(2):
        (here / "conf.py").write_text(f"raise KeyError  # {number}\n")
        with pytest.raises(ConfigFileError, match=rf"\n    raise KeyError  # {number}\n"):
            read_file("conf.py")


def test_a_module_that_goes_wrong(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(here))
    (here / "brokenconf.py").write_text("1 / 0\n")
    with pytest.raises(ConfigFileError, match=r"python:brokenconf cannot be used: ") as caught:
        read_file("python:brokenconf")
    assert re.findall(r'File "(.+)", line', str(caught.value)) == [str(here / "brokenconf.py")]
    with pytest.raises(ConfigFileError, match="No module named 'nosuchconf'"):
        read_file("python:nosuchconf")


def test_a_file_that_is_not_there(here: Path) -> None:
    with pytest.raises(ConfigFileError, match="cannot be read: No such file"):
        read_file("nosuch.py")


def test_misspelt_names(here: Path) -> None:
    (here / "conf.py").write_text(
        "limit_request_field = 10\nlog_level = 'debug'\nwrokers = 3\nif True:\n    preload = True\n"
    )
    assert read_file("conf.py").misspelt == {
        "limit_request_field": "limit_request_fields",
        "log_level": "loglevel",
        "preload": "preload_app",
        "wrokers": "workers",
    }


HELPERS = """
import json
import threading as thread
from os import environ as raw_envs, getcwd as chdirs
from multiprocessing import cpu_count

worker = cpu_count()
workers = worker * 2 + 1
workers_per_core_str = environ.get("WORKERS_PER_CORE", "1") if (environ := raw_envs) else ""
graceful_timeout_str = "120"
use_loglevel = "info"
accesslog_var = "-"
host, port, name, env = "0.0.0.0", "80", "shop", {}
bind = f"{host}:{port}"
timeouts = 5
timeout = 6
backlogs = [2048]
backlogs_of = {"shop": backlogs}
redirect_stderr = True
command = "/usr/bin/fastwsgi"
_workers = 1
WORKERS = 1
on_exits = print
class Worker_Class: pass

def post_forks(server, worker):
    keepaliv = 1
"""


def test_helpers_are_left_alone(here: Path) -> None:
    (here / "conf.py").write_text(HELPERS)
    file = read_file("conf.py")
    assert file.misspelt == {}
    assert set(file.values) == {"workers", "bind", "timeout"}


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("workerss", "workers"),
        ("bnd", None),
        ("bidn", "bind"),
        ("access_logfile", "accesslog"),
        ("keep_alive", "keepalive"),
        ("max_request", "max_requests"),
        ("pid", None),
        ("user_name", None),
        ("x", None),
    ],
)
def test_near(name: str, setting: str | None) -> None:
    assert near_setting(name) == setting
