"""The watchlist: what is noted when, and what counts as a change."""

import importlib
import importlib.util
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastwsgi.watchlist import Watchlist, drop_bytecode, files_in_tracebacks

names = (f"watched_{number}" for number in itertools.count())


@pytest.fixture
def name() -> str:
    """A name that no module has had yet."""
    return next(names)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the import path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def watchlist() -> Iterator[Watchlist]:
    watchlist = Watchlist()
    watchlist.install()
    yield watchlist
    watchlist.remove()


def write(path: Path, text: str) -> str:
    """As an editor does that fears a crash: a new file, renamed."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)
    importlib.invalidate_caches()
    return str(path)


def load(name: str) -> object:
    importlib.invalidate_caches()
    return importlib.import_module(name)


def test_nothing_has_changed_at_first(watchlist: Watchlist) -> None:
    assert not watchlist.changed()


def test_a_module_that_is_loaded_later(watchlist: Watchlist, project: Path, name: str) -> None:
    file = write(project / f"{name}.py", "x = 1")
    assert not watchlist.changed()
    load(name)
    assert not watchlist.changed()
    write(project / f"{name}.py", "x = 1")
    assert list(watchlist.changed()) == [file]


@pytest.mark.parametrize("change", ["append", "truncate", "touch", "delete", "same size"])
def test_every_change_of_a_file(watchlist: Watchlist, project: Path, name: str, change: str) -> None:
    file = project / f"{name}.py"
    write(file, "x = 1")
    load(name)
    status = file.stat()
    match change:
        case "append":
            with file.open("a") as opened:
                opened.write("#")
        case "truncate":
            os.truncate(file, 0)
        case "touch":
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        case "delete":
            file.unlink()
        case "same size":
            write(file, "x = 2")
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list(watchlist.changed()) == [str(file)]


def test_a_change_while_a_module_is_being_loaded(watchlist: Watchlist, project: Path, name: str) -> None:
    """The module changes itself after it was read, as somebody may who saves twice."""
    file = write(project / f"{name}.py", "with open(__file__, 'a') as file:\n    file.write('#')")
    load(name)
    assert list(watchlist.changed()) == [file]


def test_a_module_that_cannot_be_compiled(watchlist: Watchlist, project: Path, name: str) -> None:
    file = write(project / f"{name}.py", "x = (")
    with pytest.raises(SyntaxError):
        load(name)
    assert name not in sys.modules
    assert not watchlist.changed()
    write(project / f"{name}.py", "x = ()")
    assert list(watchlist.changed()) == [file]


@pytest.mark.parametrize("where", ["{}.py", "{}/__init__.py"])
def test_a_missing_module_that_appears(watchlist: Watchlist, project: Path, name: str, where: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        load(name)
    write(project / "something.else", "")
    assert not watchlist.changed()
    assert str(project) in watchlist.directories()
    file = write(project / where.format(name), "")
    assert list(watchlist.changed()) == [file]


def test_a_missing_module_of_a_package(watchlist: Watchlist, project: Path, name: str) -> None:
    write(project / name / "__init__.py", "try:\n    from . import local\nexcept ImportError:\n    pass\n")
    load(name)
    assert not watchlist.changed()
    file = write(project / name / "local.py", "")
    assert list(watchlist.changed()) == [file]


def test_a_link_to_a_module_that_lies_elsewhere(
    watchlist: Watchlist, project: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("elsewhere") / "module.py"
    target.touch()
    (project / f"{name}.py").symlink_to(target)
    load(name)
    assert str(target.parent) in watchlist.directories()
    target.write_text("x = 1")
    assert list(watchlist.changed()) == [str(project / f"{name}.py")]


def test_a_module_that_is_not_loaded_does_not_matter(watchlist: Watchlist, project: Path, name: str) -> None:
    write(project / name / "__init__.py", "")
    write(project / name / "tests.py", "")
    load(name)
    write(project / name / "tests.py", "x = 1")
    write(project / name / "other.py", "")
    assert not watchlist.changed()


def test_what_python_writes_does_not_matter(
    watchlist: Watchlist, project: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = write(project / f"{name}.py", "x = 1")
    load(name)
    assert Path(importlib.util.cache_from_source(file)).exists()
    assert not watchlist.changed()


def test_modules_without_a_file(watchlist: Watchlist, name: str) -> None:
    class Lazy(type(sys)):  # type: ignore[misc]
        def __getattribute__(self, attribute: str) -> object:
            raise AssertionError("loaded by being looked at")

    sys.modules[name] = Lazy(name)
    sys.modules[name + "_none"] = None  # type: ignore[assignment]
    try:
        with pytest.raises(ModuleNotFoundError):
            load(name + "_none")
        assert not watchlist.changed()
    finally:
        del sys.modules[name], sys.modules[name + "_none"]


def test_the_extent_tells_of_what_was_imported(watchlist: Watchlist, project: Path, name: str) -> None:
    extent = watchlist.extent()
    assert watchlist.extent() == extent
    with pytest.raises(ModuleNotFoundError):
        load(name)
    assert watchlist.extent() != extent
    extent = watchlist.extent()
    write(project / name / "__init__.py", "")
    load(name)
    assert watchlist.extent() != extent
    assert str(project / name) in watchlist.directories()


def test_what_was_loaded_before_is_told_apart(project: Path, name: str) -> None:
    file = write(project / f"{name}.py", "")
    load(name)
    watchlist = Watchlist()
    assert file in watchlist.inherited
    write(project / f"{name}.py", "x = 1")
    assert list(watchlist.changed()) == [file]
    watchlist.accept(file)
    assert not watchlist.changed()


class TestExtraFiles:
    def test_a_file(self, tmp_path: Path) -> None:
        watchlist = Watchlist([str(tmp_path / ".env")])
        assert watchlist.directories() >= {str(tmp_path)}
        file = write(tmp_path / ".env", "A=1")
        assert list(watchlist.changed()) == [file]
        watchlist = Watchlist([file])
        write(tmp_path / ".env", "A=2")
        write(tmp_path / "other", "")
        assert list(watchlist.changed()) == [file]

    def test_a_directory(self, tmp_path: Path) -> None:
        page = write(tmp_path / "pages" / "page.html", "")
        watchlist = Watchlist([str(tmp_path / "pages")])
        for helper in (".page.html.swp", "page.html~"):
            write(tmp_path / "pages" / helper, "")
        write(tmp_path / "pages" / "__pycache__" / "x.pyc", "")
        assert not watchlist.changed()
        write(tmp_path / "pages" / "page.html", "new")
        below = write(tmp_path / "pages" / "below" / "part.html", "")
        assert set(watchlist.changed()) == {page, below}
        assert watchlist.directories() >= {str(tmp_path / "pages"), str(tmp_path / "pages" / "below")}

    def test_a_pattern_is_expanded_each_time(self, tmp_path: Path) -> None:
        page = write(tmp_path / "pages" / "page.html", "")
        watchlist = Watchlist([str(tmp_path / "**" / "*.html")])
        write(tmp_path / "pages" / "page.css", "")
        assert not watchlist.changed()
        added = write(tmp_path / "more" / "page.html", "")
        assert list(watchlist.changed()) == [added]
        assert watchlist.directories() >= {str(tmp_path / "pages"), str(tmp_path / "more")}
        os.unlink(page)
        assert watchlist.changed().keys() == {page, added}
        assert watchlist.changed()[page] is None

    def test_a_name_that_only_looks_like_a_pattern(self, tmp_path: Path) -> None:
        file = write(tmp_path / "[slug].html", "")
        watchlist = Watchlist([file])
        write(tmp_path / "[slug].html", "new")
        assert list(watchlist.changed()) == [file]
        assert str(tmp_path) in watchlist.directories()

    def test_relative_paths(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        watchlist = Watchlist(["*.toml"])
        monkeypatch.chdir("/")
        file = write(tmp_path / "some.toml", "")
        assert list(watchlist.changed()) == [file]


def test_what_concerns_it(watchlist: Watchlist, tmp_path: Path) -> None:
    pages = Watchlist([str(tmp_path / "pages" / "*.html")])
    assert pages.concerns(str(tmp_path / "pages" / "new.html"))
    assert pages.concerns(str(tmp_path / "new.py"))
    assert pages.concerns(str(tmp_path))
    assert pages.concerns(os.__file__)
    assert not pages.concerns(str(tmp_path / "db.sqlite3-journal"))


def test_files_in_tracebacks(tmp_path: Path) -> None:
    """Code that is not imported: executed, as by a settings file that includes others."""
    outer, inner, broken = (tmp_path / f"{name}.conf" for name in ("outer", "inner", "broken"))
    outer.write_text(
        "try:\n    run(inner)\nexcept SyntaxError as error:\n    raise ValueError(1) from error\n"
    )
    inner.write_text("run(broken)")
    broken.write_text("x = (")

    def run(file: Path) -> None:
        exec(compile(file.read_text(), file, "exec"), {"run": run, "inner": inner, "broken": broken})

    with pytest.raises(ValueError, match="1") as caught:
        run(outer)
    files = files_in_tracebacks(caught.value)
    assert files == {__file__, str(outer), str(inner), str(broken)}
    group = ExceptionGroup("several", [caught.value])
    group.__context__ = group.exceptions[0]
    assert files_in_tracebacks(group) == files


def test_stale_bytecode_is_dropped(project: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within a second, to the same size: Python alone would load the first one again."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = project / f"{name}.py"
    write(file, "x = 1")
    os.utime(file, (1000, 1000))
    assert vars(load(name))["x"] == 1
    del sys.modules[name]
    write(file, "x = 2")
    os.utime(file, (1000, 1000.5))
    drop_bytecode(str(file))
    assert vars(load(name))["x"] == 2
    drop_bytecode(str(project / "absent.py"))
    drop_bytecode(str(project / "page.html"))
