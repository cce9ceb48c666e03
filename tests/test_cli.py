"""fastwsgi/cli.py: the command, and the mistakes that are said in one line."""

import subprocess
import sys

import pytest
from command import run

from fastwsgi import __version__


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_version(flag: str) -> None:
    result = run(flag)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"fastwsgi (version {__version__})\n", "")


def test_help() -> None:
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: fastwsgi [OPTIONS] APP\n")


@pytest.mark.parametrize("arguments", [["--nope"], ["app", "--workers", "x"], []])
def test_a_mistake_is_one_line(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("fastwsgi: error: ")
    assert result.stderr.count("\n") == 1


def test_version_imports_nothing_it_does_not_need() -> None:
    code = (
        "import sys, fastwsgi.cli\n"
        "try: fastwsgi.cli.main(['--version'])\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    imported = set(result.stderr.split())
    assert "fastwsgi.settings" in imported
    assert not imported & {
        "fastwsgi.arbiter",
        "fastwsgi._board",
        "logging",
        "difflib",
        "shutil",
    }
