"""The weight files that the generators' authors published: names, URLs, and hashes where they are known.

Every URL is from the authors' code or documentation, every hash was published with the file. copgen ships none of
these weights; `copgen generator fetch` downloads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["weights", "config", "instances"]


@dataclass(frozen=True)
class PublicFile:
    """One published file.

    Attributes:
        role: the network's weights (a file, or an archive of their folder), their configuration file, or the stored
            instances.
        name: the published file name.
        urls: download URLs, in order of preference.
        sha256: the published hash, or None.
        bytes: the exact size, or None.
        archive: whether it is a .tar.gz that contains the file or folder.
        inside: for an archive, the path in it to pass to `--weights` or `--instances`.
        required: whether the generator needs it.
    """

    role: Role
    name: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: int | None = None
    archive: bool = False
    inside: str | None = None
    required: bool = True


_RELEASES = "https://github.com/greeneggsandyaml/tmp/releases/download"
_BIGGAN = "https://s3.amazonaws.com/models.huggingface.co/biggan"
_ICGAN = "https://dl.fbaipublicfiles.com/ic_gan"
_INSTANCES = "imagenet_res128_rn50_selfsupervised_kmeans_k1000_instance_features.npy"

BIGBIGAN = (
    PublicFile(
        role="weights",
        name="BigBiGAN_x1.pth",
        urls=(f"{_RELEASES}/0.0.1/BigBiGAN_x1.pth", "https://www.dropbox.com/s/9w2i45h455k3b4p/BigBiGAN_x1.pth?dl=1"),
    ),
)


def biggan_deep(resolution: int, *, mirror: str | None = None, sha256: str | None = None) -> tuple[PublicFile, ...]:
    """The two files of BigGAN-deep at a resolution."""
    stem = f"biggan-deep-{resolution}"
    weights = f"{_BIGGAN}/{stem}-pytorch_model.bin"
    return (
        PublicFile(
            role="weights",
            name=f"{stem}-pytorch_model.bin",
            urls=(weights, mirror) if mirror else (weights,),
            sha256=sha256,
        ),
        PublicFile(role="config", name=f"{stem}-config.json", urls=(f"{_BIGGAN}/{stem}-config.json",)),
    )


BIGGAN_DEEP_128 = biggan_deep(
    128,
    mirror="https://huggingface.co/osanseviero/BigGAN-deep-128/resolve/main/pytorch_model.bin",
    sha256="b86146a8cfcde4cda135adba4b2806f78b3abe2dac9d0fd090cc3ab318604ad9",
)
ICGAN_128 = (
    PublicFile(
        role="weights",
        name="icgan_biggan_imagenet_res128.tar.gz",
        urls=(f"{_ICGAN}/icgan_biggan_imagenet_res128.tar.gz",),
        archive=True,
        inside="icgan_biggan_imagenet_res128",
    ),
    PublicFile(role="instances", name=_INSTANCES, urls=(f"{_RELEASES}/v0.0.2/{_INSTANCES}",), required=False),
    PublicFile(
        role="instances",
        name="stored_instances.tar.gz",
        urls=(f"{_ICGAN}/stored_instances.tar.gz",),
        archive=True,
        inside=f"stored_instances/{_INSTANCES}",
        required=False,
    ),
)
RESIDUAL_FLOW_MNIST = (
    PublicFile(
        role="weights",
        name="mnist_resflow_16-16-16.pth",
        urls=("https://github.com/rtqichen/residual-flows/releases/download/v1.0.0/mnist_resflow_16-16-16.pth",),
    ),
)
