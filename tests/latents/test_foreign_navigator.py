"""Navigators of other programs: their tensors are imported, and other networks are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from copgen.latents.foreign_navigator import read_foreign_navigator
from copgen.runtime.errors import DataError
from tests.shared_data import shared
from tests.storage.foreign.files import FORMATS, authors_navigator, save

Z = torch.linspace(-2, 2, 15).view(3, 5)


def refused(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_foreign_navigator(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("hidden", [None, 3, 9])
def test_the_authors_layout_gives_the_same_function(tmp_path: Path, hidden: int | None, layout: str) -> None:
    walk = authors_navigator(tmp_path / "w.pth", dim=5, hidden=hidden, layout=layout)
    navigator = read_foreign_navigator(tmp_path / "w.pth")
    assert (navigator.latent_dim, navigator.hidden, navigator.training) == (5, hidden or 5, False)
    with torch.no_grad():
        assert torch.equal(navigator.displace(Z), walk.walker(Z))
        torch.testing.assert_close(navigator(Z), Z + walk.walker(Z))
    assert not any(parameter.requires_grad for parameter in navigator.parameters())


@pytest.mark.parametrize("prefix", ["", "walker.", "module.walker."])
def test_a_state_dict_will_do(tmp_path: Path, prefix: str) -> None:
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 5)).double()
    state = {prefix + name: value for name, value in network.state_dict().items()}
    save(state, tmp_path / "w.pth", "zip")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        navigator = read_foreign_navigator(tmp_path / name)
        torch.testing.assert_close(navigator.displace(Z), network.float()(Z))


@pytest.mark.parametrize("layout", FORMATS)
def test_a_linear_one_is_known_by_its_missing_activation(tmp_path: Path, layout: str) -> None:
    """The authors' linear form, z + W2 W1 z, which has biases as well."""
    network = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 5))
    state = {f"walker.{name}": value for name, value in network.state_dict().items()}
    for value in (network, state):
        save(value, tmp_path / "w.pth", layout)
        navigator = read_foreign_navigator(tmp_path / "w.pth")
        assert (navigator.form, navigator.latent_dim, navigator.hidden) == ("linear", 5, 3)
        torch.testing.assert_close(navigator(Z), Z + network(Z))


OTHERS: dict[str, tuple[Any, str]] = {
    "one layer": (nn.Sequential(nn.Linear(5, 5)), "Linear.*; .*Linear, ReLU, Linear"),
    "tanh": (nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)), "Linear, Tanh, Linear"),
    "deeper": (
        nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5)),
        "Linear, ReLU, Linear, ReLU, Linear",
    ),
    "unequal": (nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4)), r"'layers.2.weight'.*\(4, 7\)"),
    "without bias": (nn.Sequential(nn.Linear(5, 7, bias=False), nn.ReLU(), nn.Linear(7, 5)), "3 tensors"),
    "convolution": (nn.Sequential(nn.Conv1d(5, 7, 1), nn.ReLU(), nn.Conv1d(7, 5, 1)), "Conv1d"),
    "not finite": ({"0.weight": torch.full((2, 2), torch.nan), "0.bias": torch.ones(2), "2.weight": torch.ones(2, 2),
                    "2.bias": torch.ones(2)}, "'layers.0.weight'"),
    "classifier": ({"fc.weight": torch.ones(2, 2)}, "fc.weight"),
    "numbers": ({"a": 1, "b": 2}, "a dict"),
    "list": ([torch.ones(2)], "a list"),
    "walks": ({"walk_jit": torch.ones(1, 128), "walk_rrc": nn.Linear(136, 128)}, "GenRep.*copgen navigator import"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_refused(tmp_path: Path, name: str) -> None:
    value, match = OTHERS[name]
    refused(save(value, tmp_path / "w.pth", "zip"), match)


def test_the_published_file_has_its_four_tensors() -> None:
    navigator = read_foreign_navigator(shared("data/cop-gen/w_COPGen_pretained.pth"))
    assert (navigator.latent_dim, navigator.hidden) == (120, 120)


@pytest.mark.parametrize("name", ["N200000_1fc", "N320000_1optim"])
def test_the_walks_of_genrep_are_called_by_their_name(name: str) -> None:
    refused(shared(f"data/genrep/w_simclr_aug_lr0.001_{name}_final.pth"), "GenRep.*copgen navigator import")
