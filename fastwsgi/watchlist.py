"""The files that the running code was made of, and whether any of them has changed since.

What a module was made of is noted before it is read: a finder in front of all others sees every import, finds
nothing itself, and so cannot be in the way. It also sees the imports that fail, now or in some request, and
knows where the missing file may appear. Nothing here waits or acts; that is for the reloader.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType


HELPERS = ("~", ".pyc")


class Signature(NamedTuple):
    """What differs when a file was written to or replaced, without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Watchlist:
    """What is watched: loaded modules, imports that found nothing, and extra files.

    `extra` are paths of files and directories, and patterns of them (`**` for any depth). A directory stands
    for all files below it.

    The finder is called by whichever thread imports; the rest belongs to one thread.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self.extra = [os.path.abspath(path) for path in extra]
        self.modules = set(sys.modules)
        """Names of modules whose files are known."""
        self.known: dict[str, Signature | None] = {}
        """Files, as they were when they were read, or just before."""
        self.missing: dict[str, list[str]] = {}
        """Imports that have found no file, and where it would have been."""
        self.inherited = set(_files_of(self.modules))
        """What was loaded before: by the process that this one was forked from."""
        self.add(self.inherited)
        self.extra_files = self._find_extra()

    def install(self) -> None:
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        """Note what `name` will be loaded from. Called by the import system; finds nothing, on purpose."""
        if name in sys.builtin_module_names:
            return
        try:
            candidates = list(_candidates(name, sys.path if path is None else path))
        except OSError:
            # the current directory, to which some path is relative, is gone
            return
        for file in candidates:
            seen = signature(file)
            if seen is not None:
                self.known.setdefault(file, seen)
                self.missing.pop(name, None)
                return
        self.missing[name] = candidates

    def add(self, files: Iterable[str]) -> None:
        """Watch these too, as they are now if they are not watched yet."""
        for file in files:
            if file not in self.known:
                self.known[file] = signature(file)

    def accept(self, file: str) -> None:
        """Take a file as it is now for what was loaded."""
        self.known[file] = signature(file)

    def changed(self) -> dict[str, Signature | None]:
        """The files that are not what they were, and what they are now: None if gone."""
        self._note_modules()
        now: dict[str, Signature | None] = {}
        for file, old in list(self.known.items()):
            new = signature(file)
            if new != old:
                now[file] = new
        for name, candidates in list(self.missing.items()):
            if name in sys.modules:
                # it is not made of Python source, or was put there by hand
                self.missing.pop(name, None)
                continue
            now.update((file, new) for file in candidates if (new := signature(file)) is not None)
        extra = self._find_extra()
        for file in extra.keys() | self.extra_files.keys():
            if extra.get(file) != self.extra_files.get(file):
                now[file] = extra.get(file)
        return now

    def extent(self) -> tuple[int, int]:
        """How much is watched: it differs from the last time when something was imported."""
        self._note_modules()
        return len(self.known), len(self.missing)

    def concerns(self, path: str) -> bool:
        """Could it matter that this file or directory has changed?"""
        return (
            path in self.known
            or path.endswith(".py")
            or os.path.isdir(path)
            or any(path.startswith(_plain_part(extra)) for extra in self.extra)
        )

    def directories(self) -> set[str]:
        """The directories in which a change would show: those that exist."""
        files = [*self.known, *self.extra_files]
        found = {os.path.dirname(file) for file in files}
        found.update(os.path.dirname(os.path.realpath(file)) for file in files if os.path.islink(file))
        for candidates in list(self.missing.values()):
            # a package that is missing appears in its parent
            found.update(_existing_parent(file) for file in candidates)
        for path in self.extra:
            base = _plain_part(path)
            found.update(directory for directory, _ in _walk(base))
            found.add(_existing_parent(base))
        return {directory for directory in found if os.path.isdir(directory)}

    def _note_modules(self) -> None:
        """Modules that came another way than through the finder: another importer, an extension module."""
        names = set(sys.modules) - self.modules
        self.modules |= names
        self.add(_files_of(names))

    def _find_extra(self) -> dict[str, Signature | None]:
        files: set[str] = set()
        for path in self.extra:
            if os.path.isdir(path):
                for directory, names in _walk(path):
                    files.update(os.path.join(directory, name) for name in names)
            elif os.path.exists(path):
                files.add(path)
            else:
                files.update(file for file in glob.iglob(path, recursive=True) if not os.path.isdir(file))
        return {file: signature(file) for file in files}


def signature(path: str) -> Signature | None:
    """None: there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return Signature(status.st_mtime_ns, status.st_size, status.st_ino)


def files_in_tracebacks(error: BaseException) -> set[str]:
    """The files whose code had a part in an exception, or in those it came from."""
    files: set[str] = set()
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        if isinstance(one, SyntaxError) and one.filename:
            files.add(one.filename)
        traceback = one.__traceback__
        while traceback is not None:
            files.add(traceback.tb_frame.f_code.co_filename)
            traceback = traceback.tb_next
    return {os.path.abspath(file) for file in files if os.path.isfile(file)}


def drop_bytecode(file: str) -> None:
    """Remove what Python keeps of a source file that has changed.

    It tells old from new by the second and the size, so a second change within one second may look to it
    as if there had been none.
    """
    if file.endswith(".py"):
        with contextlib.suppress(OSError, NotImplementedError):
            os.unlink(importlib.util.cache_from_source(file))


def _candidates(name: str, search: Iterable[str]) -> Iterator[str]:
    """Where the source of a module may lie."""
    tail = name.rpartition(".")[2]
    for entry in search:
        if isinstance(entry, str):
            stem = os.path.abspath(os.path.join(entry, tail))
            yield os.path.join(stem, "__init__.py")
            yield stem + ".py"


def _files_of(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            # not getattr: a module may be lazy, and would be loaded by it
            file = object.__getattribute__(sys.modules[name], "__dict__").get("__file__")
        except (AttributeError, KeyError):
            continue
        if isinstance(file, str) and not file.startswith("<"):
            yield os.path.abspath(file)


def _existing_parent(path: str) -> str:
    """The nearest directory above `path` that exists, one level up or two."""
    parent = os.path.dirname(path)
    return parent if os.path.isdir(parent) else os.path.dirname(parent)


def _plain_part(path: str) -> str:
    """A path as it stands if it exists or is no pattern, else the part of it before the first wildcard."""
    while glob.has_magic(path) and not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _walk(top: str) -> Iterator[tuple[str, list[str]]]:
    """The directories from `top` down and their files, without what editors and Python keep there."""
    for directory, below, names in os.walk(top):
        below[:] = [name for name in below if not name.startswith(".") and name != "__pycache__"]
        yield (
            directory,
            [name for name in names if not name.startswith(".") and not name.endswith(HELPERS)],
        )
