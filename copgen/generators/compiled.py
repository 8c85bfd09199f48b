"""G compiled for batches of one size: for `sample`, where a shard is to be the same in every process that makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from copgen.generators import Generator
from copgen.runtime.environment import compiler_switched_off
from copgen.runtime.errors import EnvironmentFault, UsageError

# Kernels are not tried out on the device: another process might find another one the fastest, with other low bits.
OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"deterministic": True}


class CompiledGenerator:
    """G by torch.compile, which happens at the first images; smaller batches are filled up, so it happens once.

    Args:
        G: the generator.
        rows: the most that it is asked for at once.

    Raises:
        UsageError: a generator that cannot be compiled.
        EnvironmentFault: torch.compile is switched off.
    """

    def __init__(self, G: Generator, rows: int) -> None:
        if not G.compiles:
            raise UsageError(
                f"The generator '{G.name}' cannot be compiled: its numbers decide how much there is to do.",
                fix="Leave out --compile.",
            )
        if variable := compiler_switched_off():
            raise EnvironmentFault(
                f"torch.compile is switched off here by {variable}.", fix="Unset it, or leave out --compile."
            )
        self.rows = rows
        # As one graph or not at all: a part that ran as it is would not be what the plan says.
        self._G: Any = torch.compile(G, fullgraph=True, dynamic=False, options=OPTIONS)  # untyped in torch

    def __call__(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) of z (N, dim) and their condition, for N up to `rows`.

        Raises:
            EnvironmentFault: it could not be compiled on this machine, or in this process no more.
        """
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException  # imports the compiler

        filled = None if condition is None else self._filled(condition)
        try:
            images: Tensor = self._G(self._filled(z), filled)
        except (TorchDynamoException, FailOnRecompileLimitHit, OSError) as error:
            cause = getattr(error, "inner_exception", error)
            why = str(cause).strip().partition("\n")[0] or type(cause).__name__
            raise EnvironmentFault(
                f"G cannot be compiled here: {why}.",
                fix="Mend that, or leave out --compile and start anew with --overwrite, as it is part of the plan.",
            ) from error
        return images[: len(z)]

    def _filled(self, rows: Tensor) -> Tensor:
        """As many rows as it was compiled for, the last one several times."""
        missing = self.rows - len(rows)
        return torch.cat((rows, rows[-1:].expand(missing, *rows.shape[1:]))) if missing else rows
