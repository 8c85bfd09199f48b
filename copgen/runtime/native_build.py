"""What building the native operators needs, and the command that builds them for this installation.

pip builds in an environment of its own, which has no torch; so an installation from sources gets the native operators
only with `--no-build-isolation`. The command names the sources that this installation came from.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote

import copgen
from copgen.runtime.environment import cxx_compiler

PIP = "pip install --no-build-isolation --no-deps --force-reinstall"


def build_command(*, cuda: bool = False) -> str:
    """The command that builds and installs the native operators of this installation; with CUDA kernels if asked."""
    return f"{'COPGEN_CUDA=1 ' if cuda else ''}{PIP} {_sources()}"


def lacking() -> str:
    """What this environment lacks for a build, as a continuation of a sentence; empty if nothing is missing."""
    compiler = cxx_compiler()
    missing = [] if shutil.which(compiler) else [f"a C++ compiler ('{compiler}')"]
    if importlib.util.find_spec("setuptools") is None:
        missing.append("setuptools")
    return f", and this environment lacks {' and '.join(missing)}" if missing else ""


def _sources() -> str:
    """What pip installs: the checkout that runs, the sources that were installed, or the package by its name."""
    checkout = Path(copgen.__file__).parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "csrc").is_dir():
        return "--editable " + ("." if checkout == Path.cwd() else shlex.quote(str(checkout)))
    try:
        recorded = metadata.distribution("copgen").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        recorded = None
    if recorded:
        where = json.loads(recorded)
        address, revision = str(where["url"]), where.get("vcs_info", {})
        if revision:
            return shlex.quote(f"{revision['vcs']}+{address}@{revision['commit_id']}")
        if not address.endswith(".whl"):
            return shlex.quote(unquote(address.removeprefix("file://")) if address.startswith("file://") else address)
    return "--no-binary copgen copgen"
