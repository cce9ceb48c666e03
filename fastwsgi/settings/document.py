"""`python -m fastwsgi.settings.document` prints docs/settings.md: every setting, out of its declaration."""

from __future__ import annotations

import itertools

from fastwsgi.settings import Setting, declared

HEAD = """\
# Settings

Generated from the declarations in `fastwsgi/settings`:
`python -m fastwsgi.settings.document > docs/settings.md`.

Names, flags and meanings are gunicorn's. Where a setting is given in several places, the later of these wins:

1. the default below, or the environment variable that takes its place: `PORT`, `WEB_CONCURRENCY`,
   `FORWARDED_ALLOW_IPS`, `SENDFILE`;
2. the configuration file: `-c PATH`, `-c file:PATH` or `-c python:MODULE`, else `fastwsgi.conf.py`, else
   `gunicorn.conf.py` in the directory that the server is started in. It is Python; variables with the name of
   a setting are settings, all others are its own;
3. arguments in the environment variable `FASTWSGI_CMD_ARGS`, or where there is none in `GUNICORN_CMD_ARGS`;
4. the command line.

`fastwsgi APP --print-config` shows every value and where it comes from, `--check-config` tells whether the
settings are right and the application can be loaded.
"""


def document() -> str:
    parts = [HEAD]
    for section, settings in itertools.groupby(declared().values(), key=lambda setting: setting.section):
        parts.append(f"\n## {section}\n")
        parts.extend(_described(setting) for setting in settings)
    return "".join(parts)


def _described(setting: Setting[object]) -> str:
    lines = [f"\n### `{setting.name}`\n", setting.help]
    if setting.no_effect:
        lines[-1] += f" **No effect here:** {setting.no_effect}."
    lines.append("")
    if setting.flags:
        flags = (f"{flag} {setting.metavar}" if _takes_value(setting) else flag for flag in setting.flags)
        lines.append("- on the command line: " + ", ".join(f"`{flag}`" for flag in flags))
    if callable(setting.default):
        lines.append(f"- a function of `({setting.metavar})`, or the dotted name of one")
    else:
        variable = f", or from the environment variable `{setting.variable}`" if setting.variable else ""
        lines.append(f"- default: `{setting.default!r}`{variable}")
    if setting.refuse is not None:
        lines.append("- another value is an error so far: it asks for what is not built")
    return "\n".join(lines) + "\n"


def _takes_value(setting: Setting[object]) -> bool:
    return setting.action in ("store", "append")


if __name__ == "__main__":
    print(document(), end="")
