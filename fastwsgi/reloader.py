"""--reload: a thread in each worker that has the worker replaced when the code it runs has changed.

Why in the workers, and not in the arbiter: only a worker knows what it has imported, when, and what it has
failed to import. The arbiter never loads the application, so a broken one cannot hurt it, and it stays a
process of one thread. Each of several workers watches for itself: it is a tool for development, where there
is one worker, and a look at two thousand files costs a few milliseconds.

The thread decides nothing but *when*. It looks at all files anew whenever it is woken (fastwsgi.watchlist),
so an event may come late, twice, or for nothing. It blocks all signals: they are for the main thread, whose
system calls they have to interrupt.
"""

from __future__ import annotations

import importlib.util
import signal
import threading
import time
from typing import TYPE_CHECKING, Protocol

from fastwsgi.errors import ConfigError
from fastwsgi.watchlist import Watchlist, drop_bytecode, files_in_tracebacks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from watchfiles._rust_notify import RustNotify

    from fastwsgi.log import Logger
    from fastwsgi.settings import Settings
    from fastwsgi.watchlist import Signature

# In seconds.
LOOK = 1.0
"""Between two looks where nothing tells of changes; also how soon what is imported later is watched."""
SETTLE = 0.05
"""Nothing must have changed for so long: who saves in two steps, or many files, is waited for ..."""
SETTLE_MOST = 1.0
"""... but not longer than this."""
LOADING_MOST = 10.0
"""An application that is still being loaded after this hangs, and need not be waited for."""
SHORTEST_LIFE = 1.0
"""One that itself writes into what is watched whenever it is loaded is not replaced more often than this."""

FILES_NAMED = 3

# In milliseconds, for watchfiles.
EVENT_STEP = 50
EVENT_DEBOUNCE = 100


class Engine(Protocol):
    """How the thread is woken."""

    def watch(self, directories: AbstractSet[str]) -> None:
        """From now on these are watched. OSError: the system does not allow so many."""

    def wait(self, seconds: float) -> bool:
        """Until something may have changed in them; False: until `seconds` are over."""


class Poll:
    """Looks every now and then."""

    def watch(self, directories: AbstractSet[str]) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True


class Events:
    """Is told by the system, through watchfiles, which is an extra.

    Its `watch()` would not do: it begins to watch only when it is waited for, so what changes before is lost.
    """

    def __init__(self, concerns: Callable[[str], bool]) -> None:
        from watchfiles._rust_notify import RustNotify

        self.make = RustNotify
        self.concerns = concerns
        self.notify: RustNotify | None = None
        self.directories: AbstractSet[str] = frozenset()

    def watch(self, directories: AbstractSet[str]) -> None:
        if directories == self.directories:
            return
        if self.notify is not None:
            self.notify.close()
        try:
            # each by itself and not what is below; one that may not be read, or has gone, is passed over
            self.notify = self.make(sorted(directories), False, False, 0, False, True)
        except RuntimeError as error:
            raise OSError(str(error)) from error
        self.directories = directories

    def wait(self, seconds: float) -> bool:
        assert self.notify is not None
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            changes = self.notify.watch(EVENT_DEBOUNCE, EVENT_STEP, max(1, int(left * 1000)), None)
            if isinstance(changes, str):
                continue
            # a directory that has gone is none any more
            if any(path in self.directories or self.concerns(path) for _, path in changes):
                return True
        return False


def check_engine(settings: Settings) -> None:
    """See that the engine asked for is there. For the arbiter: what it imports, workers need not.

    ConfigError: events are asked for, and watchfiles is not installed.
    """
    if settings.reload_engine == "poll":
        return
    if importlib.util.find_spec("watchfiles") is not None:
        importlib.import_module("watchfiles")
    elif settings.reload_engine != "auto":
        raise ConfigError(
            "reload_engine",
            settings.reload_engine,
            settings.source("reload_engine"),
            "it needs watchfiles, which `pip install 'fastwsgi[reload]'` brings; 'poll' does without",
        )


class Reloader:
    """The watch over what one worker runs. Made and started before the application is loaded.

    `make_room` is called, in the reloader's thread, when another worker is to take this one's place.
    """

    def __init__(self, settings: Settings, log: Logger, make_room: Callable[[], None]) -> None:
        self.settings = settings
        self.log = log
        self.make_room = make_room
        self.watchlist = Watchlist(self.settings.reload_extra_files)
        self.started = time.monotonic()
        self.loaded = threading.Event()
        self.thread = threading.Thread(target=self.run, name="fastwsgi-reloader", daemon=True)

    def start(self) -> None:
        self.watchlist.install()
        old_mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            self.thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)

    def is_loaded(self, error: BaseException | None = None) -> None:
        """The application has been loaded, or could not be because of `error`."""
        if error is not None:
            # not all code is imported: some settings are read with exec
            self.watchlist.add(files_in_tracebacks(error))
        self.loaded.set()

    def run(self) -> None:
        try:
            self.watch(self.make_engine())
        except Exception:
            self.log.exception("Exception in the reloader: changes are no longer noticed")

    def make_engine(self) -> Engine:
        if self.settings.reload_engine == "poll" or importlib.util.find_spec("watchfiles") is None:
            return Poll()
        return Events(self.watchlist.concerns)

    def watch(self, engine: Engine) -> None:
        """Look whenever there may be something new, until there is."""
        watchlist = self.watchlist
        extent, woken = (0, 0), True
        while True:
            now = watchlist.extent()
            if woken or now != extent:
                extent = now
                try:
                    engine.watch(watchlist.directories())
                except OSError as error:
                    self.log.warning("Looking for changes once a second: they cannot be watched: %s", error)
                    engine = Poll()
                # only now: what has changed before it was watched is seen as well
                if watchlist.changed() and (files := self.ours(self.settled())):
                    break
            woken = engine.wait(LOOK)
        self.wait_for_loading()
        self.replace(files)

    def settled(self) -> dict[str, Signature | None]:
        """What has changed, once it does so no more."""
        end = time.monotonic() + SETTLE_MOST
        files = self.watchlist.changed()
        while time.monotonic() < end:
            time.sleep(SETTLE)
            before, files = files, self.watchlist.changed()
            if files == before:
                break
        return files

    def ours(self, files: Mapping[str, Signature | None]) -> list[str]:
        """Those that a new worker would load anew."""
        inherited = sorted(files.keys() & self.watchlist.inherited)
        for file in inherited:
            self.watchlist.accept(file)
            self.log.warning(
                "%s is modified, but was loaded before the workers were forked: restart the server to use it",
                file,
            )
        return sorted(files.keys() - self.watchlist.inherited)

    def wait_for_loading(self) -> None:
        """Let a worker get as far as serving, so that an application cannot keep itself from it."""
        if not self.loaded.is_set():
            self.loaded.wait(LOADING_MOST)
            time.sleep(max(0.0, self.started + SHORTEST_LIFE - time.monotonic()))

    def replace(self, files: list[str]) -> None:
        for file in files:
            drop_bytecode(file)
        for file in files[:FILES_NAMED]:
            self.log.info("Worker reloading: %s modified", file)
        self.make_room()
