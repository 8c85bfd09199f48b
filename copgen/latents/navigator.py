"""The navigator T_z: a two-layer perceptron on latents, used as z' = z + T_z(z) (appendix B; authors' code).

Linear(d -> hidden) - ReLU - Linear(hidden -> d), with biases, no normalisation and no output activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from copgen.latents.operations import Moved, navigate
from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.runtime.errors import DataError
from copgen.runtime.tensors import load_into, load_tensors, save_tensors

FILE_NAME = "navigator.safetensors"
Init = Literal["default", "target_std"]
_CALIBRATION_DRAWS = 8192


class Navigator(nn.Module):
    """T_z with its residual: calling it gives z', `move` also how far that is, `displace` gives T_z(z) alone."""

    def __init__(self, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.layers = nn.Sequential(nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, latent_dim))

    def displace(self, z: Tensor) -> Tensor:
        """T_z(z) for z (K, latent_dim), same shape."""
        moved: Tensor = self.layers(z)
        return moved

    def move(self, z: Tensor, *, delta: float | None = None) -> Moved:
        """z' = z + T_z(z), d(z, z') and its statistics, for z (K, latent_dim)."""
        first, last = cast("nn.Linear", self.layers[0]), cast("nn.Linear", self.layers[2])
        return navigate(z, first.weight, first.bias, last.weight, last.bias, delta=delta)

    def forward(self, z: Tensor) -> Tensor:
        """z' = z + T_z(z) for z (K, latent_dim), same shape."""
        return self.move(z).z_pos


@torch.no_grad()
def new_navigator(
    latent_dim: int, *, hidden: int | None = None, init: Init = "default", std: float = 0.01, prior: Prior, seed: int
) -> Navigator:
    """A freshly initialised navigator.

    Args:
        latent_dim: d.
        hidden: width of the hidden layer; d when None (authors' code).
        init: `default` draws weights and biases uniformly in +-1/sqrt(fan_in), the framework's rule and the authors';
            the output then has an RMS of about 0.24 times that of z. `target_std` draws the same way and scales the
            last layer so that the RMS of T_z(z) over the prior is `std` (appendix D: 0.01 for flows).
        std: the target, in latent units; for `target_std` only.
        prior: where z comes from.
        seed: decides the weights.
    """
    navigator = Navigator(latent_dim, hidden or latent_dim)
    for name, parameter in navigator.named_parameters():
        fan_in = latent_dim if name.startswith("layers.0") else navigator.hidden
        u = philox.uniform(seed, range(1), parameter.numel(), stream=f"navigator/{name}")
        parameter.copy_(((2.0 * u - 1.0) * fan_in**-0.5).view_as(parameter))
    if init == "target_std":
        z = prior.draw(range(_CALIBRATION_DRAWS), dim=latent_dim, seed=seed)
        rms = navigator.displace(z).square().mean().sqrt()
        last = navigator.layers[2]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(std / rms)
        last.bias.mul_(std / rms)
    return navigator


def save_navigator(path: Path, navigator: Navigator, *, made_by: Mapping[str, Any]) -> None:
    """Write `navigator.safetensors`; `made_by` says which generator and settings it belongs to."""
    header = {"latent_dim": navigator.latent_dim, "hidden": navigator.hidden, "made_by": dict(made_by)}
    save_tensors(path, navigator.state_dict(), kind="navigator", header=header)


def load_navigator(path: str | Path) -> Navigator:
    """A navigator from its file or from the run folder that holds it, in evaluation mode.

    Raises:
        DataError: missing, truncated, foreign, or with values that are not finite.
    """
    return load_navigator_with_header(path)[0]


def navigator_file(path: str | Path) -> Path:
    """The navigator's file: the path itself, or `navigator.safetensors` in the run folder that it names."""
    file = Path(path)
    return file / FILE_NAME if file.is_dir() or not file.suffix else file


def load_navigator_with_header(path: str | Path) -> tuple[Navigator, dict[str, Any]]:
    """The navigator and what made it; errors as `load_navigator`."""
    file = navigator_file(path)
    tensors, header = load_tensors(file, kind="navigator")
    # Compared before anything is built, so that a damaged header cannot ask for a huge network.
    latent_dim, hidden = header.get("latent_dim"), header.get("hidden")
    first = tensors.get("layers.0.weight")
    if first is None or tuple(first.shape) != (hidden, latent_dim):
        raise DataError(f"{file}: no 'layers.0.weight' from {latent_dim} to {hidden}, as its header says.")
    navigator = Navigator(first.shape[1], first.shape[0])
    load_into(navigator, tensors, path=file)
    return navigator.eval().requires_grad_(False), header
