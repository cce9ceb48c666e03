"""The command line: its options, made of the declarations, and the values that arguments give to settings."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from fastwsgi.errors import UsageError, nearest
from fastwsgi.settings import declared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from fastwsgi.settings import Setting

VARIABLES = ("FASTWSGI_CMD_ARGS", "GUNICORN_CMD_ARGS")

USAGE = "%(prog)s [OPTIONS] APP"


class Parser(argparse.ArgumentParser):
    """A mistake is one line, raised as UsageError."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def make_parser(usage: str | None = None, prog: str | None = None) -> Parser:
    """The options of all declared settings, in their sections.

    In what it parses stand `args`, the positional arguments, `version`, and every setting, None if not given.
    """
    parser = Parser(
        prog=prog or "fastwsgi",
        usage=usage or USAGE,
        description="Serve the WSGI application APP: MODULE, MODULE:NAME or MODULE:FACTORY('argument').",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34),
        add_help=False,
    )
    general = parser.add_argument_group("General")
    general.add_argument("-h", "--help", action="help", help="Show this and exit.")
    general.add_argument("-v", "--version", action="store_true", help="Show the version and exit.")
    general.add_argument("args", nargs="*", help=argparse.SUPPRESS)
    sections: dict[str, argparse._ArgumentGroup] = {}
    for setting in declared().values():
        if setting.flags:
            if setting.section not in sections:
                sections[setting.section] = parser.add_argument_group(setting.section)
            sections[setting.section].add_argument(
                *setting.flags, dest=setting.name, help=_help(setting), **_reading(setting)
            )
    return parser


def _reading(setting: Setting[object]) -> dict[str, Any]:
    """How argparse is to read the flags of a setting."""
    options: dict[str, Any] = {"action": setting.action, "default": None}
    if setting.action in ("store", "append"):
        options["metavar"] = setting.metavar
    if setting.nargs is not None:
        options["nargs"] = setting.nargs
    if setting.const is not None:
        options["const"] = setting.const
    return options


def _help(setting: Setting[object]) -> str:
    shown = "" if setting.default in (None, (), False, "") else f" [{setting.default}]"
    effect = f" No effect: {setting.no_effect}." if setting.no_effect else ""
    return (setting.help + effect + shown).replace("%", "%%")


def parse_arguments(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """UsageError: an option is not known, or its argument is missing."""
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        raise UsageError(_unknown(unknown[0]))
    return arguments


def given(options: argparse.Namespace) -> dict[str, object]:
    """The settings that were given, by name."""
    return {name: value for name, value in vars(options).items() if name in declared() and value is not None}


def environment_arguments(parser: Parser, environ: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    """Where the environment has arguments, and the settings in them. Ours are stronger than gunicorn's.

    UsageError: they cannot be read. Positional arguments among them are ignored, as gunicorn does.
    """
    variable = next((name for name in VARIABLES if name in environ), VARIABLES[0])
    source = f"environment variable {variable}"
    try:
        return source, given(parse_arguments(parser, shlex.split(environ.get(variable, ""))))
    except (ValueError, UsageError) as error:
        raise UsageError(f"{source}: {error}") from None


def _unknown(argument: str) -> str:
    if not argument.startswith("-"):
        return f"one application is served, and there is a second argument: {argument!r}"
    flag = argument.partition("=")[0]
    similar = nearest(flag, [known for setting in declared().values() for known in setting.flags])
    return f"there is no option {flag!r}" + (f"; did you mean {similar!r}?" if similar else "")
