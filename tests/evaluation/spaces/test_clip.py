"""CLIP's image network against timm's in float64, from a folder as transformers writes it."""

from __future__ import annotations

import json
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from copgen.evaluation.spaces import open_space
from copgen.evaluation.spaces.clip import MEAN, STD, tower_of
from copgen.runtime.errors import CopgenError, DataError, EnvironmentFault, UsageError
from copgen.runtime.events import Silent

pytest.importorskip("timm")  # one of the oracles
CPU = torch.device("cpu")
WIDTH, HEADS, SIZE, PATCH, DIM = 64, 4, 32, 8, 24


def timm_network(activation: str) -> nn.Module:
    torch.manual_seed(0)
    layers, models = (import_module(f"timm.{name}") for name in ("layers", "models.vision_transformer"))
    network: nn.Module = models.VisionTransformer(
        img_size=SIZE,
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=2,
        num_heads=HEADS,
        num_classes=DIM,
        pre_norm=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-5),
        act_layer=layers.QuickGELU if activation == "quick_gelu" else nn.GELU,
    )
    for value in network.parameters():
        nn.init.normal_(value, std=0.2)
    nn.init.zeros_(network.get_parameter("head.bias"))
    return network.eval().double()


def published(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of timm's network under the names of transformers, with one of the text network."""
    state = {name: value.float() for name, value in network.state_dict().items()}
    found = {
        "vision_model.embeddings.class_embedding": state["cls_token"].flatten(),
        "vision_model.embeddings.patch_embedding.weight": state["patch_embed.proj.weight"],
        "vision_model.embeddings.position_embedding.weight": state["pos_embed"][0],
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
        "visual_projection.weight": state["head.weight"],
        "text_model.final_layer_norm.bias": torch.zeros(3),
    }
    renamed = {"norm_pre": "vision_model.pre_layrnorm", "norm": "vision_model.post_layernorm"}
    for number in range(2):
        ours, theirs = f"blocks.{number}", f"vision_model.encoder.layers.{number}"
        for part, other in (("norm1", "layer_norm1"), ("norm2", "layer_norm2"), ("attn.proj", "self_attn.out_proj")):
            renamed[f"{ours}.{part}"] = f"{theirs}.{other}"
        for part in ("mlp.fc1", "mlp.fc2"):
            renamed[f"{ours}.{part}"] = f"{theirs}.{part}"
        for kind in ("weight", "bias"):
            for part, value in zip("qkv", state[f"{ours}.attn.qkv.{kind}"].chunk(3), strict=True):
                found[f"{theirs}.self_attn.{part}_proj.{kind}"] = value
    found |= {
        f"{theirs}.{kind}": state[f"{ours}.{kind}"] for ours, theirs in renamed.items() for kind in ("weight", "bias")
    }
    return {name: value.contiguous().clone() for name, value in found.items()}


def write(folder: Path, tensors: dict[str, Tensor], **vision: object) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"vision_config": {"num_attention_heads": HEADS, **vision}}))
    return folder


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_it_is_timm_s(activation: str, tmp_path: Path) -> None:
    network = timm_network(activation)
    vision = {} if activation == "quick_gelu" else {"hidden_act": activation}  # the former may be left out
    folder = write(tmp_path / "clip", published(network), **vision)
    space = open_space(f"clip:{folder}", device=CPU, events=Silent())
    images = torch.rand(3, 3, SIZE, SIZE) * 2 - 1
    mean, std = (torch.tensor(rgb, dtype=torch.float64)[:, None, None] for rgb in (MEAN, STD))
    with torch.no_grad():
        wanted = network(((images.double() + 1) / 2 - mean) / std)
    assert space.dim == DIM
    assert torch.allclose(space(images).double(), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert space(torch.rand(2, 1, 8, 8)).shape == (2, DIM)  # grey, and of another size
    assert set(space.inputs) == {"clip config.json", "clip model.safetensors"}
    assert "2 layers, images of 32 pixels" in space.text


def test_files_that_are_missing_or_of_another_network(tmp_path: Path) -> None:
    def refused(error: type[CopgenError], *words: str) -> None:
        with pytest.raises(error) as caught:
            open_space(f"clip:{tmp_path / 'clip'}", device=CPU, events=Silent())
        assert all(word in str(caught.value) for word in words)

    refused(EnvironmentFault, "config.json", "https://")
    tensors = published(timm_network("gelu"))
    folder = write(tmp_path / "clip", tensors, num_attention_heads=5)
    refused(DataError, "5 heads")
    (folder / "config.json").write_text('{"vision_config": {"hidden_act": "relu", "num_attention_heads": 4}}')
    refused(DataError, "relu")
    del tensors["vision_model.encoder.layers.1.mlp.fc2.bias"]
    save_file(tensors, folder / "model.safetensors")
    refused(DataError, "layers.1.mlp.fc2.bias")
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    refused(DataError, "class_embedding")
    (folder / "model.safetensors").unlink()
    refused(EnvironmentFault, "model.safetensors")
    with pytest.raises(UsageError, match="clip:FOLDER"):
        open_space("clip", device=CPU, events=Silent())


def test_the_tower_is_on_the_device_in_float32(tmp_path: Path) -> None:
    tensors = {name: value.half() for name, value in published(timm_network("gelu")).items()}
    tower = tower_of(write(tmp_path / "clip", tensors), CPU)
    assert {value.dtype for value in tower.tensors.values()} == {torch.float32}
