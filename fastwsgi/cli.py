"""The command: from its arguments to Settings, and from those to a running Arbiter."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fastwsgi import __version__
from fastwsgi.errors import ConfigError, UsageError, nearest
from fastwsgi.settings import Layer, Setting, Settings, declared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

SOURCE = "command line"


class Parser(argparse.ArgumentParser):
    """A mistake is one line, raised as UsageError."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def make_parser() -> Parser:
    """The options of all declared settings, in their groups."""
    parser = Parser(
        prog="fastwsgi",
        usage="%(prog)s [OPTIONS] APP",
        description="Serve the WSGI application APP: MODULE, MODULE:NAME or MODULE:FACTORY('argument').",
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34),
        add_help=False,
    )
    general = parser.add_argument_group("General")
    general.add_argument("-h", "--help", action="help", help="Show this and exit.")
    general.add_argument("-v", "--version", action="store_true", help="Show the version and exit.")
    general.add_argument("wsgi_app", nargs="?", help=argparse.SUPPRESS)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for setting in declared().values():
        if setting.flags:
            if setting.group not in groups:
                groups[setting.group] = parser.add_argument_group(setting.group)
            groups[setting.group].add_argument(
                *setting.flags,
                dest=setting.name,
                metavar=setting.metavar,
                action="append" if setting.repeats else "store",
                help=_help(setting),
            )
    return parser


def _help(setting: Setting[object]) -> str:
    shown = f" [{setting.default}]" if setting.default not in (None, ()) else ""
    return (setting.help + shown).replace("%", "%%")


def parse(argv: Sequence[str]) -> Settings:
    """The settings of a command line. UsageError, ConfigError: what is wrong with it.

    Exits for --help and --version.
    """
    arguments, unknown = make_parser().parse_known_args(argv)
    values = vars(arguments)
    if values.pop("version", False):
        print(f"fastwsgi (version {__version__})")
        sys.exit(0)
    if unknown:
        raise UsageError(_unknown(unknown[0]))
    settings = Settings([Layer(SOURCE, values)])
    if not settings.wsgi_app:
        raise UsageError(
            "no application given: expected MODULE:NAME, as in 'fastwsgi project.wsgi:application'"
        )
    return settings


def _unknown(argument: str) -> str:
    if not argument.startswith("-"):
        return f"one application is served, and there is a second argument: {argument!r}"
    flag = argument.partition("=")[0]
    similar = nearest(flag, [known for setting in declared().values() for known in setting.flags])
    return f"there is no option {flag!r}" + (f"; did you mean {similar!r}?" if similar else "")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `argv` (default: this process's arguments), and exit."""
    try:
        settings = parse(sys.argv[1:] if argv is None else argv)
        # only now: --help and --version need nothing of it
        from fastwsgi.arbiter import Arbiter

        assert settings.wsgi_app is not None
        code = Arbiter(settings, settings.wsgi_app).run()
    except (ConfigError, UsageError) as error:
        sys.exit(f"fastwsgi: error: {error}")
    sys.exit(code)
