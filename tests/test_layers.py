"""The laws of the layers: who may include and import what."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastwsgi

ROOT = Path(__file__).parent.parent
PACKAGE = Path(fastwsgi.__file__).parent

# A file of the core includes only files that stand before it.
CORE = [
    "fw_base",
    "fw_sys",
    "fw_error",
    "fw_buf",
    "fw_scan",
    "fw_addr",
    "fw_clock",
    "fw_name",
    "fw_head",
    "fw_framing",
    "fw_body",
    "fw_parser",
    "fw_proxy",
    "fw_forwarded",
    "fw_resp",
    "fw_escape",
    "fw_sink",
    "fw_access",
    "fw_rate",
    "fw_spill",
    "fw_conn",
    "fw_poll",
    "fw_board",
    "fw_share",
    "fw_loop",
    "fw_baton",
    "fw_monitor",
    "fw_abort",
]

# An extension module of the gateway cimports only modules that stand before it.
GATEWAY = [
    "_board",
    "_strings",
    "_input",
    "_file_wrapper",
    "_environ",
    "_shapes",
    "_response_head",
    "_exchange",
    "_early_hints",
    "_upgrade",
    "_observers",
    "_gateway",
    "_loop_config",
    "_loop_notices",
    "_loop",
]

CORE_FILES = sorted([*ROOT.glob("csrc/*.c"), *ROOT.glob("csrc/*.h")])
MODULES = sorted(PACKAGE.rglob("*.py"))
# _access serves access_format.py, for the core alone
CYTHON_FILES = sorted(
    path for end in ("pyx", "pxd") for path in PACKAGE.glob(f"_*.{end}") if path.stem != "_access"
)


def room(name: str) -> str:
    """The room of the core a file belongs to: fw_poll_epoll.c to fw_poll."""
    return "_".join(Path(name).stem.split("_")[:2])


def test_there_is_something_to_look_at() -> None:
    assert {room(path.name) for path in CORE_FILES} >= {"fw_base", "fw_parser", "fw_loop"}
    assert len(MODULES) > 10


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.name)
def test_the_core_includes_only_what_stands_before(path: Path) -> None:
    own = room(path.name)
    for included in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE):
        assert room(included) == own or CORE.index(room(included)) < CORE.index(own), included


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.name)
def test_the_core_knows_nothing_of_python(path: Path) -> None:
    assert not re.search(r"#\s*include\s*[<\"]Python\.h|\bPyObject\b", path.read_text())


@pytest.mark.parametrize("path", CYTHON_FILES, ids=lambda path: path.name)
def test_the_gateway_cimports_only_what_stands_before(path: Path) -> None:
    """So no module waits for another that waits for it, whether each is a library of its own or not."""
    found = re.findall(r"^\s*from fastwsgi\.(_\w+) c?import", path.read_text(), re.MULTILINE)
    for name in found:
        own = name == path.stem and path.suffix == ".pyx"
        assert own or GATEWAY.index(name) < GATEWAY.index(path.stem), name


def imports(path: Path) -> set[str]:
    """The names of fastwsgi that a module imports anywhere in it, for type checking apart."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{name.name}" for name in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return {name for name in found if name.startswith("fastwsgi.")}


def test_the_parser_library_imports_nothing_else_of_ours() -> None:
    for path in PACKAGE.glob("http/*.p*"):
        text = path.read_text()
        for imported in re.findall(r"^\s*(?:from|import|cimport)\s+(fastwsgi[\w.]*)", text, re.MULTILINE):
            assert imported.startswith("fastwsgi.http"), f"{imported} in {path}"


def test_the_arbiter_imports_no_extension_but_the_board() -> None:
    code = (
        "import sys, fastwsgi.arbiter\n"
        "print(*[name for name, module in sys.modules.items()\n"
        "        if name.startswith('fastwsgi.') and module.__file__.endswith('.so')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["fastwsgi._board"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_a_worker_imports_the_loop(path: Path) -> None:
    loop = {name for name in imports(path) if name.startswith(("fastwsgi._loop", "fastwsgi._gateway"))}
    assert not loop or path.parent.name == "workers"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_one_function_forks(path: Path) -> None:
    """All processes begin in it: workers, templates, new masters. A daemon is the same process elsewhere."""
    calls = re.findall(r"\bfork\w*\(\)", path.read_text())
    assert calls.count("fork()") == {"process.py": 1, "daemon.py": 2}.get(path.name, 0)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_imports_the_command_or_the_arbiter_but_what_starts_it(path: Path) -> None:
    above = {name for name in imports(path) if name.startswith(("fastwsgi.cli", "fastwsgi.arbiter"))}
    assert not above or path.name == "__main__.py" or path.parts[-2:] == ("app", "base.py")
