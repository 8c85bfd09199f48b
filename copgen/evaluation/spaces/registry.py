"""The feature spaces by name."""

from __future__ import annotations

import torch

from copgen.evaluation.spaces.clip import ADDRESS, open_clip
from copgen.evaluation.spaces.dinov2 import WEIGHTS, open_dinov2
from copgen.evaluation.spaces.efficientnet import open_efficientnet
from copgen.evaluation.spaces.inception import open_inception
from copgen.evaluation.spaces.pixels import Pixels
from copgen.evaluation.spaces.space import FeatureSpace
from copgen.evaluation.spaces.trained_encoder import open_encoder
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.events import Events

ENCODER, DINO, CLIP = "encoder", "dinov2", "clip"
# Name -> what it is, for help and messages.
SPACES = {
    "inception": "the network of FID and the Inception Score; weights to be downloaded",
    "dinov2": "DINOv2 ViT-L/14, also dinov2-base and dinov2-small; weights to be downloaded",
    "dinov2:FILE": "a DINOv2 network of any size from a file",
    "clip:FOLDER": "the image embedding of a CLIP model in a folder of Hugging Face",
    "efficientnet-lite0": "an ImageNet classifier that comes as a package",
    "encoder:PATH": "the features of an encoder file, or of a pretrain run",
    "pixels": "16 x 16 pixels, without weights",
}


def open_space(name: str, *, device: torch.device, events: Events) -> FeatureSpace:
    """A feature space by name, with its weights on the device.

    Args:
        name: of `SPACES`; PATH stands for an encoder file or a run folder.
        device: of the network and of the features.
        events: is told what was read from a file of another program.

    Raises:
        UsageError: an unknown name, or no path.
        EnvironmentFault: weights or a package are missing; the error names file, sha256 and address or package.
        DataError: a file that fails verification.
    """
    check_space(name)
    kind, _, path = name.partition(":")
    if kind == ENCODER:
        return open_encoder(name, path, device=device, events=events)
    if kind == CLIP:
        return open_clip(name, device=device)
    if kind in WEIGHTS:
        return open_dinov2(name, device=device)
    if name == "inception":
        return open_inception(device=device)
    return Pixels(device) if name == "pixels" else open_efficientnet(device=device)


def check_space(name: str) -> None:
    """Refuse a name that is no feature space; no weights are looked for.

    Raises:
        UsageError: an unknown name, or no path.
    """
    kind, colon, path = name.partition(":")
    if kind == ENCODER:
        if not path:
            raise UsageError(f"The feature space '{name}' names no encoder.", fix="Pass encoder:runs/pretrain.")
    elif kind == CLIP:
        if not path:
            raise UsageError(f"The feature space '{name}' names no folder.", fix=f"Pass clip:FOLDER, with {ADDRESS}.")
    elif colon and (kind != DINO or not path):
        raise UsageError(f"The feature space '{kind}' takes no file.", fix=f"Pass {kind}.")
    elif kind not in {*SPACES, *WEIGHTS}:
        raise unknown("feature space", name, {*SPACES, *WEIGHTS})
