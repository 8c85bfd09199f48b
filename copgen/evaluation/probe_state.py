"""The state of a probe in training, in a file after each epoch, so that hours of training can be resumed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from copgen.evaluation.head_groups import HeadGroups
from copgen.evaluation.linear_heads import LinearHeads
from copgen.runtime.events import Events
from copgen.storage.tensors import load_kept, save_tensors

KIND = "probe"
History = list[tuple[float, ...]]


@dataclass(frozen=True)
class Chosen:
    """A head at an epoch.

    Attributes:
        head: its number.
        epoch: from 1.
        top1: on the images of the choice.
        weight, bias: (D, C) and (C,).
    """

    head: int
    epoch: int
    top1: float
    weight: Tensor
    bias: Tensor


@dataclass
class ProbeFile:
    """Where the state is kept.

    Attributes:
        path: the file.
        key: a hash of everything that decides the result; a state with another key is not resumed.
        events: is told if a state is resumed.
        seconds: at least this long between two writes; 0: after every epoch.
    """

    path: Path
    key: str
    events: Events
    seconds: float = 0.0
    last: float = field(default_factory=time.monotonic, init=False)

    def save(self, heads: LinearHeads | HeadGroups, history: History, best: Chosen) -> None:
        """Write the state after an epoch, atomically, if it is time."""
        if time.monotonic() - self.last < self.seconds:
            return
        tensors = {f"heads.{name}": tensor for name, tensor in heads.state().items()}
        tensors |= {"best.weight": best.weight, "best.bias": best.bias}
        at = {"head": best.head, "epoch": best.epoch, "top1": best.top1}
        save_tensors(self.path, tensors, kind=KIND, header={"key": self.key, "history": history, "best": at})
        self.last = time.monotonic()

    def resume(self, heads: LinearHeads | HeadGroups) -> tuple[History, Chosen | None]:
        """Load the state into untrained heads: the history so far, and the best head; ([], None) without one."""
        if (found := load_kept(self.path, kind=KIND, key=self.key)) is None:
            return [], None
        tensors, header = found
        heads.load({name.removeprefix("heads."): value for name, value in tensors.items() if name.startswith("heads.")})
        self.events.say(f"Resuming after epoch {len(header['history'])}, from {self.path}.")
        weight, bias = (tensors[name].to(heads.weight) for name in ("best.weight", "best.bias"))
        return [tuple(epoch) for epoch in header["history"]], Chosen(**header["best"], weight=weight, bias=bias)
