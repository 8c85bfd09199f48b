"""Spaces with weights that people download: what is said if they are missing, and that the networks are right."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from copgen.evaluation.spaces import dinov2, inception, open_space
from copgen.evaluation.spaces.published import PublishedWeights
from copgen.evaluation.spaces.space import ClassifyingSpace
from copgen.evaluation.spaces.vit import VisionTransformer
from copgen.pairs.pixels import from_uint8
from copgen.runtime.errors import CopgenError, DataError, EnvironmentFault, ExitCode
from copgen.runtime.events import Silent

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights directory, and an empty cache of torch."""
    monkeypatch.setenv("COPGEN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.mark.parametrize(
    ("name", "published"),
    [("inception", inception.WEIGHTS), *dinov2.WEIGHTS.items()],
    ids=lambda value: str(value)[:20],
)
def test_missing_weights_are_named(name: str, published: PublishedWeights, weights: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        open_space(name, device=CPU, events=Silent())
    assert caught.value.code == ExitCode.ENVIRONMENT
    for told in (published.file, published.sha256, published.address, str(weights), "efficientnet-lite0"):
        assert told in str(caught.value)


def test_other_content_is_refused(weights: Path) -> None:
    (weights / inception.WEIGHTS.file).write_bytes(b"other")
    with pytest.raises(DataError, match=inception.WEIGHTS.sha256):
        open_space("inception", device=CPU, events=Silent())


def test_torchs_cache_is_searched(weights: Path) -> None:
    held = weights.parent / "torch" / "hub" / "checkpoints" / "net.pth"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"weights")
    published = PublishedWeights("net.pth", hashlib.sha256(b"weights").hexdigest(), "https://example.org/net.pth")
    assert published.find("net") == held
    (weights / "other-name.pth").write_bytes(b"weights")
    renamed = PublishedWeights("absent.pth", published.sha256, published.address, also=("other-name.pth",))
    assert renamed.find("net") == weights / "other-name.pth"


def test_inception_is_torch_fidelitys(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, state: object) -> None:
            """Keeps the random weights."""

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    torch.manual_seed(0)
    theirs = Untrained("x", ["2048", "logits_unbiased"], feature_extractor_weights_path=nothing)
    file = weights / inception.WEIGHTS.file
    torch.save(theirs.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "WEIGHTS", PublishedWeights(file.name, digest, inception.WEIGHTS.address))

    pixels = torch.randint(0, 256, (1, 1, 16, 16), dtype=torch.uint8)
    space: ClassifyingSpace = inception.open_inception(device=CPU)
    features = space(from_uint8(pixels))
    expected = theirs(pixels.expand(-1, 3, -1, -1).contiguous())
    torch.testing.assert_close(features, expected[0], rtol=0, atol=0)
    torch.testing.assert_close(space.logits(features), expected[1])
    assert space.inputs == {file.name: inception.WEIGHTS.sha256}


def small_network() -> VisionTransformer:
    torch.manual_seed(1)
    network = VisionTransformer(width=64, depth=2, positions=3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def test_dinov2_from_a_file_of_any_size(tmp_path: Path) -> None:
    network = small_network()
    state = {**network.state_dict(), "mask_token": torch.zeros(1, 64)}
    torch.save(state, tmp_path / "a.pth")
    save_file(network.state_dict(), tmp_path / "b.safetensors")
    images = torch.rand(3, 1, 9, 9) * 2 - 1
    found = [
        open_space(f"dinov2:{tmp_path / name}", device=CPU, events=Silent()) for name in ("a.pth", "b.safetensors")
    ]
    features = [space(images) for space in found]
    assert features[0].shape == (3, found[0].dim) == (3, 64)
    torch.testing.assert_close(features[0], features[1], rtol=0, atol=0)
    assert list(found[1].inputs) == ["b.safetensors"]


@pytest.mark.parametrize("lost", ["pos_embed", "blocks.1.mlp.fc1.bias", "norm.weight"])
def test_other_networks_are_refused(lost: str, tmp_path: Path) -> None:
    state = small_network().state_dict()
    del state[lost]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CopgenError, match=r"a\.pth") as caught:
        open_space(f"dinov2:{tmp_path / 'a.pth'}", device=CPU, events=Silent())
    assert caught.value.code == ExitCode.DATA


def test_the_network_is_timms() -> None:
    timm = pytest.importorskip("timm.models.vision_transformer")
    network = small_network()
    theirs = timm.VisionTransformer(
        img_size=42, patch_size=14, embed_dim=64, depth=2, num_heads=1, init_values=1e-5, num_classes=0,
        global_pool="token",
    ).eval()  # fmt: skip
    theirs.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 42, 42)
    torch.testing.assert_close(network(images), theirs(images), rtol=1e-5, atol=1e-5)
