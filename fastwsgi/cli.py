"""The command `fastwsgi`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastwsgi.app.wsgiapp import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `argv` (default: this process's arguments), and exit."""
    run("fastwsgi", argv)
    sys.exit(0)
