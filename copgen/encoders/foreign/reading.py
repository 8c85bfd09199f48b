"""`load_foreign`: an encoder from a checkpoint of another program, with every tensor of its backbone checked.

A wrong prefix or a missing tensor is an error, never a partly random network. Heads and other networks in the file are
left out, and listed. Names and shapes do not tell everything: a bottleneck's stride is taken to be in its 3x3
convolution, as in all programs that `layouts` knows, and images to be RGB with the normalisation of `views`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from copgen import views as policies
from copgen.encoders.encoder import Encoder, EncoderConfig
from copgen.encoders.foreign.choice import choose, shortened
from copgen.encoders.foreign.networks import COUNTER, Network, groups, tensors_of
from copgen.encoders.resnet import ARCHITECTURES, Stem
from copgen.runtime.errors import DataError, unknown
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.storage.files import sha256_of
from copgen.storage.foreign import read_foreign
from copgen.storage.safetensors_file import opened
from copgen.storage.tensors import ENTRY, load_into

STAGE = "encoder import"
SIZE = 224  # pixels, of the images that published encoders were trained on
_STEMS: dict[int, Stem] = {7: "imagenet", 3: "small"}


def is_foreign(path: Path) -> bool:
    """Whether a path is a file that copgen did not write; a damaged safetensors file counts as copgen's."""
    if not path.is_file():
        return False
    if path.suffix != ".safetensors":
        return True
    try:
        with opened(path) as file:
            return ENTRY not in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


@path_errors()
def load_foreign(
    path: Path | str,
    *,
    arch: str | None = None,
    views: str | None = None,
    image_size: int = SIZE,
    prefix: str | None = None,
    events: Events | None = None,
) -> Encoder:
    """Load an encoder of another program onto the CPU; nothing in the file is executed.

    Args:
        path: a file of `torch.save` (.pth, .pt, .bin, ...) or a safetensors file.
        arch: the backbone; None: the one whose tensors have these names.
        views: the policy whose normalisation the encoder expects; None: "simclr" (ImageNet's mean and standard
            deviation) for three channels, else "mnist" (none).
        image_size: side of the training images, pixels; only recorded.
        prefix: of the network in the file, or the end of its prefix; None: the one that its program evaluates, such as
            MoCo's encoder_q, the online network of BYOL, DINO's teacher, timm's state_dict_ema.
        events: is told which network was taken, and what was left out.

    Returns:
        The encoder. Its `made_by` records the file and its sha256, the prefix, and what was left out.

    Raises:
        DataError: no file, not a checkpoint, no ResNet in it, several of equal rank, or tensors that are missing,
            unexpected, of another shape or type, or not finite; the error names them.
        UsageError: an unknown architecture, policy or prefix, or a policy for another number of channels.
    """
    path, events = Path(path), events or Silent()
    if arch is not None and arch not in ARCHITECTURES:
        raise unknown("encoder", arch, ARCHITECTURES)
    tensors = tensors_of(read_foreign(path), path)
    network = choose(tensors, path, arch=arch, prefix=prefix, events=events)
    config = config_of(network, tensors, path, views=views, image_size=image_size)
    with torch.device("meta"):
        backbone = config.build()
    own = {name: checked(name, expected, network, tensors, path) for name, expected in backbone.state_dict().items()}
    backbone = backbone.to_empty(device="cpu")
    load_into(backbone, own, path=path)
    unused = groups(tensors.keys() - set(map(network.spelled, own)), network.prefix)
    tell(network, config, unused, path, events)
    made_by = {
        "stage": STAGE,
        "source": {"file": path.name, "sha256": sha256_of(path)},
        "names": network.layout.name,
        "prefix": network.prefix,
        "not_used": unused,
    }
    return Encoder(backbone, config, made_by)


def config_of(
    network: Network, tensors: dict[str, Tensor], path: Path, *, views: str | None, image_size: int
) -> EncoderConfig:
    """The shape and input convention, from the weight of the first convolution: (width, channels, kernel, kernel)."""
    name = network.spelled("conv1.weight")
    shape = tuple(tensors[name].shape)
    stem = _STEMS.get(shape[-1]) if len(shape) == 4 and shape[2] == shape[3] and shape[1] > 0 else None
    if stem is None:
        raise DataError(f"{path}: tensor '{name}' has shape {shape}; expected a convolution of 7x7 or 3x3.")
    channels = shape[1]
    views = views or ("simclr" if channels == 3 else "mnist")
    policies.plain(torch.zeros(1, channels, 1, 1), policies.policy(views))
    return EncoderConfig(
        arch=network.arch,
        in_channels=channels,
        image_size=image_size,
        views=views,
        stem=None if stem == ARCHITECTURES[network.arch].stem else stem,
    )


def checked(name: str, expected: Tensor, network: Network, tensors: dict[str, Tensor], path: Path) -> Tensor:
    """A tensor of the checkpoint by copgen's name, in the type that the backbone has (float32)."""
    spelled = network.spelled(name)
    if name.endswith(COUNTER):
        return tensors.get(spelled, torch.zeros(())).reshape(-1)[:1].to(expected.dtype).reshape(())
    found = tensors[spelled]
    if found.shape != expected.shape:
        raise DataError(
            f"{path}: tensor '{spelled}' has shape {tuple(found.shape)}; {network.arch} has {tuple(expected.shape)}.",
            fix="It is another network, such as a wide ResNet or a ResNeXt.",
        )
    if not found.is_floating_point():
        raise DataError(f"{path}: tensor '{spelled}' is {found.dtype}, not floating point.")
    return found.to(expected.dtype)


def tell(network: Network, config: EncoderConfig, unused: dict[str, int], path: Path, events: Events) -> None:
    """Say what was taken, and what was left out."""
    where = f"at '{network.prefix}'" if network.prefix else "without a prefix"
    rest = shortened([f"{name} ({count} tensors)" if count > 1 else name for name, count in unused.items()])
    events.say(f"{path}: {config.arch} {where}, with names of {network.layout.name}. Not used: {rest or 'nothing'}.")
    if config.stem == "small":
        events.warn(
            f"{path} has a 3x3 stem, taken to have stride 1, padding 1 and no max-pool (SimCLR's for CIFAR-10). That "
            "of solo-learn has padding 2: its features differ slightly."
        )
