"""How good an encoder is: frozen features, judged by probes that never choose anything by the test split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.eval.linear import eval_linear
    from copgen.stages.eval.settings import EvalLinearSettings

__all__ = ["EvalLinearSettings", "eval_linear"]
__getattr__, __dir__ = later.names(__name__, {"settings": ["EvalLinearSettings"], "linear": ["eval_linear"]})
