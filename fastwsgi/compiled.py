"""Where the server's compiled modules are: in one library, so that the core is in memory once.

Sixteen libraries would each bring their own copy of the core, and pages of their own that no other process
shares. The parser library, `fastwsgi.http`, stands alone and is not among them.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

MODULES = (
    "_access",
    "_board",
    "_early_hints",
    "_environ",
    "_exchange",
    "_file_wrapper",
    "_gateway",
    "_input",
    "_loop",
    "_loop_config",
    "_loop_notices",
    "_observers",
    "_response_head",
    "_shapes",
    "_strings",
    "_upgrade",
)
"""What setup.py compiles into the library: fastwsgi/NAME.pyx."""

NAMES = frozenset(f"fastwsgi.{module}" for module in MODULES)
LIBRARY = "_server"


class Finder:
    """Finds those modules for `import`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises ImportError where the library has not been built for this Python."""
        if name not in NAMES:
            return None
        folder = os.path.dirname(__file__)
        for suffix in EXTENSION_SUFFIXES:
            file = os.path.join(folder, LIBRARY + suffix)
            if os.path.isfile(file):
                spec = ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
                spec.has_location = True
                return spec
        raise ImportError(
            f"fastwsgi is not compiled for this Python: there is no {LIBRARY}{EXTENSION_SUFFIXES[0]} "
            f"in {folder}. Install it with this Python's own pip",
            name=name,
        )


def install() -> None:
    """Once, before any of them is imported."""
    sys.meta_path.insert(0, Finder)
