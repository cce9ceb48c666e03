"""The extension modules and the switches of their build; everything else is in pyproject.toml.

The core (csrc/) is compiled once, into a static library that every extension module links. Switches, read
from the environment (add --force when one changes):

FASTWSGI_DEBUG=1             assertions, no optimisation, debug information
FASTWSGI_SANITIZE=a,b        -fsanitize=a,b; run with the sanitizer's library preloaded
FASTWSGI_WERROR=1            a warning in the core ends the build
FASTWSGI_LTO=1               optimise across the core and the extension modules at link time
"""

import os
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def switch(name: str) -> str:
    value = os.environ.get(f"FASTWSGI_{name}", "")
    return "" if value == "0" else value


# Never -march=native: a wheel has to run on any machine of its architecture. A request makes a hundred calls
# into the interpreter; without a PLT each is one jump.
compile_flags = ["-std=c11", "-fvisibility=hidden", "-fno-plt"]
link_flags: list[str] = []
if switch("DEBUG"):
    compile_flags += ["-O0", "-g", "-UNDEBUG"]
else:
    compile_flags += ["-O3", "-g0", "-DNDEBUG"]
if switch("SANITIZE"):
    sanitizers = [f"-fsanitize={switch('SANITIZE')}", "-fno-omit-frame-pointer", "-g"]
    compile_flags += [*sanitizers, "-DFW_SYS_LIBC"]
    link_flags += sanitizers
if switch("LTO"):
    compile_flags += ["-flto", "-ffat-lto-objects"]
    link_flags += ["-flto", "-O3"]

core_flags = [*compile_flags, "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wstrict-prototypes"]
if switch("WERROR"):
    core_flags += ["-Werror"]

headers = sorted(glob("csrc/*.h"))
core_sources = sorted(glob("csrc/*.c"))


class BuildExt(build_ext):
    """build_ext that brings the core with it, so that `setup.py build_ext --inplace` is enough."""

    def run(self) -> None:
        if self.force:
            self.reinitialize_command("build_clib", force=True)
        self.run_command("build_clib")
        super().run()


def extension(name: str, sources: list[str]) -> Extension:
    return Extension(
        name,
        sources,
        include_dirs=["csrc"],
        extra_compile_args=compile_flags,
        extra_link_args=link_flags,
    )


def module_of(source: str) -> str:
    return str(Path(source).with_suffix("")).replace("/", ".")


def compiled(pattern: str) -> list[Extension]:
    """One extension for each of these .pyx files, made C."""
    return cythonize(
        [extension(module_of(source), [source]) for source in sorted(glob(pattern))],
        build_dir="build",
        compiler_directives={"language_level": 3},
    )


# The server's modules are one library: fastwsgi/compiled.py tells why, and finds them in it.
server = extension("fastwsgi._server", [file for part in compiled("fastwsgi/*.pyx") for file in part.sources])
extensions = [server, *compiled("fastwsgi/http/*.pyx")]
for module in extensions:
    # only now: cythonize would copy what it is told of to build/
    module.depends = [*headers, *core_sources]

setup(
    libraries=[
        (
            "fastwsgi_core",
            {
                "sources": core_sources,
                "obj_deps": {"": headers},
                "include_dirs": ["csrc"],
                "cflags": core_flags,
            },
        )
    ],
    ext_modules=extensions,
    cmdclass={"build_ext": BuildExt},
)
