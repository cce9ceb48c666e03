"""The reloader: how it is woken, and what it does then. tests/server/test_reloader.py shows it at work."""

import py_compile
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastwsgi import reloader
from fastwsgi.errors import ConfigError
from fastwsgi.reloader import Events, Poll, Reloader, check_engine
from fastwsgi.settings import Layer, Settings


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str, *args: object) -> None:
        self.lines.append(message % args)

    info = warning = exception = note


class Worker:
    """Of a worker, what a reloader needs."""

    def __init__(self, **values: object) -> None:
        self.settings = Settings([Layer("test", {"reload": True, **values})])
        self.log = Log()
        self.replaced = threading.Event()

    def reloader(self) -> Reloader:
        return Reloader(self.settings, self.log, self.replaced.set)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloader, "LOOK", 0.01)
    monkeypatch.setattr(reloader, "SETTLE", 0.01)
    monkeypatch.setattr(reloader, "SHORTEST_LIFE", 0.0)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., tuple[Worker, Reloader]]]:
    """watch(**settings): a reloader at work, with tmp_path among what it watches."""
    made: list[Reloader] = []

    def new(**values: object) -> tuple[Worker, Reloader]:
        worker = Worker(reload_extra_files=[str(tmp_path)], **values)
        made.append(worker.reloader())
        made[-1].start()
        return worker, made[-1]

    yield new
    (tmp_path / "the end").touch()
    for one in made:
        one.is_loaded()
        one.thread.join(20)
        assert not one.thread.is_alive()
        one.watchlist.remove()


@pytest.mark.parametrize("engine", ["auto", "poll", "inotify"])
def test_a_change_replaces_the_worker(
    watch: Callable[..., tuple[Worker, Reloader]], tmp_path: Path, engine: str
) -> None:
    worker, one = watch(reload_engine=engine)
    one.is_loaded()
    (tmp_path / "page.html").touch()
    assert worker.replaced.wait(20)
    assert worker.log.lines == [f"Worker reloading: {tmp_path / 'page.html'} modified"]


def test_a_worker_that_is_loading_is_not_replaced(
    watch: Callable[..., tuple[Worker, Reloader]], tmp_path: Path
) -> None:
    asked = threading.Event()

    class Loaded(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            asked.set()
            return super().wait(timeout)

    worker, one = watch(reload_engine="poll")
    one.loaded = Loaded()
    (tmp_path / "written by the application").touch()
    assert asked.wait(20)
    assert not worker.replaced.is_set()
    one.is_loaded()
    assert worker.replaced.wait(20)


def test_a_worker_that_hangs_while_loading_is(
    watch: Callable[..., tuple[Worker, Reloader]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloader, "LOADING_MOST", 0.01)
    worker, _ = watch(reload_engine="poll")
    (tmp_path / "mended.py").touch()
    assert worker.replaced.wait(20)


def test_what_was_loaded_before_the_fork(tmp_path: Path) -> None:
    """The next worker would have it too: it is said, once, and nothing else follows."""
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    worker = Worker()
    one = worker.reloader()
    one.watchlist.add([str(before), str(after)])
    one.watchlist.inherited.add(str(before))
    before.touch()
    assert one.ours(one.settled()) == []
    assert [line.split(" is modified, but")[0] for line in worker.log.lines] == [str(before)]
    after.touch()
    assert one.ours(one.settled()) == [str(after)]
    assert len(worker.log.lines) == 1


def test_stale_bytecode_is_dropped(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.touch()
    bytecode = Path(py_compile.compile(str(source), doraise=True))  # type: ignore[arg-type]
    Worker().reloader().replace([str(source)])
    assert not bytecode.exists()


def test_many_files_are_named_by_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    worker.reloader().replace([f"/{number}.html" for number in range(9)])
    assert worker.log.lines == [f"Worker reloading: /{number}.html modified" for number in range(3)]
    assert worker.replaced.is_set()


def test_a_directory_that_cannot_be_watched(
    watch: Callable[..., tuple[Worker, Reloader]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system has a limit for that."""

    def refuse(self: Events, directories: object) -> None:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr(Events, "watch", refuse)
    worker, one = watch(reload_engine="inotify")
    one.is_loaded()
    (tmp_path / "page.html").touch()
    assert worker.replaced.wait(20)
    assert worker.log.lines[0].endswith("OS file watch limit reached.")


def test_an_error_of_its_own_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    one = worker.reloader()
    monkeypatch.setattr(one.watchlist, "changed", lambda: 1 / 0)
    one.run()
    assert "no longer noticed" in worker.log.lines[0]


class TestEvents:
    def test_only_what_concerns(self, tmp_path: Path) -> None:
        events = Events(lambda path: path.endswith(".py"))
        events.watch({str(tmp_path)})
        (tmp_path / "db.sqlite3").touch()
        assert not events.wait(0.2)
        (tmp_path / "a.py").touch()
        assert events.wait(20)

    def test_what_changes_before_the_wait_is_not_lost(self, tmp_path: Path) -> None:
        events = Events(lambda path: True)
        events.watch({str(tmp_path)})
        (tmp_path / "a.py").touch()
        events.watch({str(tmp_path)})
        assert events.wait(20)

    def test_other_directories(self, tmp_path: Path) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        events = Events(lambda path: True)
        events.watch({str(tmp_path / "one")})
        events.watch({str(tmp_path / "two")})
        (tmp_path / "one" / "a").touch()
        assert not events.wait(0.2)
        (tmp_path / "two" / "a").touch()
        assert events.wait(20)

    def test_a_directory_that_is_moved_away(self, tmp_path: Path) -> None:
        package = tmp_path / "package"
        package.mkdir()
        events = Events(lambda path: False)
        events.watch({str(tmp_path), str(package)})
        package.rename(tmp_path / "moved")
        assert events.wait(20)

    def test_a_directory_that_has_just_gone(self, tmp_path: Path) -> None:
        events = Events(lambda path: True)
        events.watch({str(tmp_path / "gone"), str(tmp_path)})
        (tmp_path / "a").touch()
        assert events.wait(20)


class TestWithoutWatchfiles:
    @pytest.fixture(autouse=True)
    def _hide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "watchfiles", None)

    def test_inotify_is_refused(self) -> None:
        settings = Worker(reload_engine="inotify").settings
        with pytest.raises(ConfigError, match=r"fastwsgi\[reload\]"):
            check_engine(settings)

    @pytest.mark.parametrize("values", [{}, {"reload_engine": "poll"}])
    def test_all_else_goes_on(self, values: dict[str, object]) -> None:
        check_engine(Worker(**values).settings)

    def test_auto_polls(self) -> None:
        assert isinstance(Worker().reloader().make_engine(), Poll)


def test_with_watchfiles_auto_and_inotify_take_events() -> None:
    for engine in ("auto", "inotify"):
        worker = Worker(reload_engine=engine)
        check_engine(worker.settings)
        assert isinstance(worker.reloader().make_engine(), Events)
