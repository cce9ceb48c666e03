"""fastwsgi.compiled: all modules of the server are in the library, and a Python without one is told so."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys
from pathlib import Path

import pytest

from fastwsgi import compiled

PACKAGE = Path(compiled.__file__).parent


def test_every_module_that_is_compiled_is_known() -> None:
    assert sorted(compiled.MODULES) == sorted(path.stem for path in PACKAGE.glob("*.pyx"))


def test_all_are_found_in_one_file() -> None:
    code = (
        "import importlib\n"
        "from fastwsgi import compiled\n"
        "print({importlib.import_module(name).__file__ for name in compiled.NAMES})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.count(compiled.LIBRARY) == 1


def test_other_names_are_left_to_others() -> None:
    assert compiled.Finder.find_spec("fastwsgi.cli") is None
    assert compiled.Finder.find_spec("_loop") is None


def test_a_python_without_a_library_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "EXTENSION_SUFFIXES", [".cpython-399.so"])
    with pytest.raises(
        ImportError, match=r"not compiled for this Python: there is no _server\.cpython-399\.so"
    ):
        compiled.Finder.find_spec("fastwsgi._loop")


def test_it_is_asked_before_the_folder_is_searched() -> None:
    """Libraries of earlier builds may lie there."""
    assert sys.meta_path.index(compiled.Finder) < sys.meta_path.index(importlib.machinery.PathFinder)
