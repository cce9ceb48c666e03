"""fastwsgi/settings/__init__.py: the settings as a whole: layers, sources, derived attributes."""

import os
from collections import Counter

import pytest

from fastwsgi.errors import ConfigError
from fastwsgi.log import Logger
from fastwsgi.settings import Layer, Settings, declared


def given(**values: object) -> Settings:
    return Settings([Layer("test", values)])


def test_no_flag_is_used_twice() -> None:
    flags = [flag for setting in declared().values() for flag in setting.flags]
    assert len(flags) == len(set(flags))


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
