"""fastwsgi/settings/stand_in.py: gunicorn's modules in configuration files, with and without gunicorn."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import pytest

import fastwsgi
import fastwsgi.app.base
from fastwsgi.settings.stand_in import MODULES, gunicorn_names


class WithoutGunicorn:
    """A finder of installed packages that does not see gunicorn."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if name.split(".")[0] == "gunicorn" else PathFinder.find_spec(name, path, target)


@pytest.fixture
def without_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    finders = [WithoutGunicorn if finder is PathFinder else finder for finder in sys.meta_path]
    monkeypatch.setattr(sys, "meta_path", finders)
    for name in [name for name in sys.modules if name.split(".")[0] == "gunicorn"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("without_gunicorn")
def test_ours_answer_to_gunicorns_names() -> None:
    finders = list(sys.meta_path)
    with gunicorn_names():
        import gunicorn.workers.base
        from gunicorn import __version__
        from gunicorn.app.base import BaseApplication
        from gunicorn.errors import ConfigError

        assert gunicorn.workers.base.Worker is fastwsgi.workers.base.Worker
        assert __version__ == fastwsgi.__version__
        assert BaseApplication is fastwsgi.app.base.BaseApplication
        assert ConfigError is fastwsgi.errors.ConfigError
        gunicorn.SERVER_SOFTWARE = "changes nothing of ours"
        with pytest.raises(ModuleNotFoundError):
            import gunicorn.nosuch
    assert not hasattr(fastwsgi, "SERVER_SOFTWARE")
    assert fastwsgi.app.base.__name__ == "fastwsgi.app.base"
    assert sys.meta_path == finders
    assert not MODULES.keys() & sys.modules.keys()
    with pytest.raises(ModuleNotFoundError):
        import gunicorn.app.base


@pytest.mark.usefixtures("without_gunicorn")
def test_they_go_when_the_file_fails() -> None:
    with pytest.raises(KeyError), gunicorn_names():
        import gunicorn

        raise KeyError(gunicorn)
    assert "gunicorn" not in sys.modules


def test_an_installed_gunicorn_is_itself() -> None:
    with gunicorn_names():
        import gunicorn.app.base
    assert gunicorn.app.base.BaseApplication is not fastwsgi.app.base.BaseApplication
    assert "gunicorn.app.base" in sys.modules
