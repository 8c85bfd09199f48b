"""The navigator T_z: a two-layer perceptron on latents, used as z' = z + T_z(z) (appendix B; authors' code).

Linear(d -> hidden) - ReLU - Linear(hidden -> d), with biases, no normalisation and no output activation. The form
`linear` has no ReLU (the authors' z + W2 W1 z). A navigator of chosen latent blocks reads and moves only those.

Not in the paper: noise e as further inputs, so that z' = z + T_z(z, e) has a distribution; a random sign of each
displacement; and a displacement that is centred. As batch norm does, a centred navigator subtracts the mean over the
batch in training; `for_sampling` (centring.py) makes that over the prior its output bias. It is saved with that bias,
and loaded as a navigator like any other. A navigator of the paper's form runs as one operator, the others as
PyTorch's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from copgen.latents.blocks import Span, are_spans
from copgen.latents.navigator_noise import noise, signs
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
CALIBRATION_DRAWS = 8192


class Navigator(nn.Module):
    """T_z with its residual: a call returns z', `move` also d(z, z'), `displace` only T_z(z).

    Args:
        latent_dim: d.
        hidden: units of the hidden layer.
        form: with a ReLU between the layers (nonlinear), or without (linear).
        spans: the coordinates it reads and moves, as [start, stop) ranges in order; all of them when None.
        noise_dim: inputs e of standard normal noise beside z.
        random_sign: T_z(z) is added with a random sign.
        centred: in training mode, the mean of the batch is subtracted from its displacement.

    A navigator with noise or a random sign is stochastic: what it draws for a row is a function of (seed, which, row),
    with `which` the number of the positive.
    """

    coordinates: Tensor

    def __init__(
        self,
        latent_dim: int,
        hidden: int,
        *,
        form: Form = "nonlinear",
        spans: Sequence[Span] | None = None,
        noise_dim: int = 0,
        random_sign: bool = False,
        centred: bool = False,
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
        self.layers = nn.Sequential(nn.Linear(len(used) + noise_dim, hidden), activation, nn.Linear(hidden, len(used)))
        self.noise_dim, self.random_sign, self.centred = noise_dim, random_sign, centred

    @property
    def first(self) -> nn.Linear:
        """The layer that reads z, and e behind it."""
        return cast("nn.Linear", self.layers[0])

    @property
    def last(self) -> nn.Linear:
        """The layer whose output is T_z(z)."""
        return cast("nn.Linear", self.layers[2])

    @property
    def stochastic(self) -> bool:
        """Whether z' is random for a given z."""
        return self.noise_dim > 0 or self.random_sign

    @property
    def learned(self) -> list[nn.Parameter]:
        """The parameters that are trained."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @property
    def fused(self) -> bool:
        """Whether `move` is one operation."""
        centring = self.centred and self.training
        return self.whole and self.form == "nonlinear" and not self.stochastic and not centring

    def displace(self, z: Tensor, *, seed: int = 0, rows: philox.Rows | None = None, which: int = 0) -> Tensor:
        """T_z(z) without its random sign for z (K, latent_dim), same shape; 0 in the coordinates it does not move.

        Args:
            z: latents.
            seed, rows, which: decide the noise; rows are the numbers of the latents in the run.

        Raises:
            UsageError: a stochastic navigator without rows.
        """
        read = z if self.whole else z.index_select(1, self.coordinates)
        if self.noise_dim:
            read = torch.cat((read, noise(z, self.noise_dim, seed=seed, rows=rows, which=which)), dim=1)
        part: Tensor = self.layers(read)
        if self.centred and self.training:
            part = part - part.mean(0)
        return part if self.whole else torch.zeros_like(z).index_copy(1, self.coordinates, part)

    def move(
        self,
        z: Tensor,
        *,
        delta: float | None = None,
        seed: int = 0,
        rows: philox.Rows | None = None,
        which: int = 0,
    ) -> Moved:
        """z' = z + T_z(z), d(z, z') over all coordinates and its statistics, for z (K, latent_dim); see `displace`."""
        if self.fused:
            first, last = self.first, self.last
            return navigate(z, first.weight, first.bias, last.weight, last.bias, delta=delta)
        T = self.displace(z, seed=seed, rows=rows, which=which)
        if self.random_sign:
            T = T * signs(z, seed=seed, rows=rows, which=which)
        held = constrain(z, z + T, delta=delta)
        return Moved(d=held.d, stats=held.stats, z_pos=held.z_pos)

    def forward(self, z: Tensor, *, seed: int = 0, rows: philox.Rows | None = None, which: int = 0) -> Tensor:
        """z' = z + T_z(z) for z (K, latent_dim), same shape; see `displace`."""
        return self.move(z, seed=seed, rows=rows, which=which).z_pos


