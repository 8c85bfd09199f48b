"""Which loader is chosen, and what is said about it."""

from __future__ import annotations

from contextlib import closing

import pytest
import torch

from copgen.data.loaders.choice import Chosen, build_loader
from copgen.data.loaders.dali import DaliLoader
from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.loader import LoaderConfig
from copgen.data.loaders.names import LoaderName
from copgen.data.loaders.torchvision import TorchvisionLoader
from copgen.data.source import Source
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.views import dali, policy
from tests.data.encoded import Files


class Tensors(Files):
    """Images that are decoded."""

    encoded = None  # type: ignore[assignment]

    def batch(self, items: torch.Tensor, columns: torch.Tensor, device: torch.device) -> torch.Tensor:
        return torch.zeros(len(items), 3, 8, 8)


def chosen(name: LoaderName, source: Source | None = None, views: str = "simclr", device: str = "cpu") -> Chosen:
    source = source or Files()
    numbers, where = policy(views, size=48), torch.device(device)
    return build_loader(name, LoaderConfig(source=source, policy=numbers, seed=0, count=2, device=where, workers=1))


@pytest.mark.parametrize(
    ("name", "kind"), [("auto", DecodingLoader), ("torch", DecodingLoader), ("torchvision", TorchvisionLoader)]
)
def test_a_loader_is_built_by_name_and_auto_is_torch_on_a_cpu(name: LoaderName, kind: type) -> None:
    choice = chosen(name)
    with closing(choice.loader):
        assert isinstance(choice.loader, kind)
        assert choice.name == ("torch" if name == "auto" else name)


@pytest.mark.skipif(not dali.is_installed(), reason="DALI is not installed")
def test_dali_is_built_by_name() -> None:
    choice = chosen("dali")
    with closing(choice.loader):
        assert isinstance(choice.loader, DaliLoader)


def test_auto_says_why_it_goes_without_dali(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise EnvironmentFault("DALI is not installed.", fix="Install it.")

    monkeypatch.setattr("copgen.data.loaders.choice.DaliLoader", missing)
    choice = chosen("auto", device="cuda")
    choice.loader.close()
    assert choice.name == "torch"
    assert "DALI is not installed." in choice.reason
    with pytest.raises(EnvironmentFault):
        chosen("dali", device="cuda")


def test_dali_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UsageError, match=r"'infomin'(?s:.*)--loader torch"):
        chosen("dali", views="infomin")


@pytest.mark.parametrize("name", ["dali", "torchvision"])
def test_images_that_are_tensors_need_the_torch_loader(name: LoaderName) -> None:
    with pytest.raises(UsageError, match=f"'{name}'(?s:.*)--loader torch"):
        chosen(name, Tensors())
