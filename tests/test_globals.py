"""State that belongs to nobody: what the core and the extension modules keep in it, and who may share it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastwsgi

ROOT = Path(__file__).parent.parent
PACKAGE = Path(fastwsgi.__file__).parent

# ---- the core ----

WRITABLE = {
    ("fw_abort", "armed"): "a signal handler is given no argument",
}

# Types of nm for what a program may change; common symbols and thread-locals are among them.
WRITABLE_TYPES = "BbCDdGgSs"


def writable_symbols(sources: list[Path], folder: Path) -> set[tuple[str, str]]:
    """(file, name) of each object that is not constant. Without position-independent code no constant needs a
    relocation when it is loaded, so none of them stands where it could be written."""
    command = ["cc", "-std=c11", "-O0", "-fno-pic", "-fno-common", "-w", "-c", f"-I{ROOT / 'csrc'}", *sources]
    subprocess.run(command, cwd=folder, timeout=300, check=True)
    found = set()
    for path in sources:
        symbols = subprocess.run(
            ["nm", "--defined-only", folder / f"{path.stem}.o"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for _, kind, name in map(str.split, symbols.stdout.splitlines()):
            if kind in WRITABLE_TYPES:
                found.add((path.stem, name.split(".")[0]))
    return found


def test_the_core_has_no_other_writable_static(tmp_path: Path) -> None:
    sources = sorted(ROOT.glob("csrc/*.c"))
    assert len(sources) > 30
    assert writable_symbols(sources, tmp_path) == set(WRITABLE)


def test_every_kind_of_writable_static_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "kinds.c"
    source.write_text(
        "static int zero, set = 1;\n"
        "int shared;\n"
        "static _Thread_local int mine;\n"
        "static const char *const constant[] = {0, 0};\n"
        "const void *kinds(int n)\n"
        "{\n"
        "    static int calls;\n"
        "    calls += n, zero += n, set += n, mine += n;\n"
        "    return calls + zero + set + mine > 0 ? constant[n] : 0;\n"
        "}\n"
    )
    names = {name for _, name in writable_symbols([source], tmp_path)}
    assert names == {"zero", "set", "shared", "mine", "calls"}


# ---- the extension modules ----

IMMUTABLE = {"str", "bytes", "tuple", "bint", "int", "size_t", "Py_ssize_t", "uint32_t", "uint64_t"}

# Set when the module is imported and only read after that.
CONSTANTS = {
    "NO_BODY": "an Input of no length, which no method changes",
    "PROXY_MODES": "settings' values by name",
    "HEADER_MAPS": "settings' values by name",
    "CLIENT_FIELDS": "settings' values by name",
    "UNTITLED": "spellings of field names",
    "LOWER_NAMES": "the texts of fw_name as objects",
    "TITLE_NAMES": "the texts of fw_name as objects",
    "METHODS": "the texts of the methods as objects",
    "lower_names": "LOWER_NAMES, borrowed",
    "title_names": "TITLE_NAMES, borrowed",
    "methods": "METHODS, borrowed",
    "DEFAULT_LIMITS": "Limits has no method that changes it",
    "PLAIN_END": "EndOfMessage has none either",
    "SCHEME": "the method of a compiled pattern",
    "USERINFO": "the method of a compiled pattern",
}

CYTHON_FILES = sorted(PACKAGE.rglob("*.pyx"))


@pytest.mark.parametrize("path", CYTHON_FILES, ids=lambda path: path.name)
def test_an_extension_module_keeps_only_constants(path: Path) -> None:
    """What changes while requests are served belongs to an object: Environ, HeadWriter, Gateway."""
    text = path.read_text()
    variables = re.findall(
        r"(?m)^cdef (?!class|extern|enum|inline|struct)([\w ]+) \*?(\w+)(?:\[\w+\])?(?: =.*)?$", text
    )
    assigned = re.findall(r"(?m)^(\w+) = (?:\[|\{|dict\(|list\(|set\()", text)
    changing = {name for kind, name in variables if kind not in IMMUTABLE} | set(assigned)
    assert changing <= set(CONSTANTS)
    assert not re.findall(r"(?m)^\s+global \w+|\blru_cache\b|^@(?:functools\.)?cache\b", text)


# ---- interpreters ----

INTERPRETERS = """
import importlib, sys

try:
    import _interpreters  # from 3.13 on
    create = lambda own_gil: _interpreters.create("isolated" if own_gil else "legacy")
except ImportError:
    import _xxsubinterpreters as _interpreters
    create = lambda own_gil: _interpreters.create(isolated=own_gil)

MODULE = sys.argv[1]

ATTEMPT = '''
import importlib, sys
sys.path[:] = %r
try:
    importlib.import_module(%r)
    print(%r, "has it", flush=True)
except ImportError as error:
    print(%r, "is refused:", error, flush=True)
'''

def attempt(who):
    return ATTEMPT % (sys.path, MODULE, who, who)

for who in sys.argv[2:]:
    if who == "main":
        exec(attempt(who))
    else:
        interpreter = create(who == "own")
        failure = _interpreters.run_string(interpreter, attempt(who))
        assert failure is None, failure
        _interpreters.destroy(interpreter)
print("end")
"""

MODULES = ["fastwsgi._loop", "fastwsgi._board", "fastwsgi._access", "fastwsgi.http"]


def attempts(module: str, *order: str) -> list[str]:
    """What became of an import of `module` in each of these interpreters of one process: `main`, one with its
    `own` GIL (before 3.12: an isolated one), one that is `shared`. Each ends before the next one begins."""
    result = subprocess.run(
        [sys.executable, "-c", INTERPRETERS, module, *order],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert result.returncode == 0, result
    lines = result.stdout.splitlines()
    assert lines.pop() == "end"
    return lines


@pytest.mark.parametrize("module", MODULES)
def test_a_second_interpreter_is_refused(module: str) -> None:
    lines = attempts(module, "main", "shared", "own", "main")
    assert lines[0] == lines[3] == "main has it"
    assert re.match(r"shared is refused: .*only be loaded into one interpreter per process", lines[1])
    assert re.match(
        r"own is refused: .*(does not support loading in subinterp|one interpreter per)", lines[2]
    )


@pytest.mark.parametrize("module", MODULES)
def test_who_comes_first_has_it_for_good(module: str) -> None:
    lines = attempts(module, "shared", "main", "shared")
    assert lines[0] == "shared has it"
    assert re.match(r"main is refused: .*only be loaded into one interpreter per process", lines[1])
    assert re.match(r"shared is refused: .*only be loaded into one interpreter per process", lines[2])
