"""`copgen eval`: evaluate an encoder with probes on frozen features; nothing is selected on the test split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.eval.linear import eval_linear
    from copgen.stages.eval.settings import EvalLinearSettings

__all__ = ["EvalLinearSettings", "eval_linear"]
__getattr__, __dir__ = later.names(__name__, {"settings": ["EvalLinearSettings"], "linear": ["eval_linear"]})
