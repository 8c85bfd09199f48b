"""Pairs made while training, and never written: `--pairs online:RUN` or `--pairs online:GENERATOR`.

A generator is given by its name, or by its file or run folder.

They are the pairs that `copgen sample` writes for the same seed, before they are rounded to 8 bits, or after it with
`round`. Pair k is a function of (seed, k), so an epoch over n online pairs is one over a folder of n pairs.

Legend: K pairs; z, z' (K, dim) latents; y conditions; x, x' (K, C, H, W) images in [-1, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.data.pair_classes import KINDS
from copgen.data.positives import positives_at_random
from copgen.generators import by_file, plugins
from copgen.generators.settings import GeneratorChoice
from copgen.latents.navigator import load_navigator_with_header
from copgen.latents.run_files import navigator_file
from copgen.pairs.pixels import from_uint8, to_uint8
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import resolve
from copgen.stages.pretrain.settings import ONLINE, PretrainSettings
from copgen.stages.sample import pair_source
from copgen.stages.sample.settings import SampleSettings


class OnlinePairs:
    """Pairs from a generator, as `DecodedImages`: column 0 is the anchor, 1 to `positives` are its positives.

    Args:
        settings: of the pairs, as for `copgen sample`.
        device: of the generator.
        rounded: round the images to 8 bits, as in a folder.
    """

    def __init__(self, settings: SampleSettings, device: torch.device, *, rounded: bool) -> None:
        self.settings, self.rounded = settings, rounded
        self.models, self.plan = pair_source.open_source(settings, device)
        G = self.models.G
        self.channels: int = G.channels
        self.size: tuple[int, int] | None = (G.image_size, G.image_size)
        labelled = G.condition_kind in KINDS  # as of a folder
        self.labels = G.sample_condition(range(settings.n), settings.seed) if labelled else None
        self.labels = None if self.labels is None else self.labels.cpu()
        self.classes: tuple[str, ...] = ()
        self.inputs = {"online": self.plan.digest}
        self.transform_file = settings.walk if settings.transform == "steering" else settings.navigator

    def __len__(self) -> int:
        return self.settings.n

    def columns(self, samples: range, views: int) -> Tensor:
        """The anchor, then distinct positives at random."""
        return positives_at_random(samples, views, self.settings.positives, seed=self.settings.seed)

    @torch.no_grad()
    def batch(self, items: Tensor, columns: Tensor, device: torch.device) -> Tensor:
        """x or x' of items (K,), in batches of the generator's size."""
        each = self.settings.batch
        parts = [self._images(items[at : at + each], columns[at : at + each]) for at in range(0, len(items), each)]
        return torch.cat(parts).to(device)

    def _images(self, items: Tensor, columns: Tensor) -> Tensor:
        G, seed = self.models.G, self.settings.seed
        y = G.sample_condition(items, seed)
        z = G.sample_prior(items, seed)
        latents = z.clone()
        for column in sorted(set(columns.tolist())):
            if column:
                rows = (columns == column).to(z.device)
                transform = self.models.positives.transforms[column - 1]
                latents[rows] = transform(z, y, items)[rows]
        x = self.models.images(latents, y).float()
        return from_uint8(to_uint8(x, rounding=self.settings.rounding)) if self.rounded else x


def generator_of(pairs: Path) -> str:
    """The name of the generator of online pairs; errors as `online_settings`."""
    name = named(pairs)
    if by_file.is_generator(name):
        return by_file.named(name)[0]
    return name if _is_generator(name) else str(_navigated(Path(name))["generator"])


def named(pairs: Path) -> str:
    """The generator or the run after "online:".

    Raises:
        UsageError: there is nothing.
    """
    name = str(pairs).removeprefix(ONLINE)
    if not name:
        raise UsageError(f"{pairs} names nothing.", fix="Pass online:GENERATOR or online:RUN, such as online:digits.")
    return name


def _is_generator(name: str) -> bool:
    return name in (*generators.names(), *plugins.names()) or by_file.is_generator(name)


def online_settings(settings: PretrainSettings) -> SampleSettings:
    """What `copgen sample` would be told to write these pairs.

    Raises:
        UsageError: neither a generator nor a navigate run; a generator without a transform.
        DataError: a navigator that fails verification.
    """
    assert settings.pairs is not None
    name = named(settings.pairs)
    given: dict[str, Any] = {
        "n": settings.online_n,
        "seed": settings.seed,
        "positives": settings.positives,
        "device": settings.device,
        "weights": settings.weights,
        "std": settings.std,
    }
    if _is_generator(name):
        if settings.transform is None:
            raise UsageError(
                f"{settings.pairs} has no latent transform.",
                fix="Pass --transform, such as gaussian, or the navigate run: online:runs/navigate.",
            )
        given |= {"generator": name, "transform": settings.transform}
    else:
        of_run = _navigated(Path(name))
        chosen = {field: of_run[field] for field in GeneratorChoice.model_fields if field in of_run}
        given = {**chosen, **{key: value for key, value in given.items() if value is not None}}
        given |= {"navigator": Path(name), "transform": settings.transform or "optimal"}
    recipe = generators.entry(str(given["generator"])).recipe
    return resolve(SampleSettings, "sample", recipe=recipe, flags=given)


def _navigated(run: Path) -> dict[str, Any]:
    """The settings that a navigator was trained with."""
    file = navigator_file(run)
    if not file.exists():
        raise UsageError(
            f"{run} is neither a generator nor a navigate run ({file} is missing).",
            fix="Pass online:GENERATOR or online:RUN; copgen generator list shows the generators.",
        )
    _, header = load_navigator_with_header(file)
    settings = header.get("made_by", {}).get("settings", {})
    if "generator" not in settings:
        raise UsageError(
            f"{file} does not say which generator it was trained for.", fix="Sample pairs with copgen sample instead."
        )
    return dict(settings)