@torch.no_grad()
def new_navigator(
    latent_dim: int,
    *,
    hidden: int | None = None,
    form: Form = "nonlinear",
    spans: Sequence[Span] | None = None,
    noise_dim: int = 0,
    random_sign: bool = False,
    centred: bool = False,
    output_bias: bool = True,
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
        noise_dim, random_sign, centred: as of `Navigator`.
        output_bias: whether the output bias is learned; otherwise it is 0. That of a centred navigator never is, as the
            mean it would add is subtracted.
        init: `default` draws weights and biases uniformly in +-1/sqrt(fan_in), PyTorch's default and the authors'; the
            output of a nonlinear one then has an RMS of about 0.24 times that of z. `target_std` draws the same way and
            scales the last layer so that the RMS of T_z(z) over the prior is `std` (appendix D: 0.01 for flows);
            coordinates that are not moved count as zeros, as they do in d(z, z').
        std: the target, in latent units; for `target_std` only.
        prior: the distribution of z.
        seed: decides the weights.
    """
    moved = latent_dim if spans is None else sum(stop - start for start, stop in spans)
    navigator = Navigator(
        latent_dim,
        hidden or moved,
        form=form,
        spans=spans,
        noise_dim=noise_dim,
        random_sign=random_sign,
        centred=centred,
    )
    for name, parameter in navigator.named_parameters():
        fan_in = moved + noise_dim if name.startswith("layers.0") else navigator.hidden
        u = philox.uniform(seed, range(1), parameter.numel(), stream=f"navigator/{name}")
        parameter.copy_(((2.0 * u - 1.0) * fan_in**-0.5).view_as(parameter))
    if centred or not output_bias:
        navigator.last.bias.zero_().requires_grad_(False)
    if init == "target_std":
        rows = range(CALIBRATION_DRAWS)
        z = prior.draw(rows, dim=latent_dim, seed=seed)
        rms = navigator.displace(z, seed=seed, rows=rows).square().mean().sqrt()
        navigator.last.weight.mul_(std / rms)
        navigator.last.bias.mul_(std / rms)
    return navigator


def save_navigator(path: Path, navigator: Navigator, *, made_by: Mapping[str, Any]) -> None:
    """Write `navigator.safetensors`; `made_by` says which generator and settings it belongs to."""
    header: dict[str, Any] = {"latent_dim": navigator.latent_dim, "hidden": navigator.hidden, "made_by": dict(made_by)}
    # Defaults are left out, so that older versions can read the file.
    if navigator.form != "nonlinear":
        header["form"] = navigator.form
    if not navigator.whole:
        header["spans"] = [list(span) for span in navigator.spans]
    if navigator.noise_dim:
        header["noise_dim"] = navigator.noise_dim
    if navigator.random_sign:
        header["random_sign"] = True
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
    noise_dim, random_sign = header.get("noise_dim", 0), header.get("random_sign", False)
    if type(noise_dim) is not int or noise_dim < 0 or type(random_sign) is not bool:
        raise DataError(f"{file}: invalid header: noise_dim {noise_dim!r}, random_sign {random_sign!r}.")
    used = latent_dim if spans is None else sum(stop - start for start, stop in spans)
    shape = (hidden, used + noise_dim if isinstance(used, int) else used)
    if first is None or tuple(first.shape) != shape:
        raise DataError(f"{file}: 'layers.0.weight' does not have shape ({shape[0]}, {shape[1]}), as the header says.")
    assert isinstance(latent_dim, int)
    navigator = Navigator(
        latent_dim,
        first.shape[0],
        form=form,
        spans=spans and [(a, b) for a, b in spans],
        noise_dim=noise_dim,
        random_sign=random_sign,
    )
    load_into(navigator, tensors, path=file)
    return navigator.eval().requires_grad_(False), header
