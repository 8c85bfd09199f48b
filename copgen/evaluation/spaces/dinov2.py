"""The spaces 'dinov2': the class token of DINOv2 (Oquab et al. 2023), trained on photos without labels.

'dinov2' is the ViT-L/14 of Stein et al. (2023), whose Fréchet distances agree better with people than FID does;
'dinov2-base' and 'dinov2-small' are quicker. The weights are found locally, and nothing in their files is executed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from copgen.evaluation.spaces.published import PublishedWeights
from copgen.evaluation.spaces.space import BLOCK, prepared
from copgen.evaluation.spaces.vit import PATCH, VisionTransformer
from copgen.runtime.errors import DataError
from copgen.storage.files import sha256_of
from copgen.storage.foreign import read_foreign
from copgen.storage.tensors import load_into

SIZE = 224  # 16 x 16 patches
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OTHERS = ("mask_token",)  # used in its training alone


def _weights(letter: str, sha256: str) -> PublishedWeights:
    name = f"dinov2_vit{letter}14"
    file = f"{name}_pretrain.pth"
    return PublishedWeights(file, sha256, f"https://dl.fbaipublicfiles.com/dinov2/{name}/{file}")


WEIGHTS = {
    "dinov2": _weights("l", "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
    "dinov2-base": _weights("b", "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    "dinov2-small": _weights("s", "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
}


class DinoSpace:
    """The class token; images are resized to 224 x 224 (bicubic), grey ones repeated."""

    def __init__(self, name: str, file: Path, *, device: torch.device) -> None:
        network = network_of(file)
        self.name, self.device = name, device
        self.dim = network.cls_token.shape[-1]
        self.text = f"DINOv2 ViT/14, {len(network.blocks)} blocks, trained on photos without labels, from {file.name}"
        self.inputs = {file.name: sha256_of(file)}
        self.network = network.to(device)
        self.mean, self.std = (torch.tensor(rgb, device=device)[:, None, None] for rgb in (MEAN, STD))

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, dim)."""
        found = []
        for block in torch.split(images.to(self.device, torch.float32), BLOCK):
            ready = (prepared(block, size=SIZE, channels=3, mode="bicubic") + 1.0) / 2.0
            found.append(self.network((ready - self.mean) / self.std))
        return torch.cat(found)


def check_dinov2(name: str) -> Path:
    """The file of a space: the one that 'dinov2:FILE' names, or published weights.

    Raises:
        EnvironmentFault: the weights are missing.
        DataError: the published file has another content, or there is no such file.
    """
    if name in WEIGHTS:
        return WEIGHTS[name].find(name)
    file = Path(name.partition(":")[2])
    if not file.is_file():
        raise DataError(f"There is no file {file} of DINOv2's weights.", fix="Check the path.")
    return file


def open_dinov2(name: str, *, device: torch.device) -> DinoSpace:
    """The space 'dinov2', 'dinov2-base', 'dinov2-small' or 'dinov2:FILE', on a device; errors as `check_dinov2`."""
    return DinoSpace(name, check_dinov2(name), device=device)


def network_of(file: Path) -> VisionTransformer:
    """The network of a file of `torch.save` or safetensors, with DINOv2's or timm's names; frozen.

    Raises:
        DataError: it does not hold DINOv2's tensors, of any width and depth.
    """
    state = read_foreign(file)
    held = state if isinstance(state, dict) else {}
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor) and name not in OTHERS}
    position, patches = tensors.get("pos_embed"), tensors.get("patch_embed.proj.weight")
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    fits = position is not None and position.dim() == 3 and position.shape[2] % 64 == 0
    if position is None or not fits or patches is None or patches.shape[-2:] != (PATCH, PATCH):
        raise DataError(f"{file} does not hold a DINOv2 network with patches of {PATCH} pixels.", fix="Check the file.")
    with torch.device("meta"):
        network = VisionTransformer(
            width=position.shape[2], depth=depth, positions=round((position.shape[1] - 1) ** 0.5)
        )
    network = network.to_empty(device="cpu").eval().requires_grad_(False)
    load_into(network, tensors, path=file)
    return network
