"""What the losses launch compiles for a GPU, with the dtypes of the launch; needs no GPU.

The interpreter has no types of pointers, so it runs what a compiler refuses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from copgen.kernels import aot


@pytest.fixture(autouse=True)
def on_kernels() -> None:
    """Kernels are compiled here, in another process, and none is launched."""


def compiled(architecture: int, **case: Any) -> list[dict[str, Any]]:
    """The compiler's report on every launch of a `Case`."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    line = [sys.executable, "-m", "tests.kernels.launched", str(architecture), json.dumps(case)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(answer) for answer in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("needs", "dtype", "precision", "width"),
    [
        ([True, False, False], "bfloat16", "highest", 48),
        ([False, True, False], "float32", "medium", 48),
        ([True, False, False], "bfloat16", "highest", 384),
    ],
)
def test_a_gradient_of_one_side_whose_dtype_is_not_that_of_the_unit_rows(
    needs: list[bool], dtype: str, precision: str, width: int
) -> None:
    """As against a queue of stored rows, which need none."""
    reports = compiled(90, dtype=dtype, precision=precision, width=width, negatives=7, needs=needs)
    last = "gradients" if width == 48 else "finish_gradients"
    assert reports[-1]["kernel"] == last
    for report in reports:
        assert report["stack"] == 0, report
        assert report["shared"] <= aot.SHARED_MEMORY[90], report
