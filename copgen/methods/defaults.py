"""The settings of each method, with the values of its authors or of the library that COP-Gen used, and their sources.

COP-Gen publishes its settings of SimCLR and SupCon. It names lightly for BYOL and NNCLR, and the published code for Neg
FT, but gives none of their settings; these defaults are those of lightly 1.2.25, which is as old as the paper, and of
the published code. Does not import torch, as the command line reads it.

Widths are for the 2048 features of a ResNet-50. Where a method says so, hidden layers scale with the features of a
smaller backbone: a ResNet-18, with 512, has a quarter of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from copgen.runtime.declaration import setting
from copgen.runtime.errors import UsageError, unknown

FEATURES = 2048  # of a ResNet-50, for which the widths are given

Width = Annotated[int, Field(ge=1)]


class MethodSettings(BaseModel):
    """Settings that all methods have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scaled: ClassVar[bool] = True  # hidden widths are relative to `FEATURES`
    labelled: ClassVar[bool] = False  # the loss uses the class of each sample

    projector: tuple[Width, ...] = setting((2048, 128), text="Widths of the projection head: hidden layers, output.")

    def replaced(self, name: str, given: Mapping[str, Any]) -> Self:
        """These settings with the given values.

        Raises:
            UsageError: a setting that the method does not have, or an invalid value.
        """
        for key in given.keys() - type(self).model_fields.keys():
            known = ", ".join(type(self).model_fields)
            raise UsageError(f"{name} has no setting '{key}'.", fix=f"Leave it out; {name} has: {known}.")
        fields: dict[str, Any] = dict(self)
        depth = len(self.projector)
        if len(given.get("projector", self.projector)) != depth:
            raise UsageError(f"The projector of {name} has {depth} widths.", fix="Give as many, hidden layers first.")
        try:
            return type(self)(**{**fields, **given})
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"{name}: {field} = {first['input']!r} is invalid: {first['msg']}.") from None

    def for_features(self, features: int, given: Mapping[str, Any]) -> Self:
        """These settings, with the widths that were not given scaled to a backbone with that many features."""
        if not self.scaled or features >= FEATURES:
            return self
        widths = self.widths_for(features)
        return self.model_copy(update={key: value for key, value in widths.items() if key not in given})

    def widths_for(self, features: int) -> dict[str, Any]:
        """The widths of the heads by setting, for a backbone with that many features."""
        *hidden, out = self.projector
        return {"projector": (*(_scaled(width, features) for width in hidden), out)}


class Predicting(MethodSettings):
    """Settings of a method with a prediction head."""

    predictor: Width = setting(4096, text="Hidden width of the prediction head.", source="section 3.3 of BYOL")

    def widths_for(self, features: int) -> dict[str, Any]:
        """As of all methods, and that of the prediction head."""
        return {**super().widths_for(features), "predictor": _scaled(self.predictor, features)}


class OfTheAuthors(MethodSettings):
    """The head, the temperature and the factor of the authors' code of COP-Gen, which are SupContrast's."""

    scaled = False

    projector: tuple[Width, ...] = setting(
        (2048, 128), text="Widths of the projection head: hidden layers, output.", source="authors: features, 128"
    )
    temperature: float = setting(0.1, text="Temperature.", source="authors; appendix D, MNIST: 0.5", gt=0)
    loss_scale: float = setting(
        1.0, text="Factor on the loss in training.", source="authors' code: temperature / 0.07", gt=0
    )


class SimCLRSettings(OfTheAuthors):
    """SimCLR, as in the authors' code of COP-Gen."""


class SupConSettings(OfTheAuthors):
    """SupCon, as in the authors' code of COP-Gen."""

    labelled = True


class BYOLSettings(Predicting):
    """BYOL; COP-Gen's values are unknown, apart from its use of lightly and of SimCLR's augmentation."""

    projector: tuple[Width, ...] = setting(
        (4096, 256),
        text="Widths of the projection head: hidden layers, output.",
        source="BYOL, section 3.3, and lightly; its ResNet-18 example 1.2.25: 1024, 256; COP-Gen's unknown",
    )
    predictor: Width = setting(
        4096,
        text="Hidden width of the prediction head.",
        source="BYOL, section 3.3, and lightly; its ResNet-18 example 1.2.25: 1024; COP-Gen's unknown",
    )
    momentum: float = setting(
        0.99,
        text="Momentum of the target network.",
        source="lightly 1.2.25; BYOL: 0.996, and 0.99 for 100 epochs; COP-Gen's unknown",
        ge=0,
        le=1,
    )
    momentum_schedule: Literal["constant", "cosine"] = setting(
        "constant",
        text="Momentum over the run: constant, or cosine up to 1.",
        source="lightly 1.2.25; BYOL and later versions of lightly: cosine; COP-Gen's unknown",
    )


