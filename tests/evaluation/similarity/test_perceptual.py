"""LPIPS against its authors' package in float64, with random weights of AlexNet in the published ones' place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from lpips import LPIPS

from copgen.evaluation.similarity import open_similarity, perceptual
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.events import Silent
from copgen.storage.files import sha256_of

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place where torchvision looks for AlexNet's weights: none are there."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints" / perceptual.FILE


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other:UserWarning")
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 90, 70), (1, 28, 28)])
def test_it_is_that_of_the_authors(shape: tuple[int, int, int], weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    alexnet = torchvision.models.alexnet()
    state = alexnet.state_dict()
    for name, value in state.items():
        if name.startswith("classifier."):  # LPIPS has no use for it, and it is most of the file
            state[name] = torch.zeros(1).expand_as(value)
    torch.save(state, weights)
    monkeypatch.setattr(perceptual, "SHA256", sha256_of(weights))
    theirs = LPIPS(net="alex", pnet_rand=True, verbose=False)
    theirs.net.load_state_dict(
        {
            f"slice{part}.{key.partition('.')[2]}": value
            for key, value in state.items()
            if key.startswith("features.")
            for part, layers in enumerate((range(2), range(2, 5), range(5, 8), range(8, 10), range(10, 12)), start=1)
            if int(key.split(".")[1]) in layers
        }
    )
    x, y = torch.rand(2, 3, *shape) * 2 - 1
    ours = open_similarity("lpips", device=CPU, events=Silent())
    with torch.no_grad():
        found = ours(x, y)
        big = [one.expand(-1, 3, -1, -1).double() for one in (x, y)]
        if shape[1] < 64:
            big = [torch.nn.functional.interpolate(one, (64, 64), mode="bilinear") for one in big]
        wanted = 1.0 - theirs.double()(*big).flatten()
    assert found.shape == (3,)
    assert found.tolist() == pytest.approx(wanted.tolist(), abs=1e-5)
    assert float(found.std()) > 1e-4
    assert ours(x, x).tolist() == pytest.approx([1.0] * 3, abs=1e-6)
    assert ours.inputs == {perceptual.FILE: perceptual.SHA256}


@pytest.mark.parametrize("damaged", [False, True])
def test_missing_or_other_weights_end_it_before_anything_is_loaded(damaged: bool, weights: Path) -> None:
    if damaged:
        weights.write_bytes(b"something else")
    with pytest.raises(EnvironmentFault) as caught:
        open_similarity("lpips", device=CPU, events=Silent())
    assert str(weights) in caught.value.what
    assert perceptual.SHA256 in caught.value.what
    assert perceptual.URL in caught.value.fix


def test_a_missing_package_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match=r"copgen\[eval\]"):
        open_similarity("lpips", device=CPU, events=Silent())
