"""How good an encoder is: frozen features, judged by probes that never choose anything by the test split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.eval.linear import eval_linear
    from copgen.stages.eval.settings import EvalLinearSettings

__all__ = ["EvalLinearSettings", "eval_linear"]
_HOMES = {"EvalLinearSettings": "settings", "eval_linear": "linear"}


def __getattr__(name: str) -> Any:
    return later.attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
