"""What Triton needs besides a GPU: at the first launch it compiles its access to the driver, a file of C that includes
Python.h. Slim images have neither a C compiler nor Python's headers.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
import sysconfig

WAIT_S = 60.0  # for a compiler on a slow network disk


def triton_version() -> str:
    """The version of the installed Triton, whatever its distribution is called, or why there is none."""
    if importlib.util.find_spec("triton") is None:
        return "not installed"
    try:
        import triton

        return str(triton.__version__)
    except Exception as error:  # of its library in C++, which may not fit this system
        return f"cannot be imported: {_last_line(str(error))}"


def what_triton_lacks() -> str:
    """What keeps Triton from compiling here, as a sentence; empty if nothing does.

    The compiler is the one that Triton takes: the program in CC, or else gcc, or else clang.
    """
    try:
        from triton import knobs
    except Exception as error:
        return f"triton cannot be imported: {_last_line(str(error))}"
    if knobs.build.impl is not None:
        return ""
    named = knobs.build.cc
    compiler = shutil.which(named) if named is not None else shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        missing = "there is neither gcc nor clang" if named is None else f"CC is '{named}', which is no program here"
        return f"Triton needs a C compiler, and {missing}"
    return _failure_of(compiler)


@functools.cache
def _failure_of(compiler: str) -> str:
    """Why this compiler cannot read Python.h and the headers of C that it includes; empty if it can."""
    scheme = sysconfig.get_default_scheme()
    headers = sysconfig.get_path("include", "posix_prefix" if scheme == "posix_local" else scheme)  # as Triton does
    command = [compiler, "-E", "-x", "c", "-I", headers, "-"]
    try:
        done = subprocess.run(command, input=b"#include <Python.h>\n", capture_output=True, timeout=WAIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Triton needs a C compiler, and {compiler} cannot be run: {_last_line(str(error))}"
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace")
    errors = [line for line in said.splitlines() if "error" in line] or [said]
    return f"Triton needs the headers of Python ({headers}) and of C, and {compiler} says: {_last_line(errors[0])}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1].strip()
