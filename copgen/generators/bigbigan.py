"""BigBiGAN (Donahue and Simonyan 2019): unconditional ImageNet at 128x128, from the file named `BigBiGAN_x1.pth`.

The network is BigGAN's with a learned constant where BigGAN has a class. The file keeps it as row 0 of a class table
whose rows are all alike, so row 0 is used. A file whose rows differ is refused: it is a class-conditional BigGAN, whose
tensors have the same names and shapes.

Prior: z is a standard normal truncated at +-2, as the paper's navigator and GenRep draw it.
"""

from __future__ import annotations

from torch import Tensor, nn

from copgen.generators import biggan
from copgen.generators.biggan import BigGAN, BigGANConfig
from copgen.generators.folded_weights import PowerStepWeights
from copgen.generators.gan import GAN, compute_type
from copgen.generators.load_options import LoadOptions
from copgen.generators.state_dict_layout import dimensions, is_conditional, tensors_of
from copgen.generators.weights_files import Converted, Family, Sources, provenance, read_state, single_file
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError, UsageError

NAME = "bigbigan"
IMAGE_SIZE = 128
LICENCE = "none stated by the authors"
# The file does not record these; they are the values in the code that wrote it.
NORM_EPS = SPECTRAL_EPS = 1e-4


def _shapes(config: BigGANConfig) -> dict[str, tuple[int, ...]]:
    return biggan.shapes(config, class_width=config.shared)


FAMILY = Family("BigBiGAN", BigGANConfig, _shapes)


def convert(sources: Sources) -> Converted:
    """The checked content of `BigBiGAN_x1.pth`.

    Raises:
        DataError: missing, truncated, of another family or resolution, or with unexpected tensors.
    """
    path = single_file(sources.weights, "BigBiGAN_x1.pth", "*.pth", what="BigBiGAN checkpoint")
    tensors = tensors_of(read_state(path), path=path, family=FAMILY.name, mark="blocks.0.0.bn1.gain.weight")
    shared = dimensions(tensors, "shared.weight", 2, path=path)[1]
    config = biggan.read_config(tensors, shared=shared, norm_eps=NORM_EPS, spectral_eps=SPECTRAL_EPS, path=path)
    if config.image_size != IMAGE_SIZE:
        raise DataError(
            f"{path} generates images of {config.image_size}x{config.image_size} pixels ({config.blocks} blocks); "
            f"'{NAME}' generates {IMAGE_SIZE}x{IMAGE_SIZE}."
        )
    header = provenance([path], name=NAME, prior=Prior(kind="truncated_normal"), licence=LICENCE)
    ignored = biggan.singular_value_logs(tensors)
    return FAMILY.converted(tensors, config, path=path, ignored=ignored, header=header)


def load(sources: Sources, options: LoadOptions) -> BigBiGAN:
    """The generator in a published or converted file.

    Raises:
        DataError: as `convert`, and for a converted file that does not verify.
        UsageError: an option that it does not support.
    """
    options.refuse(NAME, inverse=options.inverse, instances=sources.instances, parameters=sources.parameters)
    content, config = FAMILY.open(sources, convert, name=NAME)
    if is_conditional(content.tensors):  # imported by a version that did not look
        raise DataError(
            f"{sources.weights} was imported from a class-conditional BigGAN (the rows of 'shared.weight' differ); "
            f"it does not hold a {FAMILY.name}.",
            fix="Import BigBiGAN_x1.pth in its place.",
        )
    return BigBiGAN(content, config, options)


class BigBiGAN(GAN):
    """G: z (N, 120) to images (N, 3, 128, 128) in (-1, 1), unconditional."""

    constant: Tensor

    def __init__(self, content: Converted, config: BigGANConfig, options: LoadOptions) -> None:
        super().__init__(content, options, latent_dim=config.latent_dim, image_size=config.image_size)
        self.latent_blocks = (config.chunk,) * (config.blocks + 1)
        channels_last = options.memory_format == "channels_last"
        weights = PowerStepWeights(
            content.tensors, eps=config.spectral_eps, dtype=compute_type(options), channels_last=channels_last
        )
        self.network = BigGAN(weights, config)
        self.register_buffer("constant", weights.small("shared.weight")[:1].clone())
        self.eval()

    def segments(self) -> list[nn.Module]:
        return list(self.network.blocks)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            raise UsageError(f"'{self.name}' is unconditional, but a condition was given.")
        z = self.check_latent(z)
        images: Tensor = self.network(z, self.constant.expand(z.shape[0], -1))
        return images
