"""From a specification, "module:attribute" or "module:factory('x')", to the WSGI callable it names."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pkgutil
import sys
from typing import TYPE_CHECKING, NamedTuple

from fastwsgi.errors import EXIT_APP, EXIT_BOOT, AppNotFoundError, nearest
from fastwsgi.settings.values import typed_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import WSGIApplication

DEFAULT_ATTRIBUTE = "application"

# What people call it when it is not what was asked for.
USUAL_NAMES = ("application", "app", "wsgi", "wsgi_app", "create_app", "make_app")


class Call(NamedTuple):
    """The arguments of a factory."""

    args: tuple[object, ...]
    kwargs: dict[str, object]


def enter_project(chdir: str, pythonpath: str | None) -> None:
    """Make a project's modules importable: go to its directory and put that, then `pythonpath`, first."""
    os.chdir(chdir)
    wanted = [chdir]
    if pythonpath:
        wanted += [os.path.abspath(path.strip()) for path in pythonpath.split(",") if path.strip()]
    for path in wanted:
        if path not in sys.path:
            sys.path.insert(0, path)


def load(spec: str | WSGIApplication) -> WSGIApplication:
    """The application that `spec` names; a callable is one already.

    AppNotFoundError: the specification is wrong: no such module or attribute, or not a callable. Whatever
    importing the module or calling the factory raises goes through.
    """
    if not isinstance(spec, str):
        return spec
    module_name, _, expression = spec.partition(":")
    path, call = _parse(spec, expression or DEFAULT_ATTRIBUTE)
    _find_module(module_name)
    found: object = importlib.import_module(module_name)
    what = module_name
    for name in path:
        found = _attribute(found, what, name)
        what += f".{name}" if ":" in what else f":{name}"
    if call is not None:
        if not callable(found):
            raise AppNotFoundError(f"{what} cannot be called: it is {_kind(found)}", EXIT_APP)
        found = found(*call.args, **call.kwargs)
        what += "(...)"
    if not callable(found):
        raise AppNotFoundError(
            f"{what} is no WSGI application: it is {_kind(found)}, not a callable", EXIT_APP
        )
    application: WSGIApplication = found
    return application


def _parse(spec: str, expression: str) -> tuple[list[str], Call | None]:
    """A dotted name, or a call of one whose arguments are literals."""
    wrong = AppNotFoundError(
        f"cannot read {spec!r}: expected MODULE, MODULE:NAME or MODULE:FACTORY(literal arguments)", EXIT_APP
    )
    try:
        node = ast.parse(expression.strip(), mode="eval").body
        call = None
        if isinstance(node, ast.Call):
            kwargs = {item.arg: ast.literal_eval(item.value) for item in node.keywords if item.arg}
            if len(kwargs) != len(node.keywords):
                raise wrong
            call = Call(tuple(ast.literal_eval(item) for item in node.args), kwargs)
            node = node.func
    except (SyntaxError, ValueError):
        raise wrong from None
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise wrong
    return [node.id, *path], call


def _find_module(name: str) -> None:
    """See that the module exists, package by package; what one of them raises when imported goes through."""
    if name.endswith(".py") and os.path.exists(name):
        module = os.path.normpath(name).removesuffix(".py").replace(os.sep, ".")
        raise AppNotFoundError(f"{name!r} is a file; did you mean the module {module!r}?", EXIT_BOOT)
    if not all(part.isidentifier() for part in name.split(".")):
        raise AppNotFoundError(f"{name!r} is not the name of a module", EXIT_BOOT)
    parent = ""
    search: Iterable[str] | None = None
    for part in name.split("."):
        full = f"{parent}.{part}" if parent else part
        outside = parent and search is None
        if full not in sys.modules and (outside or importlib.util.find_spec(full) is None):
            raise AppNotFoundError(_no_module(full, parent, part, search), EXIT_BOOT)
        if full != name:
            search = getattr(importlib.import_module(full), "__path__", None)
        parent = full


def _no_module(full: str, parent: str, part: str, search: Iterable[str] | None) -> str:
    if parent and search is None:
        return f"there is no module {full!r}: {parent!r} is not a package"
    similar = nearest(part, [module.name for module in pkgutil.iter_modules(search)])
    hint = f"; did you mean {f'{parent}.{similar}' if parent else similar!r}?" if similar else ""
    return f"there is no module {full!r} on the import path (in {typed_directory()}){hint}"


def _attribute(owner: object, what: str, name: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError:
        names = [item for item in dir(owner) if not item.startswith("_")]
        similar = nearest(name, names) or next((item for item in USUAL_NAMES if item in names), None)
        hint = f"; did you mean {similar!r}?" if similar else ""
        raise AppNotFoundError(f"there is no {name!r} in {what}{hint}", EXIT_APP) from None


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
