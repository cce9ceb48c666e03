"""The configuration file: which one, what it says, and which of its names look like misspelt settings.

It is Python, executed each time it is read. Names that are no setting are its own business: such files hold
helpers as well.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
import types
from typing import TYPE_CHECKING, NamedTuple

from fastwsgi.errors import ConfigFileError
from fastwsgi.settings import declared
from fastwsgi.settings.stand_in import gunicorn_names

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_FILES = ("fastwsgi.conf.py", "gunicorn.conf.py")
"""Looked for in the directory that the server is started in; the first that is there is read."""

MODULE_NAME = "__config__"

# Where the code lies that a traceback passes before it comes to the file.
ON_THE_WAY = (__file__, "<frozen importlib", importlib.__file__)

# What a person writes as the value of a setting; anything else with a similar name is a helper.
PLAIN = (str, int, float, bool, list, tuple, dict, type(None))


class ConfigFile(NamedTuple):
    """What a configuration file says."""

    path: str
    """Where it is; of a module, its name after "python:"."""
    values: dict[str, object]
    """The settings in it."""
    misspelt: dict[str, str]
    """Names that are probably meant to be settings, and the settings they are near to."""


def default_file(directory: str) -> str | None:
    paths = (os.path.join(directory, name) for name in DEFAULT_FILES)
    return next((path for path in paths if os.path.isfile(path)), None)


def read_file(location: str) -> ConfigFile:
    """What the file PATH or file:PATH, or the module python:MODULE, says.

    ConfigFileError: it is not there, or it raised an exception.
    """
    if location.startswith("python:"):
        path, variables, source = _import_module(location.removeprefix("python:"))
    else:
        path, variables, source = _execute(os.path.abspath(location.removeprefix("file:")))
    # a file cannot say which file is read; `config` in it is something of its own
    values = {name: value for name, value in variables.items() if name in declared() and name != "config"}
    return ConfigFile(path, values, dict(_misspelt(source, variables)))


def _execute(path: str) -> tuple[str, dict[str, object], str]:
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise ConfigFileError(path, f"it cannot be read: {error.strerror}") from None
    module = types.ModuleType(MODULE_NAME)
    module.__file__ = path
    sys.modules[MODULE_NAME] = module
    try:
        # never from a cache of bytecode: a change within the same second would not be seen
        with gunicorn_names():
            exec(compile(source, path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise ConfigFileError(path, _report(error)) from error
    return path, vars(module), source.decode(errors="replace")


def _import_module(name: str) -> tuple[str, dict[str, object], str]:
    location = f"python:{name}"
    try:
        with gunicorn_names():
            known = sys.modules.get(name)
            module = importlib.import_module(name) if known is None else importlib.reload(known)
        with open(module.__file__ or "", encoding="utf-8", errors="replace") as file:
            source = file.read()
    except OSError:
        source = ""  # made in C, or frozen: nobody misspells there
    except (Exception, SystemExit) as error:
        raise ConfigFileError(location, _report(error)) from error
    return location, vars(module), source


def _report(error: BaseException) -> str:
    """The traceback from the file's own first line on."""
    rest = error.__traceback__
    while rest is not None and rest.tb_frame.f_code.co_filename.startswith(ON_THE_WAY):
        rest = rest.tb_next
    return "".join(traceback.format_exception(type(error), error, rest)).rstrip()


def _misspelt(source: str, variables: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Names that are assigned plain values, never read, and near to a setting that is not there itself."""
    try:
        names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    except (SyntaxError, ValueError):
        return
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for name in sorted(assigned - read - set(declared())):
        if name.startswith("_") or name not in variables or not isinstance(variables[name], PLAIN):
            continue
        similar = near_setting(name)
        if similar is not None and similar not in variables:
            yield name, similar


def near_setting(name: str) -> str | None:
    """The setting that `name` is a slip of the pen for: its flag's name, or one or two letters wrong."""
    for setting in declared().values():
        spelt = [flag.strip("-").replace("-", "_") for flag in setting.flags]
        if len(name) > 6 and name in spelt:
            return setting.name
    allowed = 1 if len(name) < 8 else 2
    distances = [(_distance(name, known), known) for known in declared()]
    distance, known = min(distances)
    return known if distance <= allowed and len(name) > 3 else None


def _distance(one: str, other: str) -> int:
    """How many letters have to be put in, left out, changed or swapped with their neighbour."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, there in enumerate(other, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != there))
            if i > 1 and j > 1 and letter == other[j - 2] and there == one[i - 2]:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
