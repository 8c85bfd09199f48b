"""The registered generators: published files, licence and recipe of each, and how it is loaded and imported.

An importer uses an entry like this:

    known = entry("bigbigan")                                # UsageError for an unknown name
    known.files, known.licence                               # what was published: names, URLs, sha256; terms
    converted = known.convert(Sources(weights=Path("BigBiGAN_x1.pth")))       # DataError names file, key and value
    save_tensors(out, converted.tensors, kind="generator", header=converted.header)

`convert` reads and checks everything (keys, shapes, finite values) and writes nothing; `known.load` reads both the
published and the converted file. `Sources` has the instances of an IC-GAN too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from copgen.generators import bigbigan, biggan_deep, by_file, icgan, plugins, public_files, weights_directory
from copgen.generators.conditions import Conditions
from copgen.generators.load_options import Inverse, LoadOptions, MemoryFormat, Precision, PriorKind
from copgen.generators.protocol import Generator
from copgen.generators.public_files import PublicFile
from copgen.generators.residual_flow import mnist
from copgen.generators.residual_flow.generator import DIGITS, FITTED, loader
from copgen.generators.small_gan.generator import load_gan
from copgen.generators.weights_files import Convert, Parameters, Sources
from copgen.runtime.errors import EnvironmentFault, UsageError, unknown
from copgen.runtime.path_errors import path_errors

Load = Callable[[Sources, LoadOptions], Generator]
_NO_LICENCE = "none stated by the authors"
_NON_COMMERCIAL = "CC BY-NC 4.0: for non-commercial use only"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A registered generator.

    Attributes:
        about: a one-line description.
        recipe: the name of its recipe.
        load: sources and options -> the generator, in evaluation mode on the CPU.
        convert: published files -> the content that `copgen generator import` writes; None if nothing was published.
        files: the published files; files with the same role are alternatives.
        licence: of its weights.
        embedded: the weights file that ships with copgen.
        has_priors: whether the distribution of z can be chosen.
    """

    about: str
    recipe: str
    load: Load
    convert: Convert | None = None
    files: tuple[PublicFile, ...] = ()
    licence: str = ""
    embedded: str | None = None
    has_priors: bool = True


def _biggan_deep(resolution: int) -> Entry:
    name = f"biggan-deep-{resolution}"
    return Entry(
        about=f"BigGAN-deep, class-conditional ImageNet at {resolution}x{resolution}",
        recipe="biggan-deep-128",
        load=biggan_deep.loader(name, resolution),
        convert=biggan_deep.converter(name, resolution),
        files=public_files.BIGGAN_DEEP_128 if resolution == 128 else public_files.biggan_deep(resolution),
        licence=_NO_LICENCE,
    )


KNOWN = {
    "digits": Entry(
        about="Residual Flow on scikit-learn's 8x8 digits; the weights come with copgen",
        recipe="digits",
        load=loader(DIGITS),
        licence="that of copgen",
        embedded="digits.safetensors",
        has_priors=False,
    ),
    "bigbigan": Entry(
        about="BigBiGAN, unconditional ImageNet at 128x128",
        recipe="bigbigan",
        load=bigbigan.load,
        convert=bigbigan.convert,
        files=public_files.BIGBIGAN,
        licence=_NO_LICENCE,
    ),
    "biggan-deep-128": _biggan_deep(128),
    "biggan-deep-256": _biggan_deep(256),
    "biggan-deep-512": _biggan_deep(512),
    "gan": Entry(
        about="small GAN that `copgen generator fit` trained; pass its file or run folder as the generator",
        recipe="gan",
        load=load_gan,
        licence="that of whoever trained it",
    ),
    "icgan-128": Entry(
        about="IC-GAN on BigGAN, ImageNet at 128x128, conditioned on instances",
        recipe="icgan-128",
        load=icgan.load,
        convert=icgan.convert,
        files=public_files.ICGAN_128,
        licence=_NON_COMMERCIAL,
    ),
    "residual-flow": Entry(
        about="Residual Flow that `copgen generator fit` fitted; pass its file or run folder as the generator",
        recipe="residual-flow",
        load=loader(FITTED),
        licence="that of whoever fitted it",
        has_priors=False,
    ),
    "residual-flow-mnist": Entry(
        about="Residual Flow on MNIST, 28x28",
        recipe="residual-flow-mnist",
        load=mnist.load,
        convert=mnist.convert,
        files=public_files.RESIDUAL_FLOW_MNIST,
        licence="MIT, the terms of its repository",
        has_priors=False,
    ),
}


