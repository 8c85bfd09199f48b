"""Which of several networks is taken, and what is refused, with the name of the tensor, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from copgen.encoders import build, load, load_foreign, save_encoder
from copgen.encoders.encoder import EncoderConfig
from copgen.runtime.errors import CopgenError, DataError, ExitCode, UsageError
from tests.stages.small import Recorder
from tests.storage.foreign.files import authors_navigator, pickled_to
from tests.storage.foreign.test_attacks import Reduced

Names = dict[str, Tensor]


def network(seed: int = 0, arch: str = "digits") -> Names:
    torch.manual_seed(seed)
    return build(arch).state_dict()


def prefixed(prefix: str, names: Names) -> Names:
    return {prefix + name: tensor for name, tensor in names.items()}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("used", "other"),
    [
        ("state_dict.module.encoder_q.", "state_dict.module.encoder_k."),
        ("state_dict.module.base_encoder.", "state_dict.module.momentum_encoder."),
        ("state_dict.backbone.", "state_dict.momentum_backbone."),
        ("state_dict.backbone.", "state_dict.backbone_momentum."),
        ("online_network.encoder.", "target_network.encoder."),
        ("teacher.backbone.", "student.module.backbone."),
        ("state_dict_ema.", "state_dict."),
        ("model.encoder.", "model_ema.encoder."),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_what_the_program_evaluates_is_taken_and_a_prefix_takes_the_other(
    used: str, other: str, order: int, tmp_path: Path
) -> None:
    parts = [prefixed(used, network(0)), prefixed(other, network(1))][::order]
    path = saved(tmp_path / "a.pth", {**parts[0], **parts[1]})
    events = Recorder()
    encoder = load(path, events=events)
    assert encoder.made_by["prefix"] == used
    assert torch.equal(encoder.backbone.conv1.weight, network(0)["conv1.weight"])
    assert all(f"'{prefix}'" in events.sentences[0] for prefix in (used, other))
    assert load(path, prefix=other).made_by["prefix"] == other
    ending = other.removeprefix("state_dict.").rstrip(".")
    assert load(path, prefix=ending or other).made_by["prefix"] == other


def test_networks_of_equal_rank_are_refused_with_their_prefixes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"f": network(0), "g": network(1)})
    with pytest.raises(DataError, match=r"'f\.', 'g\.'.*--prefix"):
        load(path)
    assert load(path, prefix="g").made_by["prefix"] == "g."
    with pytest.raises(UsageError, match=r"'h'.*'f\.', 'g\.'"):
        load(path, prefix="h")


def test_a_network_that_is_not_whole_is_no_rival(tmp_path: Path) -> None:
    """Such as the gradients that some optimizers keep under the names of their weights."""
    gradients = {name: tensor for name, tensor in network(1).items() if "bn" not in name}
    path = saved(tmp_path / "a.pth", {"optimizer": gradients, "model": network(0)})
    assert load(path).made_by["prefix"] == "model."


def without(name: str) -> Callable[[Names], Names]:
    return lambda names: {own: tensor for own, tensor in names.items() if own != name}


def with_one(name: str, tensor: Tensor) -> Callable[[Names], Names]:
    return lambda names: {**names, name: tensor}


@pytest.mark.parametrize(
    ("change", "how", "subjects"),
    [
        (without("layer2.0.bn1.running_var"), {}, ("'m.layer2.0.bn1.running_var'", "missing", "digits", "1 missing")),
        (without("conv1.weight"), {}, ("'m.conv1.weight'", "missing")),
        (with_one("layer2.0.se.fc.weight", torch.zeros(1)), {}, ("'m.layer2.0.se.fc.weight'", "unexpected")),
        (with_one("conv1.bias", torch.zeros(16)), {}, ("'m.conv1.bias'", "unexpected")),
        (with_one("bn1.bias", torch.zeros(17)), {}, ("'m.bn1.bias'", "(17,)", "(16,)")),
        (with_one("bn1.bias", torch.zeros(16, dtype=torch.int8)), {}, ("'m.bn1.bias'", "int8")),
        (with_one("bn1.bias", torch.full((16,), torch.nan)), {}, ("'bn1.bias'", "non-finite")),
        (with_one("conv1.weight", torch.zeros(16, 3, 5, 5)), {}, ("'m.conv1.weight'", "(16, 3, 5, 5)")),
        (with_one("conv1.weight", torch.zeros(16)), {}, ("'m.conv1.weight'", "(16,)")),
        (dict, {"arch": "resnet18"}, ("'m.layer1.1.conv1.weight'", "missing", "--arch digits")),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(
    change: Callable[[Names], Names], how: dict[str, Any], subjects: tuple[str, ...], tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.pth", {"m": change(network())})
    with pytest.raises(DataError) as caught:
        load(path, **how)
    assert caught.value.code == ExitCode.DATA
    assert [subject for subject in ("a.pth", *subjects) if subject not in str(caught.value)] == []


def test_other_networks_with_the_same_names_are_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        wide = torchvision.models.wide_resnet50_2().state_dict()
        deep = torchvision.models.resnet101().state_dict()
    for names, subject in ((wide, "'layer1.0.conv1.weight' has shape"), (deep, "is unexpected for resnet50")):
        path = saved(tmp_path / "a.pth", {name: torch.zeros(tensor.shape) for name, tensor in names.items()})
        with pytest.raises(DataError, match=subject):
            load(path)


def test_files_without_a_resnet_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    authors_navigator(tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"no ResNet.*nn_walker.*resnet50"):
        load_foreign(tmp_path / "w.pth")
    with pytest.raises(DataError, match="none of its 0 tensors"):
        load_foreign(saved(tmp_path / "a.pth", {"epoch": 3, "args": {"lr": 0.1}}))
    with pytest.raises(DataError, match=r"two tensors.*'a\.b'"):
        load_foreign(saved(tmp_path / "a.pth", {"a.b": torch.zeros(1), "a": {"b": torch.zeros(1)}}))


def test_a_hostile_pickle_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = pickled_to(tmp_path, "zip", {"state_dict": Reduced(eval, ("open('owned', 'w').close()",))})
    for name in ("a.pth", "a.bin", "a.ckpt"):
        with pytest.raises(DataError, match="eval"):
            load(path.rename(tmp_path / name))
        path = tmp_path / name
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("how", "error", "subject"),
    [
        ({"arch": "resnet19"}, UsageError, "'resnet19'.*'resnet18'"),
        ({"views": "simclar"}, UsageError, "'simclar'.*'simclr'"),
    ],
)
def test_wrong_arguments(how: dict[str, str], error: type[CopgenError], subject: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", network())
    with pytest.raises(error, match=subject):
        load(path, **how)  # type: ignore[arg-type]


def test_a_policy_for_other_channels_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", build("digits", 1).state_dict())
    with pytest.raises(UsageError, match="simclr"):
        load(path, views="simclr")


def test_an_encoder_of_copgen_records_its_own(tmp_path: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=3, image_size=8, views="simclr")
    save_encoder(tmp_path, build("digits"), config, {})
    for name in ("arch", "views", "prefix"):
        how: dict[str, Any] = {name: "x"}
        with pytest.raises(UsageError, match=f"--{name}"):
            load(tmp_path, **how)
    with pytest.raises(DataError, match=r"absent\.pth is missing"):
        load(tmp_path / "absent.pth", arch="resnet18")
