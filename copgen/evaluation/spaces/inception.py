"""The space 'inception': the network of FID and of the Inception Score, by torch-fidelity, from weights found locally.

TensorFlow's Inception of 2015 with 2,048 features and 1,008 classes; images are rounded to 8 bits and resized as in
TensorFlow 1, which published scores depend on. The weights are read without executing anything in their file.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from copgen.data.batches import in_colours
from copgen.evaluation.spaces.published import PublishedWeights
from copgen.evaluation.spaces.space import BLOCK
from copgen.pairs.pixels import to_uint8
from copgen.runtime.errors import EnvironmentFault
from copgen.storage.foreign import read_foreign

NAME, FEATURES, CLASSES = "inception", 2048, 1008
WEIGHTS = PublishedWeights(
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    also=("pt_inception-2015-12-05-6726825d.pth",),
)


class InceptionSpace:
    """The 2,048 features before the classifier; grey images are repeated."""

    name, dim = NAME, FEATURES
    text = "Inception (2015) trained on ImageNet, the network of FID, by torch-fidelity"

    def __init__(self, file: Path, *, device: torch.device) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.device = device
        self.inputs = {WEIGHTS.file: WEIGHTS.sha256}
        # torch-fidelity unpickles what it is given: it gets a copy of the tensors alone, written here.
        copy = io.BytesIO()
        torch.save({name: tensor for name, tensor in read_foreign(file).items() if isinstance(tensor, Tensor)}, copy)
        copy.seek(0)
        extractor = FeatureExtractorInceptionV3(NAME, [str(FEATURES)], feature_extractor_weights_path=copy)
        self.network: torch.nn.Module = extractor.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, 2048)."""
        found: list[Tensor] = []
        for block in torch.split(images.to(self.device, torch.float32), BLOCK):
            found += self.network(in_colours(to_uint8(block), 3).contiguous())
        return torch.cat(found)

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """(N, 1008), without the bias, as the Inception Score is computed."""
        weight = self.network.get_submodule("fc").get_parameter("weight")
        return features.to(self.device, torch.float32) @ weight.T


def check_inception() -> Path:
    """The file of weights.

    Raises:
        EnvironmentFault: the weights or the package torch-fidelity are missing.
        DataError: the file differs from the published one.
    """
    file = WEIGHTS.find(NAME)
    if find_spec("torch_fidelity") is None:
        raise EnvironmentFault(
            f"The feature space {NAME} needs the package torch-fidelity.", fix="Run: pip install 'copgen[eval]'."
        )
    return file


def open_inception(*, device: torch.device) -> InceptionSpace:
    """The space, on a device; errors as `check_inception`."""
    return InceptionSpace(check_inception(), device=device)
