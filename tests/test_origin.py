"""fastwsgi/origin.py."""

import os
import sys
from pathlib import Path

import pytest

from fastwsgi.origin import Origin


def test_what_was_handed_down_is_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    handed = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "FASTWSGI_PID": "3"}
    for name, value in handed.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NOTIFY_SOCKET", "/x")
    origin = Origin()
    assert origin.handed_down == handed
    assert not handed.keys() & os.environ.keys()
    assert not handed.keys() & origin.environ.keys()
    assert origin.environ["NOTIFY_SOCKET"] == "/x"


def test_the_command_line_is_the_interpreters() -> None:
    assert Origin().argv == [sys.executable, *sys.orig_argv[1:]]


def test_the_directory_is_the_one_that_was_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "current").symlink_to("release")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert Origin().directory == str(tmp_path / "current")


def test_variables_are_set_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "before")
    monkeypatch.delenv("NEW", raising=False)
    origin = Origin()
    origin.set_environment({"OLD": "1", "NEW": "2"})
    assert (os.environ["OLD"], os.environ["NEW"]) == ("1", "2")
    origin.set_environment({"OTHER": "3"})
    assert (os.environ["OLD"], os.environ.get("NEW"), os.environ["OTHER"]) == ("before", None, "3")
    origin.set_environment({})
    assert "OTHER" not in os.environ
