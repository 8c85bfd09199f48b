"""G compiled for one batch size: for `sample`, where a shard has to be the same in every process that writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from copgen.generators import Generator
from copgen.runtime.environment import compiler_switched_off
from copgen.runtime.errors import EnvironmentFault, UsageError

# No autotuning: another process could pick another kernel as the fastest, with different low bits.
OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"deterministic": True}


class CompiledGenerator:
    """G through torch.compile, at the first call; smaller batches are padded, so it compiles once.

    Args:
        G: the generator.
        rows: the largest batch.

    Raises:
        UsageError: a generator that cannot be compiled.
        EnvironmentFault: torch.compile is switched off.
    """

    def __init__(self, G: Generator, rows: int) -> None:
        if not G.compiles:
            raise UsageError(
                f"The generator '{G.name}' cannot be compiled: its control flow depends on the data.",
                fix="Leave out --compile.",
            )
        if variable := compiler_switched_off():
            raise EnvironmentFault(f"torch.compile is disabled by {variable}.", fix="Unset it, or leave out --compile.")
        self.rows = rows
        # One graph or an error: with graph breaks, part of G would run uncompiled, unlike the plan says.
        self._G: Any = torch.compile(G, fullgraph=True, dynamic=False, options=OPTIONS)  # untyped in torch

    def __call__(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) of z (N, dim) and their condition, for N up to `rows`.

        Raises:
            EnvironmentFault: it could not be compiled on this machine or in this process.
        """
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException  # imports the compiler

        filled = None if condition is None else self._filled(condition)
        try:
            images: Tensor = self._G(self._filled(z), filled)
        except (TorchDynamoException, FailOnRecompileLimitHit, OSError) as error:
            cause = getattr(error, "inner_exception", error)
            why = str(cause).strip().partition("\n")[0] or type(cause).__name__
            raise EnvironmentFault(
                f"torch.compile failed on G: {why}.",
                fix="Fix that, or leave out --compile and pass --overwrite to start from scratch (it is in the plan).",
            ) from error
        return images[: len(z)]

    def _filled(self, rows: Tensor) -> Tensor:
        """Padded to the compiled number of rows by repeating the last one."""
        missing = self.rows - len(rows)
        return torch.cat((rows, rows[-1:].expand(missing, *rows.shape[1:]))) if missing else rows
