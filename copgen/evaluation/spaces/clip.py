"""The spaces 'clip:FOLDER': the image embedding of CLIP (Radford et al. 2021), trained on images with captions.

The folder is one of a CLIP model on Hugging Face in the format of transformers: `config.json` and `model.safetensors`,
such as openai/clip-vit-base-patch32. Neither transformers nor open_clip is needed, and nothing in them is executed.

Legend: N images, T tokens, D width, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from copgen.evaluation.spaces.space import BLOCK, prepared
from copgen.runtime.errors import DataError, EnvironmentFault
from copgen.storage.files import read_object, sha256_of
from copgen.storage.foreign import read_foreign

ADDRESS = "https://huggingface.co/openai/clip-vit-base-patch32"
FILES = ("config.json", "model.safetensors")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Where config.json leaves them out, transformers takes these.
USUAL: dict[str, Any] = {"hidden_act": "quick_gelu", "num_attention_heads": 12, "layer_norm_eps": 1e-5}
EMBEDDINGS, LAYERS = "vision_model.embeddings", "vision_model.encoder.layers"


@dataclass(frozen=True, eq=False)
class ClipTower:
    """CLIP's image network, from its published tensors by their names.

    Attributes:
        tensors: those of the image network.
        heads: H.
        quick: x sigmoid(1.702 x), as in OpenAI's weights, instead of GELU.
        epsilon: of the layer norms.
    """

    tensors: Mapping[str, Tensor]
    heads: int
    quick: bool
    epsilon: float

    @property
    def size(self) -> int:
        """Side of its images, pixels."""
        patches = len(self.tensors[f"{EMBEDDINGS}.position_embedding.weight"]) - 1
        return math.isqrt(patches) * self.tensors[f"{EMBEDDINGS}.patch_embedding.weight"].shape[-1]

    @property
    def dim(self) -> int:
        """Of the embedding."""
        return len(self.tensors["visual_projection.weight"])

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len({name.split(".")[3] for name in self.tensors if name.startswith(LAYERS)})

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings (N, dim), not normalised, of images (N, 3, size, size) with mean and deviation of CLIP's."""
        kernel = self.tensors[f"{EMBEDDINGS}.patch_embedding.weight"]
        patches = F.conv2d(images, kernel, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
        first = self.tensors[f"{EMBEDDINGS}.class_embedding"].expand(len(images), 1, -1)
        x = torch.cat((first, patches), dim=1) + self.tensors[f"{EMBEDDINGS}.position_embedding.weight"]
        x = self._norm(x, "vision_model.pre_layrnorm")  # as it is spelled there
        for number in range(self.depth):
            layer = f"{LAYERS}.{number}"
            x = x + self._attention(self._norm(x, f"{layer}.layer_norm1"), f"{layer}.self_attn")
            inner = self._linear(self._norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
            inner = inner * torch.sigmoid(1.702 * inner) if self.quick else F.gelu(inner)
            x = x + self._linear(inner, f"{layer}.mlp.fc2")
        return F.linear(self._norm(x[:, 0], "vision_model.post_layernorm"), self.tensors["visual_projection.weight"])

    def _attention(self, x: Tensor, name: str) -> Tensor:
        """(N, T, D) to the same shape."""
        q, k, v = (
            self._linear(x, f"{name}.{part}_proj").view(*x.shape[:2], self.heads, -1).transpose(1, 2) for part in "qkv"
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self._linear(mixed.transpose(1, 2).flatten(2), f"{name}.out_proj")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.epsilon)


class ClipSpace:
    """CLIP's image embedding; images are resized to those of the network (bicubic), grey ones repeated."""

    def __init__(self, name: str, folder: Path, *, device: torch.device) -> None:
        self.tower = tower_of(folder, device)
        self.name, self.device, self.dim = name, device, self.tower.dim
        self.text = f"CLIP, {self.tower.depth} layers, images of {self.tower.size} pixels, from {folder}"
        self.inputs = {f"clip {file}": sha256_of(folder / file) for file in FILES}
        self.mean, self.std = (torch.tensor(rgb, device=device)[:, None, None] for rgb in (MEAN, STD))

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, dim)."""
        found = []
        for block in torch.split(images.to(self.device, torch.float32), BLOCK):
            ready = (prepared(block, size=self.tower.size, channels=3, mode="bicubic") + 1.0) / 2.0
            found.append(self.tower((ready - self.mean) / self.std))
        return torch.cat(found)


def open_clip(name: str, *, device: torch.device) -> ClipSpace:
    """The space 'clip:FOLDER', on a device.

    Raises:
        EnvironmentFault: a file is missing in the folder.
        DataError: they are not those of a CLIP model.
    """
    folder = Path(name.partition(":")[2])
    for file in FILES:
        if not (folder / file).is_file():
            raise EnvironmentFault(
                f"The feature space '{name}' needs {folder / file}, which is missing.",
                fix=f"Download {' and '.join(FILES)} of a CLIP model, such as {ADDRESS}, into that folder.",
            )
    return ClipSpace(name, folder, device=device)


def tower_of(folder: Path, device: torch.device) -> ClipTower:
    """The image network in a folder.

    Raises:
        DataError: the files are not those of a CLIP model.
    """
    known: dict[str, Any] = read_object(folder / FILES[0])
    vision = known.get("vision_config", known)
    vision = USUAL | (vision if isinstance(vision, dict) else {})
    heads, activation, epsilon = (vision[name] for name in ("num_attention_heads", "hidden_act", "layer_norm_eps"))
    state = read_foreign(folder / FILES[1])
    held = (
        {name: value for name, value in state.items() if isinstance(value, Tensor)} if isinstance(state, dict) else {}
    )
    tensors = {name: value.to(device, torch.float32) for name, value in held.items() if is_of_images(name)}
    tower = ClipTower(tensors, heads, activation == "quick_gelu", epsilon)
    missing = [name for name in names(tower.depth) if name not in tensors]
    width = len(tensors.get("vision_model.post_layernorm.bias", ()))
    if missing or type(heads) is not int or heads < 1 or width % heads or not isinstance(epsilon, float):
        what = f"{missing[0]} is missing" if missing else f"{heads} heads of {width} coordinates"
        raise DataError(f"{folder} does not hold a CLIP model of transformers: {what}.", fix=f"Get it from {ADDRESS}.")
    if activation not in ("quick_gelu", "gelu"):
        raise DataError(f"{folder / FILES[0]}: activation '{activation}' is not known.", fix=f"Use that of {ADDRESS}.")
    return tower


def is_of_images(name: str) -> bool:
    """Whether a tensor is one of the image network."""
    return name.startswith(("vision_model.", "visual_projection.")) and not name.endswith("position_ids")


def names(depth: int) -> Iterator[str]:
    """The tensors of an image network with this many layers, at least one."""
    yield from (f"{EMBEDDINGS}.{name}" for name in ("class_embedding", "patch_embedding.weight"))
    yield f"{EMBEDDINGS}.position_embedding.weight"
    yield "visual_projection.weight"
    places = ["vision_model.pre_layrnorm", "vision_model.post_layernorm"]
    parts = [*("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"), *(f"self_attn.{part}_proj" for part in "qkv")]
    for number in range(max(depth, 1)):
        places += [f"{LAYERS}.{number}.{part}" for part in (*parts, "self_attn.out_proj")]
    yield from (f"{place}.{kind}" for place in places for kind in ("weight", "bias"))
