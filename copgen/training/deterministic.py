"""`--deterministic`: a run on CUDA whose kernels add in a fixed order, so that repeating it gives the same bits.

On the CPU runs are bitwise reproducible without it. Reference:
https://docs.pytorch.org/docs/stable/notes/randomness.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from copgen.runtime.environment import request_fixed_workspace
from copgen.runtime.errors import EnvironmentFault

_NONE = "does not have a deterministic implementation"


@contextmanager
def deterministic_kernels(device: torch.device) -> Iterator[None]:
    """Use deterministic kernels only, if the device is a GPU. Enter it before the first matrix product on CUDA.

    Raises:
        EnvironmentFault: PyTorch has none for an operation of the run; the error names the operation.
    """
    if device.type != "cuda":
        yield
        return
    request_fixed_workspace()
    mode = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic  # untyped in torch
    fill, benchmark = memory.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # nothing reads it
    torch.backends.cudnn.benchmark = False  # it chooses algorithms by their time
    try:
        yield
    except RuntimeError as error:
        operation, found, _ = str(error).partition(_NONE)
        if not found:
            raise
        raise EnvironmentFault(
            f"PyTorch {torch.__version__} has no deterministic {operation.strip()} on CUDA.",
            fix="Leave out --deterministic, or pass --device cpu.",
        ) from error
    finally:
        torch.set_deterministic_debug_mode(mode)
        memory.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark
