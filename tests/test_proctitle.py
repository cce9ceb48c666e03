"""fastwsgi/proctitle.py."""

import subprocess
import sys

CODE = """
import sys
{before}
from fastwsgi.proctitle import set_title
set_title("master", "shop.2")
print(open("/proc/self/cmdline").read().rstrip("\\0"))
"""


def title(before: str = "") -> str:
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(before=before)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout.strip()


def test_the_title() -> None:
    assert title() == "fastwsgi: master [shop.2]"


def test_without_the_package_nothing_happens() -> None:
    assert title("sys.modules['setproctitle'] = None").startswith(sys.executable)