class NNCLRSettings(Predicting):
    """NNCLR; COP-Gen's values are unknown, apart from its use of lightly and of its own setting of SimCLR."""

    projector: tuple[Width, ...] = setting(
        (2048, 2048, 256),
        text="Widths of the projection head: hidden layers, output.",
        source="NNCLR, section 3.2, and lightly; its ResNet-18 example 1.2.25: 512, 512, 128; COP-Gen's unknown",
    )
    predictor: Width = setting(
        4096,
        text="Hidden width of the prediction head.",
        source="NNCLR, section 3.2, and lightly; its ResNet-18 example 1.2.25: 512; COP-Gen's unknown",
    )
    temperature: float = setting(0.5, text="Temperature.", source="lightly 1.2.25; NNCLR: 0.1; COP-Gen's unknown", gt=0)
    queue: int = setting(
        4096,
        text="Embeddings in the queue.",
        source="lightly 1.2.25; NNCLR: 98,304; COP-Gen's unknown",
        ge=1,
    )


class InterpolatingSettings(MethodSettings):
    """Settings of the interpolation of negatives."""

    alpha: float = setting(
        2.0,
        text="Mix negatives with lambda ~ Beta(alpha, alpha).",
        source="published code; 1.6 in its recipe, which extrapolates positives, too",
        gt=0,
    )
    mixing: Literal["element", "update"] = setting(
        "element",
        text="A lambda for each element, or one for each update.",
        source="published code with target neg: element; its recipe: update; COP-Gen's unknown",
    )


class NegFTSettings(InterpolatingSettings):
    """Neg FT, as in the published code with its preset MoCo v2; the values that COP-Gen used are unknown."""

    projector: tuple[Width, ...] = setting(
        (2048, 128),
        text="Widths of the projection head: hidden layers, output.",
        source="MoCo v2: features, 128",
    )
    temperature: float = setting(0.2, text="Temperature.", source="published code, MoCo v2", gt=0)
    momentum: float = setting(
        0.999,
        text="Momentum of the key encoder.",
        source="published code; 0.99 on ImageNet-100",
        ge=0,
        le=1,
    )
    momentum_schedule: Literal["constant", "cosine"] = setting(
        "constant", text="Momentum over the run: constant, or cosine up to 1.", source="published code"
    )
    queue: int = setting(65_536, text="Embeddings in the queue.", source="published code", ge=1)


class NegFTInBatchSettings(InterpolatingSettings):
    """Neg FT within a batch: SimCLR's settings, and the interpolation's; how COP-Gen did it is unknown."""

    scaled = False

    projector: tuple[Width, ...] = setting(
        (2048, 128), text="Widths of the projection head: hidden layers, output.", source="as for simclr"
    )
    temperature: float = setting(0.1, text="Temperature.", source="as for simclr", gt=0)


DEFAULTS: dict[str, MethodSettings] = {
    "simclr": SimCLRSettings(),
    "supcon": SupConSettings(),
    "byol": BYOLSettings(),
    "nnclr": NNCLRSettings(),
    "negft": NegFTSettings(),
    "negft-inbatch": NegFTInBatchSettings(),
}

# The settings that any of the methods has, such as temperature.
SETTING_NAMES = tuple(dict.fromkeys(name for settings in DEFAULTS.values() for name in type(settings).model_fields))


def is_scaled(name: str) -> bool:
    """Whether the default widths of a method depend on the backbone; False for an unknown one."""
    return name in DEFAULTS and DEFAULTS[name].scaled


def settings_of(name: str, given: Mapping[str, Any], *, features: int = FEATURES) -> MethodSettings:
    """The settings of a method: the given values, and its defaults for the others.

    Args:
        name: a key of `DEFAULTS`.
        given: values by name; None counts as not given.
        features: of the backbone, to which default widths scale.

    Raises:
        UsageError: an unknown method, with the nearest; or a setting that it does not have.
    """
    if name not in DEFAULTS:
        raise unknown("method", name, DEFAULTS)
    given = {key: value for key, value in given.items() if value is not None}
    return DEFAULTS[name].replaced(name, given).for_features(features, given)


def _scaled(width: int, features: int) -> int:
    return max(1, round(width * features / FEATURES))
