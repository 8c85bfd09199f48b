"""The pretraining methods by name: builds one around a new backbone."""

from __future__ import annotations

from copgen.distributed.ranks import Ranks
from copgen.encoders import ResNet
from copgen.methods.byol import BYOL
from copgen.methods.defaults import (
    BYOLSettings,
    MethodSettings,
    NegFTInBatchSettings,
    NegFTSettings,
    NNCLRSettings,
    SimCLRSettings,
    SupConSettings,
)
from copgen.methods.interpolation import Interpolation
from copgen.methods.method import Method
from copgen.methods.negft import NegFT, NegFTInBatch
from copgen.methods.nnclr import NNCLR
from copgen.methods.simclr import SimCLR
from copgen.methods.supcon import SupCon
from copgen.methods.target import Momentum


def build(
    settings: MethodSettings,
    backbone: ResNet,
    *,
    seed: int,
    updates: int,
    views: int = 2,
    ranks: Ranks | None = None,
) -> Method:
    """A new method, its heads initialised from torch's global generator.

    Args:
        settings: of the method, which they name by their class (`settings_of`).
        backbone: the encoder to train.
        seed: of the run, for queues and random negatives.
        updates: of the run, for schedules.
        views: of each sample; more than two are several positives.
        ranks: the processes that share a batch.
    """
    match settings:
        case SupConSettings():
            hidden, out = settings.projector
            return SupCon(backbone, hidden=hidden, out=out, temperature=settings.temperature, views=views, ranks=ranks)
        case SimCLRSettings():
            hidden, out = settings.projector
            return SimCLR(backbone, hidden=hidden, out=out, temperature=settings.temperature, ranks=ranks)
        case BYOLSettings():
            momentum = Momentum(settings.momentum, settings.momentum_schedule, updates)
            return BYOL(backbone, projector=settings.projector, predictor=settings.predictor, momentum=momentum)
        case NNCLRSettings():
            return NNCLR(
                backbone,
                projector=settings.projector,
                predictor=settings.predictor,
                temperature=settings.temperature,
                queue=settings.queue,
                seed=seed,
                ranks=ranks,
            )
        case NegFTSettings():
            hidden, out = settings.projector
            return NegFT(
                backbone,
                hidden=hidden,
                out=out,
                temperature=settings.temperature,
                momentum=Momentum(settings.momentum, settings.momentum_schedule, updates),
                queue=settings.queue,
                interpolation=Interpolation(settings.alpha, settings.mixing, seed=seed),
                seed=seed,
                ranks=ranks,
            )
        case NegFTInBatchSettings():
            hidden, out = settings.projector
            return NegFTInBatch(
                backbone,
                hidden=hidden,
                out=out,
                temperature=settings.temperature,
                interpolation=Interpolation(settings.alpha, settings.mixing, seed=seed),
                views=views,
                ranks=ranks,
            )
    raise NotImplementedError(f"{type(settings).__name__} has no method")
