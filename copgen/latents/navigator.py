"""The navigator T_z: a two-layer perceptron on latents, used as z' = z + T_z(z) (appendix B; authors' code).

Linear(d -> hidden) - ReLU - Linear(hidden -> d), with biases, no normalisation and no output activation. The form
`linear` has no ReLU (the authors' z + W2 W1 z). A navigator of chosen latent blocks reads and moves only those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from copgen.latents.blocks import Span, are_spans
from copgen.latents.operations import Moved, constrain, navigate
from copgen.latents.prior import Prior
from copgen.latents.run_files import NAVIGATOR, navigator_file
from copgen.runtime import philox
from copgen.runtime.errors import DataError
from copgen.runtime.path_errors import path_errors
from copgen.storage.tensors import load_into, load_tensors, save_tensors

FILE_NAME = NAVIGATOR
Init = Literal["default", "target_std"]
Form = Literal["nonlinear", "linear"]
_CALIBRATION_DRAWS = 8192


class Navigator(nn.Module):
    """T_z with its residual: a call returns z', `move` also d(z, z'), `displace` only T_z(z).

    Args:
        latent_dim: d.
        hidden: units of the hidden layer.
        form: with a ReLU between the layers (nonlinear), or without (linear).
        spans: the coordinates it reads and moves, as [start, stop) ranges in order; all of them when None.
    """

    coordinates: Tensor

    def __init__(
        self, latent_dim: int, hidden: int, *, form: Form = "nonlinear", spans: Sequence[Span] | None = None
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.form: Form = form
        self.spans: tuple[Span, ...] = tuple(spans) if spans is not None else ((0, latent_dim),)
        used = [k for start, stop in self.spans for k in range(start, stop)]
        self.whole = len(used) == latent_dim
        self.register_buffer("coordinates", torch.tensor(used), persistent=False)
        activation = nn.ReLU() if form == "nonlinear" else nn.Identity()
        self.layers = nn.Sequential(nn.Linear(len(used), hidden), activation, nn.Linear(hidden, len(used)))

    def displace(self, z: Tensor) -> Tensor:
        """T_z(z) for z (K, latent_dim), same shape; 0 in the coordinates it does not move."""
        if self.whole:
            moved: Tensor = self.layers(z)
            return moved
        part = self.layers(z.index_select(1, self.coordinates))
        return torch.zeros_like(z).index_copy(1, self.coordinates, part)

    def move(self, z: Tensor, *, delta: float | None = None) -> Moved:
        """z' = z + T_z(z), d(z, z') over all coordinates and its statistics, for z (K, latent_dim)."""
        if self.whole and self.form == "nonlinear":
            first, last = cast("nn.Linear", self.layers[0]), cast("nn.Linear", self.layers[2])
            return navigate(z, first.weight, first.bias, last.weight, last.bias, delta=delta)
        held = constrain(z, z + self.displace(z), delta=delta)
        return Moved(d=held.d, stats=held.stats, z_pos=held.z_pos)

    def forward(self, z: Tensor) -> Tensor:
        """z' = z + T_z(z) for z (K, latent_dim), same shape."""
        return self.move(z).z_pos


@torch.no_grad()
def new_navigator(
    latent_dim: int,
    *,
    hidden: int | None = None,
    form: Form = "nonlinear",
    spans: Sequence[Span] | None = None,
    init: Init = "default",
    std: float = 0.01,
    prior: Prior,
    seed: int,
) -> Navigator:
    """A freshly initialised navigator.

    Args:
        latent_dim: d.
        hidden: width of the hidden layer; the number of coordinates it moves when None (authors' code).
        form: nonlinear or linear.
        spans: the coordinates it reads and moves; all when None.
        init: `default` draws weights and biases uniformly in +-1/sqrt(fan_in), PyTorch's default and the authors'; the
            output of a nonlinear one then has an RMS of about 0.24 times that of z. `target_std` draws the same way and
            scales the last layer so that the RMS of T_z(z) over the prior is `std` (appendix D: 0.01 for flows);
            coordinates that are not moved count as zeros, as they do in d(z, z').
        std: the target, in latent units; for `target_std` only.
        prior: the distribution of z.
        seed: decides the weights.
    """
    moved = latent_dim if spans is None else sum(stop - start for start, stop in spans)
    navigator = Navigator(latent_dim, hidden or moved, form=form, spans=spans)
    for name, parameter in navigator.named_parameters():
        fan_in = moved if name.startswith("layers.0") else navigator.hidden
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
    header: dict[str, Any] = {"latent_dim": navigator.latent_dim, "hidden": navigator.hidden, "made_by": dict(made_by)}
    # Defaults are left out, so that older versions can read the file.
    if navigator.form != "nonlinear":
        header["form"] = navigator.form
    if not navigator.whole:
        header["spans"] = [list(span) for span in navigator.spans]
    weights = {name: value.float() for name, value in navigator.state_dict().items()}  # whatever the training dtype
    save_tensors(path, weights, kind="navigator", header=header)


def load_navigator(path: str | Path) -> Navigator:
    """Load a navigator from its file or its run folder, in evaluation mode.

    Raises:
        DataError: the file is missing, truncated, not copgen's, or has non-finite values.
    """
    return load_navigator_with_header(path)[0]


@path_errors()
def load_navigator_with_header(path: str | Path) -> tuple[Navigator, dict[str, Any]]:
    """The navigator and the header of its file; errors as `load_navigator`."""
    file = navigator_file(path)
    tensors, header = load_tensors(file, kind="navigator")
    # Checked before the network is built, so that a damaged header cannot request a huge one.
    latent_dim, hidden, form = header.get("latent_dim"), header.get("hidden"), header.get("form", "nonlinear")
    first = tensors.get("layers.0.weight")
    spans = header.get("spans")
    if form not in get_args(Form) or (spans is not None and not are_spans(spans, latent_dim)):
        raise DataError(f"{file}: invalid header: form {form!r}, spans {spans!r}.")
    used = latent_dim if spans is None else sum(stop - start for start, stop in spans)
    if first is None or tuple(first.shape) != (hidden, used):
        raise DataError(f"{file}: 'layers.0.weight' does not have shape ({hidden}, {used}), as the header says.")
    assert isinstance(latent_dim, int)
    navigator = Navigator(latent_dim, first.shape[0], form=form, spans=spans and [(a, b) for a, b in spans])
    load_into(navigator, tensors, path=file)
    return navigator.eval().requires_grad_(False), header
