"""Where the time of an update goes: times G, T_x, f and the loss, forward and backward.

In the forward pass the clock is read around each of the four; in the backward pass when a gradient reaches h (the loss
is done), v' (f), x' (T_x) and z' (G), in the order of autograd. The remainder is latents, T_z, the optimizers, the
statistics.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from copgen import objectives, views
from copgen.stages.navigate import players as game_module
from copgen.stages.navigate.players import Game

PARTS = ("G", "T_x", "f", "loss", "rest")


class Clock:
    """Attributes the time since it was last read to a part."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.spent: dict[str, float] = defaultdict(float)
        self.now_in = "rest"
        self._clock = time.perf_counter if device.type == "cuda" else time.process_time
        self._last = self._clock()

    def enter(self, part: str) -> None:
        """The following time belongs to this part."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = self._clock()
        self.spent[self.now_in] += now - self._last
        self.now_in, self._last = part, now

    def around(self, part: str, call: Callable[..., Tensor], *, behind: str) -> Callable[..., Tensor]:
        """The same function, timed; when its result's gradient is available, `behind` begins."""

        def timed(*args: Any, **kwargs: Any) -> Tensor:
            self.enter(part)
            result = call(*args, **kwargs)
            if result.requires_grad:
                self.when_differentiated(result, behind)
            self.enter("rest")
            return result

        return timed

    def when_differentiated(self, tensor: Tensor, part: str) -> None:
        """Enter the part when the tensor's gradient is available."""
        register: Any = tensor.register_hook  # untyped in torch
        register(lambda _: self.enter(part))

    def backward(self, call: Callable[..., None]) -> Callable[..., None]:
        """The backward pass, which starts in the loss."""

        def timed(*args: Any, **kwargs: Any) -> None:
            self.enter("loss")
            call(*args, **kwargs)
            self.enter("rest")

        return timed


def timed_parts(game: Game, step: Callable[[int], object]) -> dict[str, float]:
    """The share of each part in an update; `game` is what `step` plays."""
    clock = Clock(game.device)
    T_z = type(game.T_z)

    def moved(self: Any, z: Tensor, **kwargs: Any) -> Any:
        result = move(self, z, **kwargs)
        clock.when_differentiated(result.z_pos, "rest")
        return result

    move = T_z.move
    # f's gradient begins where h's hook fires, T_x's where v''s does, G's where x''s does.
    embed = clock.around("f", game.embed, behind="f")
    with (
        mock.patch.object(game, "embed", embed),
        mock.patch.object(game, "embed_and_average", embed),
        mock.patch.object(game, "G", clock.around("G", game.G, behind="G")),
        mock.patch.object(views, "augment", clock.around("T_x", views.augment, behind="T_x")),
        mock.patch.object(game_module, "info_nce", clock.around("loss", objectives.info_nce, behind="loss")),
        mock.patch.object(torch.autograd, "backward", clock.backward(torch.autograd.backward)),
        mock.patch.object(T_z, "move", moved),
    ):
        clock.enter("rest")
        clock.spent.clear()
        step(1)
        clock.enter("rest")
    whole = sum(clock.spent.values())
    return {part: clock.spent[part] / whole for part in PARTS}
