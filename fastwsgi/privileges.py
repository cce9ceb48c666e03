"""Which user and group the workers are, and what has to be theirs.

The master stays what it was started as: it alone can bind low ports again and start workers anew.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from fastwsgi.errors import StartError

if TYPE_CHECKING:
    from fastwsgi.settings import Settings


def check(settings: Settings) -> None:
    """StartError: this process may not become the wanted user or group. Says it before any worker fails."""
    if os.geteuid() != 0 and is_change(settings):
        raise StartError(
            f"Can't run workers as user {settings.uid} and group {settings.gid}: only root can change to "
            f"others than its own ({os.geteuid()} and {os.getegid()})"
        )


def is_change(settings: Settings) -> bool:
    return (settings.uid, settings.gid) != (os.geteuid(), os.getegid())


def drop(settings: Settings) -> None:
    """Become the user and group of the settings for good. OSError, StartError: that is not possible.

    Groups first, the user last: after that nothing else could be changed. The groups of whoever started the
    server are given up as well, for those of the user with `initgroups`, else for none.
    """
    if not is_change(settings) and not (settings.initgroups and os.geteuid() == 0):
        return
    uid, gid = settings.uid, settings.gid
    if settings.initgroups:
        os.initgroups(_name(uid), gid)
    else:
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or (uid and _can_become_root()):
        raise StartError(f"Could not give up all rights for those of user {uid} and group {gid}")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise StartError(f"initgroups: user {uid} has no name to look its groups up by") from None


def _can_become_root() -> bool:
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True
