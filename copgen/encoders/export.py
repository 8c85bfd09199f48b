"""Files of encoders for torchvision, timm and detectron2, and how each of them loads its file.

torchvision and timm name the tensors of a ResNet as copgen does. Their file has no classifier `fc`: replaced by an
identity (`num_classes=0` in timm), the network loads strictly. detectron2 has names of its own.
"""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from copgen import views
from copgen.encoders.encoder import Encoder, EncoderConfig, save_encoder
from copgen.encoders.resnet import ARCHITECTURES
from copgen.runtime.errors import UsageError, unknown
from copgen.storage.files import write_bytes
from copgen.views.policies import Normalisation

FORMATS = {
    "torchvision": (".safetensors", ".pth", ".pt"),
    "timm": (".safetensors", ".pth", ".pt"),
    "detectron2": (".pkl", ".pth"),
}
DEPTHS = {"resnet18": 18, "resnet34": 34, "resnet50": 50}


def export_encoder(encoder: Encoder, out: Path, *, to: str) -> None:
    """Write an encoder for another program, atomically.

    Args:
        encoder: a ResNet-18, 34 or 50.
        out: the file. Its suffix chooses the container: .safetensors (with copgen's header, which copgen reads back),
            .pth or .pt (`torch.save` of tensors), or, for detectron2, .pkl (a pickle of numpy arrays, as its
            converters write it).
        to: torchvision, timm or detectron2.

    Raises:
        UsageError: as `check_export`.
        EnvironmentFault: `out` cannot be written.
    """
    check_export(encoder.config, out, to=to)
    if out.suffix == ".safetensors":
        save_encoder(out, encoder.backbone, encoder.config, encoder.made_by)
        return
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in encoder.backbone.state_dict().items()}
    content: dict[str, Any] = tensors
    if to == "detectron2":
        renamed = {detectron2_name(name): tensor for name, tensor in tensors.items()}
        content = {"model": renamed, "__author__": "copgen", "matching_heuristics": True}
    if out.suffix == ".pkl":
        arrays = {name: tensor.numpy() for name, tensor in content["model"].items()}
        write_bytes(out, pickle.dumps({**content, "model": arrays}, protocol=2))
        return
    stream = io.BytesIO()
    torch.save(content, stream)
    write_bytes(out, stream.getvalue())


def check_export(config: EncoderConfig, out: Path, *, to: str) -> None:
    """Refuse what a program does not have.

    Raises:
        UsageError: an unknown program, a suffix that it does not read, or an encoder that it cannot build.
    """
    if to not in FORMATS:
        raise unknown("export format", to, FORMATS)
    if out.suffix not in FORMATS[to]:
        raise UsageError(
            f"--out {out}: a file for {to} ends with {' or '.join(FORMATS[to])}.",
            fix=f"Pass --out {out.with_suffix(FORMATS[to][0])}." if out.name else "",
        )
    if config.arch not in DEPTHS:
        raise UsageError(f"{to} has no encoder '{config.arch}'.", fix=f"It has {', '.join(DEPTHS)}.")
    if to == "detectron2" and (stem_of(config) != "imagenet" or config.in_channels not in (1, 3)):
        raise UsageError(
            f"detectron2 has no ResNet with the stem '{stem_of(config)}' and {config.in_channels} channels.",
            fix="Its stem is that of ImageNet, for 1 or 3 channels.",
        )


def detectron2_name(name: str) -> str:
    """The name of a tensor in detectron2, by the rule of its `tools/convert-torchvision-to-d2.py`."""
    name = re.sub(r"\bbn(\d)\.", r"conv\1.norm.", name)
    name = name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    stage = re.match(r"layer(\d)\.", name)
    return f"res{int(stage[1]) + 1}.{name[stage.end() :]}" if stage else f"stem.{name}"


def stem_of(config: EncoderConfig) -> str:
    """The stem of an encoder: imagenet or small."""
    return config.stem or ARCHITECTURES[config.arch].stem


def normalisation_of(config: EncoderConfig) -> Normalisation:
    """The mean and standard deviation that its images are normalised with, for pixels in [0, 1]."""
    found = views.policy(config.views).normalise
    channels = config.in_channels
    return found or Normalisation(mean=(0.0,) * channels, std=(1.0,) * channels)


def usage(config: EncoderConfig, out: Path, *, to: str) -> list[str]:
    """How the program loads the file: lines of Python that define `model`, or of a detectron2 configuration (YAML)."""
    if to == "detectron2":
        return configuration(config, out)
    stem = "torch.nn.Conv2d({}, 64, 3, padding=1, bias=False)" if stem_of(config) == "small" else ""
    if to == "timm":
        lines = ["import timm, torch"]
        channels = f", in_chans={config.in_channels}" if config.in_channels != 3 else ""
        lines.append(f'model = timm.create_model("{config.arch}", num_classes=0{channels})')
    else:
        lines = ["import torch, torchvision", f"model = torchvision.models.{config.arch}()"]
        lines.append("model.fc = torch.nn.Identity()")
        if config.in_channels != 3:
            stem = stem or "torch.nn.Conv2d({}, 64, 7, stride=2, padding=3, bias=False)"
    if stem:
        lines.append(f"model.conv1 = {stem.format(config.in_channels)}")
    if stem_of(config) == "small":
        lines.append("model.maxpool = torch.nn.Identity()")
    if out.suffix == ".safetensors":
        lines[0] += "; from safetensors.torch import load_file"
        return [*lines, f"model.load_state_dict(load_file({str(out)!r}))"]
    return [*lines, f"model.load_state_dict(torch.load({str(out)!r}, weights_only=True))"]


def configuration(config: EncoderConfig, out: Path) -> list[str]:
    """The lines of a detectron2 configuration: its pixels are in [0, 255], and its defaults are BGR and the 1x1 stride.

    Source: `tools/convert-torchvision-to-d2.py` of detectron2; MoCo's detection configuration.
    """
    numbers = normalisation_of(config)
    mean, std = (", ".join(f"{255 * value:.6g}" for value in values) for values in (numbers.mean, numbers.std))
    basic = ARCHITECTURES[config.arch].block == "basic"
    return [
        "MODEL:",
        f"  WEIGHTS: {json.dumps(str(out))}",
        f"  PIXEL_MEAN: [{mean}]",
        f"  PIXEL_STD: [{std}]",
        "  RESNETS:",
        f"    DEPTH: {DEPTHS[config.arch]}",
        *(["    RES2_OUT_CHANNELS: 64"] if basic else []),
        "    STRIDE_IN_1X1: False",
        "INPUT:",
        f'  FORMAT: "{"RGB" if config.in_channels == 3 else "L"}"',
    ]
