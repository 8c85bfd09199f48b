"""The plan of `copgen sample`: everything that determines the bytes of its folder.

A run makes it of the generator it has loaded (`sample_source`). `--dry-run` foresees the same plan without torch, where
the generator has a portrait and no GPU can be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.generators.description import Description
from copgen.generators.portrait import Portrait
from copgen.pairs import FilterRules, GeneratorSource, Plan, PriorSource, TransformSource, encoder_versions, layout
from copgen.pairs.codecs import DEFAULT_QUALITY
from copgen.pairs.plan import read_plan
from copgen.runtime.gpu_driver import may_have_gpu
from copgen.runtime.native import installed
from copgen.runtime.software import versions
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.transform_settings import source_of

if TYPE_CHECKING:
    from copgen.pairs.store import Store


def make_plan(
    settings: SampleSettings,
    G: Description,
    transform: TransformSource,
    *,
    device: str,
    latents: str,
    rules: FilterRules | None = None,
) -> Plan:
    """The plan.

    Args:
        settings: of the run.
        G: the generator.
        transform: the latent transform.
        device: the kind of device.
        latents: the implementation of operations on latents there; native and plain ones round differently.
        rules: the quality filter.
    """
    shape = (G.channels, G.image_size, G.image_size)
    compiled = {"compile": settings.compile} if settings.compile != "off" else {}
    return Plan(
        seed=settings.seed,
        pairs=settings.n,
        pairs_per_shard=settings.pairs_per_shard,
        batch=settings.batch,
        generator=GeneratorSource(name=G.name, sha256=G.weights_sha256, settings={**G.settings, **compiled}),
        prior=PriorSource(name=G.prior.kind, settings=G.prior.model_dump(mode="json", exclude={"kind"})),
        transform=transform,
        positives=settings.positives,
        filter=rules,
        image_format=settings.image_format,
        quality=settings.quality if settings.quality else DEFAULT_QUALITY[settings.image_format],
        rounding=settings.rounding,
        image_shape=shape,
        versions={**versions(), **encoder_versions(settings.image_format, shape), "latents": latents},
        device=device,
    )


def foresee(settings: SampleSettings, portrait: Portrait) -> Plan | None:
    """The plan that the run will make of the generator in the portrait; None where only torch can tell.

    That is where a GPU may be there, and where the generator is loaded or run in another way than the portrait's, its
    images are filtered, or a navigator's snapshots have to be compared.

    Raises:
        UsageError, DataError: as the run would, of a navigator or walk.
    """
    if settings.device not in ("auto", "cpu") or (settings.device == "auto" and may_have_gpu()):
        return None
    if settings.chosen_loading() or settings.compile != "off" or settings.rules(None) is not None:
        return None
    if settings.transform == "optimal" and settings.positives > 1:
        return None
    latents = "native" if installed().usable else "reference"
    return make_plan(settings, portrait.of, source_of(settings, portrait.of), device="cpu", latents=latents)


def with_threads(plan: Plan, store: Store, threads: int | None) -> Plan:
    """The plan with a number of threads, on a CPU: convolutions depend on it in their last bits.

    So it must not follow from the machine or the number of workers, or a shard would not be a function of the plan.
    One thread is the default: workers use the other cores better than further threads do.
    """
    if plan.device != "cpu":
        return plan
    if threads is None:
        there = read_plan(store) if store.size(layout.PLAN) is not None else None
        threads = there.threads if isinstance(there, Plan) else 1
    return plan.model_copy(update={"threads": threads})
