"""Custom generators: any importable factory of an `nn.Module`, through the entry-point group `copgen.generators`.

The module has `latent_dim`, `image_size` and `channels` (1 or 3), and a `forward(z)` or `forward(z, condition)` that
gives images (N, channels, image_size, image_size) in [-1, 1], differentiable in z. It may have `prior` (a
`copgen.latents.Prior`; a standard normal otherwise) and `sample_condition(indices, seed)`. The factory is called with
`weights=PATH` if the user names a file. docs/generators.md has an example.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from copgen.generators.load_options import LoadOptions
from copgen.generators.protocol import Generator
from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.storage.files import sha256_of

GROUP = "copgen.generators"
_BEYOND = 1e-3  # tolerance around [-1, 1], for rounding


def names() -> list[str]:
    """The names of the installed plug-ins, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def _point(name: str) -> EntryPoint:
    return next(iter(entry_points(group=GROUP, name=name)))


def about(name: str) -> str:
    """A line about a plug-in: where it comes from."""
    return f"plug-in {_point(name).value}"


def load(name: str, weights: Path | None, options: LoadOptions) -> Generator:
    """The plug-in `name`, created by its factory, frozen and checked by a forward pass.

    Raises:
        UsageError: it cannot be imported or created, lacks an attribute, or returns images of a wrong shape or range.
    """
    options.refuse(
        name, inverse=options.inverse, prior=options.prior, truncation=options.truncation, threshold=options.threshold
    )
    value = _point(name).value
    try:
        factory: Callable[..., Any] = _point(name).load()
        module = factory() if weights is None else factory(weights=weights)
    except Exception as error:  # foreign code: report whatever it raises
        raise UsageError(f"The plug-in '{name}' ({value}) failed to load: {type(error).__name__}: {error}.") from error
    G = PluginGenerator(module, name=name, origin=value, weights=weights, options=options)
    G.try_out()
    return G


def _whole(module: nn.Module, attribute: str, *, name: str) -> int:
    value = getattr(module, attribute, None)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"The plug-in '{name}' needs a positive integer `{attribute}`; it has {value!r}.")
    return value


def _content_sha256(module: nn.Module) -> str:
    """A hash of a module's tensors by name."""
    digest = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class PluginGenerator(Generator):
    """A foreign module as a generator, with checked outputs."""

    def __init__(self, module: object, *, name: str, origin: str, weights: Path | None, options: LoadOptions) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise UsageError(f"The plug-in '{name}' ({origin}) returned a {type(module).__name__}, not an nn.Module.")
        self.latent_dim = _whole(module, "latent_dim", name=name)
        self.image_size = _whole(module, "image_size", name=name)
        self.channels = _whole(module, "channels", name=name)
        if self.channels not in (1, 3):
            raise UsageError(f"The plug-in '{name}' has {self.channels} channels; images have 1 or 3.")
        prior = getattr(module, "prior", Prior())
        if not isinstance(prior, Prior):
            raise UsageError(f"The plug-in '{name}' has a `prior` of type {type(prior).__name__}, not a Prior.")
        self.name, self.prior = name, prior
        self.condition_kind = "condition" if hasattr(module, "sample_condition") else None
        self.weights_sha256 = sha256_of(weights) if weights is not None else _content_sha256(module)
        self.made_by = {"plug-in": origin}
        layout = {"memory_format": options.memory_format} if options.memory_format != "contiguous" else {}
        self.settings = {"precision": options.precision, **layout}
        self.precision = options.precision
        self.module = module.double() if options.precision == "float64" else module
        if options.memory_format == "channels_last":
            self.module = self.module.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.eval()

    def sample_condition(self, indices: philox.Rows, seed: int) -> Tensor | None:
        draw: Callable[[philox.Rows, int], Tensor | None] | None = getattr(self.module, "sample_condition", None)
        return None if draw is None else draw(indices, seed)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        z = z.double() if self.precision == "float64" else z
        with torch.autocast(z.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
            images = self.module(z) if condition is None else self.module(z, condition)
        expected = (z.shape[0], self.channels, self.image_size, self.image_size)
        if not isinstance(images, Tensor) or tuple(images.shape) != expected:
            found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise UsageError(f"The plug-in '{self.name}' returned images of shape {found}; expected {expected}.")
        return images.to(z.dtype)

    def try_out(self) -> None:
        """One forward pass of two latents.

        Raises:
            UsageError: images of a wrong shape or range, or that do not depend on z.
        """
        with torch.enable_grad():
            # The module is moved later; here it is on the device on which the factory created it.
            device = next((tensor.device for tensor in self.module.state_dict().values()), torch.device("cpu"))
            z = self.prior.draw(range(2), dim=self.latent_dim, seed=0, device=device).requires_grad_()
            try:
                images = self(z, self.sample_condition(range(2), 0))
            except UsageError:
                raise
            except Exception as error:  # foreign code
                raise UsageError(
                    f"The plug-in '{self.name}' failed on z of shape {tuple(z.shape)}: {type(error).__name__}: {error}."
                ) from error
        low, high = (float(bound) for bound in torch.aminmax(images.detach()))
        if not -1.0 - _BEYOND <= low <= high <= 1.0 + _BEYOND:
            raise UsageError(f"The plug-in '{self.name}' returned pixels from {low:g} to {high:g}; expected [-1, 1].")
        if not images.requires_grad:
            raise UsageError(f"The images of the plug-in '{self.name}' are not differentiable in z.")
