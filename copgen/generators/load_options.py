"""The options of `generators.load`: truncation of z, inversion of a flow, precision, memory format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from copgen.latents.prior import Prior
from copgen.runtime.errors import UsageError, unknown

PriorKind = Literal["normal", "truncated_normal"]
Inverse = Literal["tight", "reference"]
Precision = Literal["float32", "bfloat16", "float64"]
MemoryFormat = Literal["contiguous", "channels_last"]


@dataclass(frozen=True)
class LoadOptions:
    """Options of `generators.load`; None is the default of the family.

    Attributes:
        prior: the distribution of z; with a truncation, the truncated normal. Not for flows.
        truncation: the scale t of z = t * (standard normal within +-threshold); it also selects the batch statistics
            of BigGAN-deep. Not for flows.
        threshold: the bound before scaling, 2 by default. Not for flows.
        inverse: the stop rule of a flow's fixed points: each item to a tight tolerance, or the whole batch by the
            looser rule of the reference.
        precision: float32; bfloat16 (autocast, images float32); or float64, for comparisons.
        memory_format: of the convolutions' weights and activations.
    """

    prior: PriorKind | None = None
    truncation: float | None = None
    threshold: float | None = None
    inverse: Inverse | None = None
    precision: Precision = "float32"
    memory_format: MemoryFormat = "contiguous"

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("prior", self.prior, (None, *get_args(PriorKind))),
            ("inverse", self.inverse, (None, *get_args(Inverse))),
            ("precision", self.precision, get_args(Precision)),
            ("memory format", self.memory_format, get_args(MemoryFormat)),
        ):
            if value not in known:
                raise unknown(kind, str(value), [name for name in known if name is not None])

    def truncated(self, default: Prior, *, name: str) -> Prior:
        """The prior of a GAN: the requested one, or its default.

        Raises:
            UsageError: a scale outside (0, 1], a threshold that is not positive, or either for a normal.
        """
        truncates = self.truncation is not None or self.threshold is not None
        if self.prior == "normal":
            if truncates:
                raise UsageError(
                    f"A normal prior of '{name}' has no truncation.", fix="Leave out the prior or the truncation."
                )
            return Prior()
        if not truncates and self.prior in (None, default.kind):
            return default
        scale = self.truncation if self.truncation is not None else default.scale
        threshold = self.threshold if self.threshold is not None else 2.0
        if not 0.0 < scale <= 1.0:
            raise UsageError(
                f"truncation {scale:g} is not in (0, 1], the range of '{name}'.",
                fix="Pass the factor on a normal truncated at +-2; 1 does not scale it.",
            )
        if not 0.0 < threshold < float("inf"):
            raise UsageError(f"The truncation threshold {threshold:g} of '{name}' is not positive.")
        return Prior(kind="truncated_normal", scale=scale, threshold=threshold)

    def refuse(self, name: str, **concerns: object) -> None:
        """Refuse options that the generator does not support; keywords are their names and values.

        Raises:
            UsageError: one of them is not None.
        """
        for choice, value in concerns.items():
            if value is not None:
                raise UsageError(
                    f"The generator '{name}' has no option {choice}, but '{value}' was given.",
                    fix="Leave it out.",
                )
