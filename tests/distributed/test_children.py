"""Children of copgen import what copgen imports, whatever lies in the current folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from copgen.distributed.children import run_module


def test_modules_of_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("queue", "pydantic", "copgen"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, *run_module("copgen_cli"), "--version"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("copgen ")
