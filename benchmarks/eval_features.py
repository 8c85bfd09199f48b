"""Features of real images for the benchmark of nearest neighbours: CIFAR-10, 50,000 and 10,000 images, 512 dimensions.

The encoder is a ResNet-18. Without a run of pretraining it is untrained, from seed 0: anybody gets the same features in
three minutes. Its convolutions and pools make features of low effective rank, as those of trained encoders are.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from copgen import encoders
from copgen.data.batches import batches
from copgen.data.datasets import open_dataset
from copgen.encoders import Encoder, EncoderConfig
from copgen.encoders.encoder import encoder_file
from copgen.evaluation.features import features_of
from copgen.storage.files import sha256_of
from copgen.storage.tensors import load_kept, load_tensors, save_tensors

SIDE = 32
KIND = "benchmark"


def encoder(run: Path | None) -> tuple[Encoder, str]:
    """That of a run, or the untrained one; and what it is in words."""
    if run is not None:
        return encoders.load(run), f"the encoder {sha256_of(encoder_file(run))[:10]}"
    torch.manual_seed(0)
    config = EncoderConfig(arch="resnet18", in_channels=3, image_size=SIDE, views="simclr")
    return Encoder(encoders.build("resnet18"), config), "an untrained ResNet-18"


def cifar10(root: Path, run: Path | None = None) -> tuple[Path, str]:
    """A file of the features, made unless it is there, and what they are of.

    Args:
        root: the folder of the datasets.
        run: a run of pretraining; None: an untrained encoder.
    """
    network, name = encoder(run)
    sources = [open_dataset("cifar10", split, root=root) for split in ("train+validation", "test")]
    key = f"{name} {[source.inputs for source in sources]} {torch.__version__}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    file = Path(tempfile.gettempdir()) / f"copgen-benchmark-cifar10-{digest[:10]}.safetensors"
    if load_kept(file, kind=KIND, key=digest) is None:
        tensors = {}
        for part, source in zip(("bank", "queries"), sources, strict=True):
            tensors[part] = features_of(network, batches(source, size=SIDE, batch=256, workers=1))
            if part == "bank" and source.labels is not None:
                tensors["labels"] = source.labels
        save_tensors(file, tensors, kind=KIND, header={"key": digest})
    return file, f"features of {name}"


def read(file: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Bank, its labels, and queries."""
    tensors = load_tensors(file, kind=KIND)[0]
    return tensors["bank"], tensors["labels"], tensors["queries"]
