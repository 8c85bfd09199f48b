"""Custom generators: the example in the documentation, installed; and invalid plug-ins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from copgen import generators
from copgen.generators import plugins
from copgen.runtime.errors import ExitCode, UsageError
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate
from copgen.storage.files import sha256_of
from tests.generators import own

Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a module on the path with the entry point of an installed package."""

    def installed(module: str, source: str, entry_points: str) -> None:
        own.install(tmp_path / "site", monkeypatch, module, source, entry_points)

    return installed


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the documentation, as it stands there."""
    own.install_example(tmp_path / "site", monkeypatch)


@pytest.mark.usefixtures("blobs")
def test_the_documented_example_is_a_generator(tmp_path: Path) -> None:
    assert plugins.names() == ["blobs"]
    assert "my_generator:make" in generators.entry("blobs").about
    G = generators.load("blobs")
    z = G.sample_prior(range(4), 0).requires_grad_()
    images = G(z)
    assert images.shape == (4, 3, 32, 32)
    assert G.prior.kind == "truncated_normal"
    assert not any(parameter.requires_grad for parameter in G.parameters())
    images.sum().backward()
    assert z.grad is not None
    torch.save({key: value + 1.0 for key, value in G.state_dict().items()}, tmp_path / "raw.pth")
    state = torch.load(tmp_path / "raw.pth", weights_only=True)
    torch.save({key.removeprefix("module."): value for key, value in state.items()}, tmp_path / "blobs.pth")
    other = generators.load("blobs", weights=tmp_path / "blobs.pth")
    assert other.weights_sha256 == sha256_of(tmp_path / "blobs.pth") != G.weights_sha256
    assert not torch.equal(other(z), images)


@pytest.mark.usefixtures("blobs")
def test_the_documented_example_reads_weights_that_were_saved_on_a_gpu(tmp_path: Path) -> None:
    G = generators.load("blobs")
    torch.save({key.removeprefix("module."): value for key, value in G.state_dict().items()}, tmp_path / "cpu.pth")
    with ZipFile(tmp_path / "cpu.pth") as saved, ZipFile(tmp_path / "cuda.pth", "w") as moved:
        for name in saved.namelist():
            moved.writestr(name, saved.read(name).replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0"))
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(tmp_path / "cuda.pth", weights_only=True)
    assert generators.load("blobs", weights=tmp_path / "cuda.pth").latent_dim == 8


@pytest.mark.usefixtures("blobs")
def test_the_documented_example_is_navigated(tmp_path: Path) -> None:
    settings = NavigateSettings(
        generator="blobs", samples=8, batch=4, views="none", encoder="digits", projector=(8, 4), device="cpu"
    )
    assert navigate(settings, out=tmp_path / "run")["updates"] == 2
    assert (tmp_path / "run" / "navigator.safetensors").exists()


MODULE = """
import torch
from torch import nn
from copgen.latents import Prior

class G(nn.Module):
    latent_dim, image_size, channels = 4, 8, 1
    def __init__(self):
        super().__init__()
        self.paint = nn.Linear(4, 64)
    def forward(self, z):
        return {images}

{rest}

def make():
    return {made}
"""
GOOD = "torch.tanh(self.paint(z)).view(-1, 1, 8, 8)"


@pytest.mark.parametrize(
    ("images", "rest", "made", "says"),
    [
        ("torch.tanh(self.paint(z)).view(-1, 8, 8)", "", "G()", r"shape \(2, 8, 8\); .*\(2, 1, 8, 8\)"),
        ("self.paint(z).view(-1, 1, 8, 8)[:1]", "", "G()", r"shape \(1, 1, 8, 8\)"),
        ("[1, 2]", "", "G()", "shape list"),
        ("255 * torch.sigmoid(self.paint(z)).view(-1, 1, 8, 8)", "", "G()", r"pixels from .*\[-1, 1\]"),
        ("self.paint(z).view(-1, 1, 8, 8) * float('nan')", "", "G()", "pixels from nan"),
        ("torch.tanh(self.paint(z.detach())).view(-1, 1, 8, 8)", "", "G()", "differentiable in z"),
        ("self.nothing", "", "G()", r"z of shape \(2, 4\): AttributeError"),
        (GOOD, "", "3", r"a int, .*nn\.Module"),
        (GOOD, "", "1 / 0", "ZeroDivisionError"),
        (GOOD, "import nothing_of_this_name", "G()", "ModuleNotFoundError"),
        (GOOD, "G.latent_dim = 0", "G()", "`latent_dim`.* 0"),
        (GOOD, "G.channels = 4", "G()", "has 4 channels"),
        (GOOD, "G.prior = 'normal'", "G()", "`prior` of type str"),
    ],
)
def test_an_invalid_plug_in_is_refused_by_name(images: str, rest: str, made: str, says: str, install: Install) -> None:
    install("strange", MODULE.format(images=images, rest=rest, made=made), "odd = strange:make")
    with pytest.raises(UsageError, match=f"'odd'.*{says}") as caught:
        generators.load("odd")
    assert caught.value.code is ExitCode.USAGE


def test_options_that_a_plug_in_does_not_support_are_refused(install: Install, tmp_path: Path) -> None:
    install("plain", MODULE.format(images=GOOD, rest="", made="G()"), "plain = plain:make")
    assert generators.load("plain", precision="float64")(torch.zeros(1, 4)).dtype == torch.float64
    with pytest.raises(UsageError, match=r"'plain'.* truncation"):
        generators.load("plain", truncation=0.5)
    with pytest.raises(UsageError, match=r"'plain'.*weights"):
        generators.load("plain", weights=tmp_path / "none.pth")


def test_a_plug_in_without_parameters_is_a_generator_too(install: Install) -> None:
    images = "z.mean(1).clamp(-1, 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)"
    install(
        "bare", MODULE.format(images=images, rest="G.__init__ = nn.Module.__init__", made="G()"), "bare = bare:make"
    )
    G = generators.load("bare")
    assert G(G.sample_prior(range(3), 0)).shape == (3, 1, 8, 8)
    assert G.parameter_count == 0


def test_a_plug_in_does_not_replace_a_registered_generator(install: Install) -> None:
    install("usurper", MODULE.format(images=GOOD, rest="", made="G()"), "digits = usurper:make")
    assert generators.load("digits").latent_dim == 64
