"""fastwsgi/privileges.py: in processes of their own, which have to be started as root."""

import subprocess
import sys

import pytest

NOBODY = 65534
# real, effective, saved, and that of the file system
FOUR = f" {NOBODY}" * 4

# `give` is what the process has before; `settings` stands for the server's.
CODE = """
import os, types
from fastwsgi import privileges
from fastwsgi.errors import StartError
os.setgroups([0, 5, 6])
{give}
settings = types.SimpleNamespace(uid={uid}, gid={gid}, initgroups={initgroups})
try:
    {call}(settings)
except (StartError, OSError) as error:
    print(type(error).__name__, error)
else:
    status = open("/proc/self/status").read()
    for line in status.splitlines():
        if line.startswith(("Uid:", "Gid:", "Groups:")):
            print(*line.split())
"""


def outcome(
    uid: int, gid: int, *, initgroups: bool = False, give: str = "", call: str = "privileges.drop"
) -> list[str]:
    code = CODE.format(uid=uid, gid=gid, initgroups=initgroups, give=give, call=call)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return result.stdout.splitlines()


def test_user_and_group() -> None:
    assert outcome(NOBODY, NOBODY) == [f"Uid:{FOUR}", f"Gid:{FOUR}", "Groups:"]


def test_only_a_group() -> None:
    assert outcome(0, NOBODY) == ["Uid: 0 0 0 0", f"Gid:{FOUR}", "Groups:"]


def test_the_groups_of_the_user() -> None:
    # root is in its own group, and in no other that the process was given
    assert outcome(0, NOBODY, initgroups=True)[2] in (f"Groups: {NOBODY}", f"Groups: 0 {NOBODY}")


def test_the_groups_of_a_user_without_a_name() -> None:
    assert outcome(2**30, NOBODY, initgroups=True) == [
        f"StartError initgroups: user {2**30} has no name to look its groups up by"
    ]


def test_nothing_to_change() -> None:
    assert outcome(0, 0) == ["Uid: 0 0 0 0", "Gid: 0 0 0 0", "Groups: 0 5 6"]


def test_nothing_to_change_and_no_right_to() -> None:
    give = f"os.setgid({NOBODY}); os.setuid({NOBODY})"
    assert outcome(NOBODY, NOBODY, initgroups=True, give=give)[2] == "Groups: 0 5 6"


def test_no_right_to_change() -> None:
    give = f"os.setgid({NOBODY}); os.setuid({NOBODY})"
    (said,) = outcome(0, 0, give=give, call="privileges.check")
    assert said.startswith("StartError Can't run workers as user 0 and group 0")
    assert outcome(0, 0, give=give) == ["PermissionError [Errno 1] Operation not permitted"]
    assert len(outcome(NOBODY, NOBODY, give=give, call="privileges.check")) == 3


@pytest.mark.parametrize("forgotten", ["os.setresuid", "os.setresgid"])
def test_what_was_not_given_up_is_noticed(forgotten: str) -> None:
    give = f"{forgotten} = lambda *_: None"
    assert outcome(NOBODY, NOBODY, give=give)[0].startswith("StartError Could not give up all rights")
