"""fastwsgi/settings.py: declarations, values, layers."""

import os
from collections import Counter
from pathlib import Path

import pytest

from fastwsgi.errors import ConfigError
from fastwsgi.log import Logger
from fastwsgi.settings import Layer, Settings, declared


def given(**values: object) -> Settings:
    return Settings([Layer("test", values)])


def test_no_flag_is_used_twice() -> None:
    flags = [flag for setting in declared().values() for flag in setting.flags]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize(
    ("value", "result"), [(4, 4), ("4", 4), (" 4 ", 4), ("007", 7), ("0x10", 16), ("0", 0)]
)
def test_count(value: object, result: int) -> None:
    assert given(workers=value).workers == result


@pytest.mark.parametrize("value", ["many", "", "-1", -1, "1.5", 1.5, None, True, [1], "0xx"])
def test_not_a_count(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        given(workers=value)
    error = caught.value
    assert (error.setting, error.value, error.source) == ("workers", value, "test")
    assert str(error) == f"workers = {value!r} (test) is not valid: expected a whole number, 0 or more"


def test_texts() -> None:
    assert given(bind="[::1]:80").bind == ("[::1]:80",)
    assert given(bind=["a:1", "unix:/b"]).bind == ("a:1", "unix:/b")
    assert given(raw_env=None).raw_env == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bind", []),
        ("bind", "1:2:3"),
        ("bind", ["127.0.0.1:80", "host:port"]),
        ("bind", 8000),
        ("bind", [8000]),
        ("raw_env", ["A=1", "B"]),
        ("raw_env", ["=1"]),
        ("loglevel", 10),
        ("chdir", "/no/such/directory"),
        ("chdir", __file__),
        ("worker_class", "fast"),
    ],
)
def test_not_valid(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match="expected") as caught:
        given(**{name: value})
    assert caught.value.setting == name


@pytest.mark.parametrize("name", ["gevent", "gthread", "eventlet", "tornado"])
def test_gunicorns_other_workers_get_an_alternative(name: str) -> None:
    with pytest.raises(ConfigError, match="use 'sync'"):
        given(worker_class=name)


def test_env() -> None:
    assert given(raw_env=["A=1", "B=x=y", "C="]).env == {"A": "1", "B": "x=y", "C": ""}


def test_later_layers_win_and_sources_are_remembered() -> None:
    settings = Settings(
        [Layer("file", {"workers": 2, "timeout": 5}), Layer("command line", {"workers": "3"})]
    )
    assert (settings.workers, settings.source("workers")) == (3, "command line")
    assert (settings.timeout, settings.source("timeout")) == (5, "file")
    assert (settings.backlog, settings.source("backlog")) == (2048, "default")
    assert dict(settings)["workers"] == (3, "command line")


def test_a_wrong_value_in_an_earlier_layer_is_an_error_too() -> None:
    with pytest.raises(ConfigError, match=r"workers = 'x' \(file\)"):
        Settings([Layer("file", {"workers": "x"}), Layer("command line", {"workers": 1})])


@pytest.mark.parametrize(
    ("name", "hint"), [("wrokers", "did you mean 'workers'"), ("qqq", "no such setting")]
)
def test_a_name_that_is_no_setting(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        given(**{name: 1})


def test_frozen() -> None:
    settings = Settings()
    with pytest.raises(AttributeError):
        settings.workers = 2
    assert settings.workers == 1


def test_chdir_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PWD", raising=False)
    assert given(chdir="site").chdir == str(tmp_path / "site")
    assert Settings().chdir == str(tmp_path)


def test_watched_files_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.html").touch()
    monkeypatch.chdir(tmp_path)
    paths = given(reload_extra_files=["site.html", "*.css", "/etc/*.conf"]).reload_extra_files
    assert paths == (f"{tmp_path}/site.html", f"{tmp_path}/*.css", "/etc/*.conf")


def test_chdir_keeps_a_symbolic_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release-1").mkdir()
    (tmp_path / "current").symlink_to("release-1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert Settings().chdir == str(tmp_path / "current")
    monkeypatch.setenv("PWD", os.sep)  # not where we are
    assert Settings().chdir == str(tmp_path / "release-1")


def test_derived_attributes() -> None:
    settings = given(
        bind=["a:1", "unix:/b"], raw_env=["A=b=c"], raw_paste_global_conf=["d=e"], user="7", group=8
    )
    assert [str(address) for address in settings.address] == ["a:1", "unix:/b"]
    assert (settings.uid, settings.gid) == (7, 8)
    assert (Settings().uid, Settings().gid) == (os.geteuid(), os.getegid())
    assert not settings.is_ssl
    assert settings.env == {"A": "b=c"}
    assert settings.paste_global_conf == {"d": "e"}
    assert settings.worker_class_str == "sync"
    assert settings.proc_name == "fastwsgi"
    assert given(default_proc_name="site.wsgi").proc_name == "site.wsgi"
    assert given(default_proc_name="site.wsgi", proc_name="shop").proc_name == "shop"
    assert settings.sendfile
    assert not given(sendfile=False).sendfile
    assert settings.logger_class is Logger
    assert given(logger_class="gunicorn.glogging.Logger").logger_class is Logger
    assert given(logger_class="collections.Counter").logger_class is Counter
    assert given(logger_class=Counter).logger_class is Counter