def names() -> list[str]:
    """The registered names, sorted; those of plug-ins are `plugins.names()`."""
    return sorted(KNOWN)


def entry(name: str) -> Entry:
    """The entry of a registered generator, of the one in a file or run folder, or of an installed plug-in.

    Raises:
        UsageError: unknown name; the remedy suggests the closest one.
        DataError: as `by_file.named`.
    """
    if name in KNOWN:
        return KNOWN[name]
    if name in plugins.names():
        return Entry(
            about=plugins.about(name),
            recipe="plugin",
            load=lambda sources, options: plugins.load(name, sources.weights, options),
        )
    if by_file.is_path(name):
        return entry(by_file.named(name)[0])
    if name and Path(name).is_dir():
        raise UsageError(f"There is no generator '{name}'.", fix=f"For the folder of that name, pass ./{name}.")
    raise unknown("generator", name, [*names(), *plugins.names()])


def embedded_weights(name: str) -> Path | None:
    """The weights file that ships with copgen, or None."""
    file = entry(name).embedded
    return Path(str(resources.files("copgen") / "generators" / "weights" / file)) if file else None


def known_weights(name: str) -> Path:
    """The default weights of a generator: those that ship with copgen, or those in the weights directory.

    Raises:
        EnvironmentFault: there are none; the remedy says where to get them and how to import them.
    """
    found = embedded_weights(name) or weights_directory.find(name, entry(name).files)
    if found is not None:
        return found
    file = next((file for file in entry(name).files if file.role == "weights"), None)
    if file is None:
        raise EnvironmentFault(
            f"'{name}' has no default weights.",
            fix="Train one with copgen generator fit mnist, and pass its run folder as the generator.",
        )
    raise EnvironmentFault(
        f"There are no weights of '{name}' in {weights_directory.weights_directory()}.",
        fix=f"Run copgen generator fetch {name}. Or download {file.name} ({file.urls[0]}) and run "
        f"copgen generator import {name} {file.inside or file.name}. Or pass the file with --weights.",
    )


@path_errors()
def load(
    name: str,
    *,
    weights: str | Path | None = None,
    instances: str | Path | None = None,
    prior: PriorKind | None = None,
    truncation: float | None = None,
    threshold: float | None = None,
    inverse: Inverse | None = None,
    parameters: Parameters | None = None,
    precision: Precision = "float32",
    memory_format: MemoryFormat = "contiguous",
    conditions: Conditions | None = None,
    device: str | torch.device = "cpu",
) -> Generator:
    """The generator `name`, frozen and in evaluation mode.

    Args:
        name: a registered name, such as 'bigbigan', or that of an installed plug-in; or the path of a weights file of
            copgen, or of the run folder that holds it, in place of name and weights.
        weights: the published file or folder, or the converted file; None: the ones shipped with copgen or imported.
        instances: stored instances of an IC-GAN, if they are not in the folder of its weights.
        prior: of z, 'normal' or 'truncated_normal'; None: the default of the generator.
        truncation: the scale t of z = t * (standard normal within +-threshold); it also selects the batch statistics
            of BigGAN-deep.
        threshold: the bound before scaling, 2 by default.
        inverse: of a flow: 'tight' (items of a batch do not influence each other) or 'reference'.
        parameters: of a flow's published file: 'ema' (the default) or 'raw'.
        precision: 'float32', 'bfloat16' (autocast, with float32 images) or 'float64'.
        memory_format: 'contiguous' or 'channels_last', of convolutions.
        conditions: how the conditions of pairs are drawn; None: uniformly.
        device: the device to run on.

    Raises:
        UsageError: unknown name, or an option or value that this generator does not support.
        DataError: the weights are missing, truncated, in another format, or of another network.
        EnvironmentFault: there are no weights for it on this machine.
    """
    if by_file.is_path(name):
        given = by_file.with_weights({"generator": name, "weights": weights})
        name, weights = given["generator"], given["weights"]
    known = entry(name)
    options = LoadOptions(
        prior=prior,
        truncation=truncation,
        threshold=threshold,
        inverse=inverse,
        precision=precision,
        memory_format=memory_format,
    )
    if weights is None and name not in KNOWN:
        G = plugins.load(name, None, options)
    else:
        sources = Sources(
            weights=known_weights(name) if weights is None else Path(weights),
            instances=None if instances is None else Path(instances),
            parameters=parameters,
        )
        G = known.load(sources, options)
    if conditions is not None:
        G.choose_conditions(conditions)
    return G.to(device)
