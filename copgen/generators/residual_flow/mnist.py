"""The public Residual Flow on MNIST (Chen et al. 2019), from the file named `mnist_resflow_16-16-16.pth`.

It is a training checkpoint: `state_dict`, `ema` (an object whose `shadow_params` are the averaged parameters) and
`args`. Its authors sample with the average, after one refinement of every layer's singular vectors; so does this.

Renaming: its last scale has no flattening step, so the steps after it have an index one higher in our model; the
layers of its linear blocks are nested twice, their norms once; and it stores training statistics, which we drop.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from copgen.generators.load_options import LoadOptions
from copgen.generators.residual_flow.config import FlowConfig
from copgen.generators.residual_flow.generator import FAMILY, FlowGenerator, build_flow
from copgen.generators.residual_flow.lipschitz import SpectralBound
from copgen.generators.residual_flow.model import ResidualFlow
from copgen.generators.state_dict_layout import check, dimensions, network_of
from copgen.generators.weights_files import (
    Converted,
    Provenance,
    Sources,
    is_converted,
    provenance,
    read_state,
    single_file,
)
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError, UsageError, unknown
from copgen.storage.foreign import Opaque
from copgen.storage.tensors import load_tensors

NAME = "residual-flow-mnist"
IMAGE_SIZE = 28
LICENCE = "MIT, the terms of its repository"
_TRAINING = re.compile(r".*\.(geom_p|lamb|last_n_samples|last_firmom|last_secmom|scale|spatial_dims)")
_CONV_INITIALIZED = re.compile(r".*\.nnet\.\d+\.initialized")
_BUFFER = "transforms.0.chain.2.nnet.0.v"  # in a state, and not in an average, which has parameters alone
_REFINEMENT = 1e-3  # absolute and relative; the published code's default
_MOST_ROUNDS = 200


def renamed(name: str, *, flatten_at: int) -> str | None:
    """Our name of one of its tensors; None for training statistics. The flattening step is at (2, flatten_at)."""
    if _TRAINING.fullmatch(name) or _CONV_INITIALIZED.fullmatch(name):
        return None
    parts = name.replace(".nnet.nnet.", ".nnet.").replace(".fc_module.", ".").split(".")
    if len(parts) > 3 and parts[0] == "transforms" and parts[1] == "2" and parts[3].isdigit():
        place = int(parts[3])
        parts[3] = str(place + 1 if place >= flatten_at else place)
    return ".".join(parts)


def _attributes(value: Any) -> Mapping[str, Any]:
    """The attributes of an object whose class is not available."""
    if isinstance(value, Opaque):
        return value.state
    return value if isinstance(value, Mapping) else {}


def read_config(tensors: Mapping[str, Tensor], args: Mapping[str, Any], *, path: Path) -> FlowConfig:
    """The architecture, from the shapes and from the arguments recorded in the checkpoint.

    Raises:
        DataError: a tensor that a width is read from is missing, or it is another kind of flow.
    """
    for key, here in (
        ("factor_out", False),
        ("preact", True),
        ("actnorm", True),
        ("act", "swish"),
        ("kernels", "3-1-3"),
    ):
        if args.get(key, here) != here:
            raise DataError(f"{path}: args.{key} is {args[key]!r}; expected {here!r}.")
    blocks = [0, 0, 0]
    for name in tensors:
        if found := re.fullmatch(r"transforms\.([012])\.chain\.\d+\.nnet\.4\.weight|.*\.\d+\.nnet\.5\.weight", name):
            scale = int(name.split(".")[1])
            blocks[scale] += found is not None and tensors[name].dim() == 4
    linear = [name for name in tensors if name.endswith(".nnet.nnet.1.weight")]
    conv = dimensions(tensors, "transforms.0.chain.2.nnet.0.weight", 4, path=path)
    pixels = dimensions(tensors, _BUFFER, 1, path=path)[0] / conv[1]
    try:
        return FlowConfig(
            channels=conv[1],
            image_size=round(math.sqrt(pixels)),
            blocks=tuple(blocks),
            width=conv[0],
            linear_blocks=len(linear),
            linear_width=dimensions(tensors, linear[0], 2, path=path)[0] if linear else 1,
            coeff=args.get("coeff", 0.98),
            logit_alpha=1e-6,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0] if first["loc"] else "the architecture"
        raise DataError(f"{path}: {where} = {first['input']!r} is invalid: {first['msg']}.") from None


@torch.no_grad()
def refine(layer: SpectralBound) -> None:
    """Power iterations as in the published code before it samples.

    They stop before convergence, once u and v change by less than 1e-3 (1 + their largest entry), RMS: mostly after
    one. The resulting u and v are part of the model.
    """
    for _ in range(_MOST_ROUNDS):
        before = layer.u.clone(), layer.v.clone()
        layer.power_iterate(1)
        moved = [
            float((now - was).norm()) / math.sqrt(now.numel()) < _REFINEMENT * (1.0 + float(now.max()))
            for now, was in zip((layer.u, layer.v), before, strict=True)
        ]
        if all(moved):
            break


def convert(sources: Sources) -> Converted:
    """The checked content of `mnist_resflow_16-16-16.pth`, in our layout.

    Raises:
        DataError: missing, truncated, of another family, or with unexpected tensors.
        UsageError: parameters other than 'ema' and 'raw'.
    """
    parameters = sources.parameters or "ema"
    if parameters not in ("ema", "raw"):
        raise unknown("kind of parameters", parameters, ("ema", "raw"))
    path = single_file(sources.weights, "mnist_resflow*.pth", "*.pth", what="Residual Flow checkpoint")
    network = network_of(read_state(path), path=path, family="Residual Flow", mark=_BUFFER)
    state, beside = network.tensors, network.beside
    config = read_config(state, _attributes(beside.get("args")), path=path)
    if config.image_size != IMAGE_SIZE or config.channels != 1:
        raise DataError(
            f"{path} generates images of {config.image_size}x{config.image_size} pixels, {config.channels} channels; "
            f"'{NAME}' generates {IMAGE_SIZE}x{IMAGE_SIZE}, one channel."
        )
    if parameters == "ema":
        state = {**state, **_averaged(beside.get("ema"), state, path=path)}
    flatten_at = 2 * config.blocks[2]
    ours = {renamed(name, flatten_at=flatten_at): tensor for name, tensor in state.items()}
    tensors = {name: tensor for name, tensor in ours.items() if name is not None}
    flow = ResidualFlow(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in flow.state_dict().items()}
    counts = {name for name in shapes if name.endswith(".initialized")}
    check(tensors, {name: shapes[name] for name in shapes if name not in counts}, path=path, ignored=counts)
    flow.load_state_dict(
        {**dict.fromkeys(counts, torch.tensor(1)), **{n: t for n, t in tensors.items() if n in shapes}}
    )
    if parameters == "ema":
        for layer in flow.lipschitz_layers():
            refine(layer)
    header = provenance([path], name=NAME, prior=Prior(), licence=LICENCE)
    described = {"family": FAMILY, "config": config.model_dump(mode="json"), "parameters": parameters}
    return Converted(flow.state_dict(), {**header, **described})


def _averaged(ema: Any, state: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    """The averaged parameters, with which its authors sample, by their names in the state dict."""
    shadow = _attributes(ema).get("shadow_params")
    if not isinstance(shadow, Mapping) or not shadow:
        raise DataError(
            f"{path} holds no averaged parameters (ema.shadow_params).",
            fix="Pass parameters='raw' for the others.",
        )
    for name, value in shadow.items():
        if name not in state or not isinstance(value, Tensor) or value.shape != state[name].shape:
            raise DataError(f"{path}: ema.shadow_params has '{name}', which does not match the state_dict.")
    learned = {name for name in state if re.fullmatch(r".*\.(weight|bias|beta)", name)}
    if lacking := sorted(learned - shadow.keys()):
        raise DataError(f"{path}: '{lacking[0]}' is missing in ema.shadow_params ({len(lacking)} missing in total).")
    return dict(shadow)


def load(sources: Sources, options: LoadOptions) -> FlowGenerator:
    """The generator in the published file or in a converted one.

    Raises:
        DataError: as `convert`, and for a converted file that does not verify.
        UsageError: an option that it does not support.
    """
    options.refuse(NAME, instances=sources.instances)
    path = sources.weights
    if not is_converted(path):
        content = convert(sources)
        return build_flow(content.tensors, content.header, name=NAME, path=path, options=options)
    tensors, header = load_tensors(path, kind="generator")
    if header.get("family") != FAMILY or header.get("name") != NAME:
        raise DataError(
            f"{path} holds the generator '{header.get('name')}' of family '{header.get('family')}', not '{NAME}'.",
            fix=f"Load it as '{header.get('name')}'.",
        )
    try:
        Provenance.model_validate(header)
    except ValidationError as error:
        raise DataError(f"{path}: the header has no valid {error.errors()[0]['loc'][0]}.") from None
    if sources.parameters not in (None, header.get("parameters")):
        raise UsageError(
            f"{path} was imported with the parameters '{header.get('parameters')}', not '{sources.parameters}'.",
            fix="Load the published file, which holds both.",
        )
    return build_flow(tensors, header, name=NAME, path=path, options=options)
