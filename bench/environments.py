"""The candidates' virtual environments: made once in a cache directory, reused while their pins stand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.candidates import FRAMEWORKS, Environment
from bench.errors import CandidateError

ROOT = Path(__file__).resolve().parent.parent
_FLOOR = Path(__file__).resolve().parent / "floor"
_STAMP = "bench-stamp.json"
_INSTALL_S = 1200

# -march=native: the floor is measured where it was built, and is to be as low as it can be.
_CFLAGS = ("-std=c11", "-O3", "-march=native", "-fno-plt", "-Wall", "-Wextra")

_VERSIONS = """
import importlib.metadata, json, platform
print(json.dumps({"python": platform.python_version(),
    **{d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name.lower() != "pip"}}))
"""


@dataclass(frozen=True)
class Installed:
    """An environment that is ready: its interpreter, its scripts, and the versions really found in it."""

    python: Path
    bin: Path
    versions: dict[str, str]


def install(environment: Environment, cache: Path, given_python: Path | None = None) -> Installed:
    """Make the environment, or find it made. Raises CandidateError with the installer's own last words.

    `given_python` is an interpreter that has the working tree's fastwsgi installed already.
    """
    if environment.working_tree and given_python is not None:
        # Not resolved: a virtual environment's interpreter is a link, and its place is what makes it one.
        python = given_python.absolute()
        return Installed(python, python.parent, _versions(python))
    home = cache / environment.name
    python = home / "bin" / "python"
    requirements = [*environment.requirements, *FRAMEWORKS]
    stamp: dict[str, object] = {"python": sys.version, "requirements": requirements}
    if not _is_stamped(home, stamp):
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(home)], environment)
        _run([str(python), "-m", "pip", "install", "--quiet", *requirements], environment)
        (home / _STAMP).write_text(json.dumps(stamp))
    if environment.working_tree:
        _install_working_tree(python, environment)
    if environment.floors:
        _build_floors(python, home, environment)
    return Installed(python, home / "bin", _versions(python))


def _is_stamped(home: Path, stamp: dict[str, object]) -> bool:
    try:
        return bool(json.loads((home / _STAMP).read_text()) == stamp)
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def _install_working_tree(python: Path, environment: Environment) -> None:
    """Install the tree as it is now, built from a copy, since a build writes beside the sources."""
    if not (ROOT / "pyproject.toml").exists():
        raise CandidateError("not installed: the working tree has no pyproject.toml")
    with tempfile.TemporaryDirectory(prefix="fastwsgi-bench-") as folder:
        copy = Path(folder) / "fastwsgi"
        ignored = shutil.ignore_patterns(
            ".git", ".venv*", "build", "dist", "__pycache__", "*.so", "*.egg-info"
        )
        shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True)
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--force-reinstall",
            "--no-deps",
            str(copy),
        ]
        _run(command, environment)


def _build_floors(python: Path, home: Path, environment: Environment) -> None:
    """Compile what is C: into the environment's scripts, `limit_py` into its packages. A second's work."""
    paths = json.loads(
        _output([str(python), "-c", "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"])
    )
    module = Path(paths["platlib"]) / f"limit_py{sysconfig.get_config_var('EXT_SUFFIX')}"
    for name in ("limit", "pace"):
        build_floor(name, home / "bin", environment)
    command = [_compiler(), *_CFLAGS, "-fPIC", "-shared", "-isystem", paths["include"], "-o", str(module)]
    _run([*command, str(_FLOOR / "limit_py.c")], environment)


def build_floor(name: str, folder: Path, environment: Environment | None = None) -> Path:
    """Compile a program of `floor/` into a folder. CandidateError: why not."""
    path = folder / name
    _run([_compiler(), *_CFLAGS, "-o", str(path), str(_FLOOR / f"{name}.c")], environment)
    return path


def _compiler() -> str:
    return os.environ.get("CC", "cc")


def _versions(python: Path) -> dict[str, str]:
    versions: dict[str, str] = json.loads(_output([str(python), "-c", _VERSIONS]))
    return versions


def _output(command: list[str]) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CandidateError(f"not installed: {error}") from error
    return run.stdout


def _run(command: list[str], environment: Environment | None) -> None:
    """Run a step of an installation, quietly unless it fails."""
    try:
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CandidateError(f"not installed: {error}{_hint(environment)}") from error
    if run.returncode != 0:
        said = [line.strip() for line in (run.stderr or run.stdout).splitlines() if "rror" in line]
        raise CandidateError(
            f"not installed: {said[0] if said else 'no reason given'}"[:300] + _hint(environment)
        )


def _hint(environment: Environment | None) -> str:
    return f" (needs {environment.needs})" if environment is not None and environment.needs else ""
