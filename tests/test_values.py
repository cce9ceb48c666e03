"""fastwsgi/settings/values.py: what may be written for a value, and what becomes of it."""

import os
from pathlib import Path

import pytest

from fastwsgi.errors import ConfigError
from fastwsgi.settings import Layer, Settings
from fastwsgi.workers.threaded import ThreadedWorker


def given(**values: object) -> Settings:
    return Settings([Layer("test", values)])


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
    assert given(stream_request_paths="/a").stream_request_paths == ("/a",)
    assert given(stream_request_paths=["/a/", "/%20"]).stream_request_paths == ("/a/", "/%20")


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
        ("tmp_upload_dir", "/no/such/directory"),
        ("body_memory", 2**30 + 1),
        ("limit_request_body", 2**63),
        ("worker_class", "fast"),
        ("stream_request_paths", "upload"),
        ("stream_request_paths", ["/upload", "/a b"]),
        ("stream_request_paths", "/a?b"),
        ("stream_request_paths", "/ä"),
        ("stream_request_paths", "/\0"),
    ],
)
def test_not_valid(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match="expected") as caught:
        given(**{name: value})
    assert caught.value.setting == name


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("gevent", "gthread"),
        ("eventlet", "gthread"),
        ("tornado", "gthread"),
        ("uvicorn.workers.UvicornWorker", "sync"),
    ],
)
def test_gunicorns_other_workers_get_an_alternative(name: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=f"use '{instead}'"):
        given(worker_class=name)


@pytest.mark.parametrize(
    "value", ["sync", "egg:gunicorn#sync", "gunicorn.workers.sync.SyncWorker", type("SyncWorker", (), {})]
)
def test_the_sync_worker_has_many_names(value: object) -> None:
    assert given(worker_class=value).worker_class == "sync"


@pytest.mark.parametrize(
    "value",
    ["gthread", "threaded", "egg:gunicorn#gthread", "gunicorn.workers.gthread.ThreadWorker", ThreadedWorker],
)
def test_the_threaded_worker_has_many_names(value: object) -> None:
    assert given(worker_class=value).worker_class_str == "gthread"


def test_threads_make_a_sync_worker_a_threaded_one() -> None:
    assert given(worker_class="sync", threads=4).worker_class_str == "gthread"
    assert given(worker_class="gthread", threads=1).worker_class_str == "gthread"
    assert given(worker_class="sync", threads=1).worker_class_str == "sync"


@pytest.mark.parametrize("count", [0, -1, 1025, "many"])
def test_threads_that_make_no_sense(count: object) -> None:
    with pytest.raises(ConfigError, match="expected"):
        given(threads=count)


def test_a_dict_is_copied() -> None:
    written = {"version": 1}
    settings = given(logconfig_dict=written)
    written["version"] = 2
    assert settings.logconfig_dict == {"version": 1}


def test_a_directory_for_bodies_is_absolute_and_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bodies").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    assert given(tmp_upload_dir="bodies").tmp_upload_dir == str(tmp_path / "bodies")
    assert given(tmp_upload_dir=None).tmp_upload_dir is None
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(
        ConfigError, match=r"tmp_upload_dir = 'bodies' .* expected a directory that is writable"
    ):
        given(tmp_upload_dir="bodies")


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
