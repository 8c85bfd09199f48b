"""Stages called from Python: what the operating system refuses, and URLs, are copgen's errors there too."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import copgen
from copgen.generators.residual_flow.config import FlowNetwork
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.stages.dataset.inspect import inspect as inspect_dataset
from copgen.stages.dataset.list import list_datasets
from copgen.stages.encoder.export import export as export_encoder
from copgen.stages.encoder.import_file import import_encoder
from copgen.stages.encoder.inspect import inspect as inspect_encoder
from copgen.stages.generator.fetch import fetch_generator
from copgen.stages.generator.import_weights import import_generator
from copgen.stages.generator.inspect import inspect as inspect_generator
from copgen.stages.generator.list import list_generators
from copgen.stages.navigator.import_file import import_navigator
from copgen.stages.navigator.inspect import inspect as inspect_navigator
from copgen.stages.navigator.show import show as show_navigator
from copgen.stages.pairs_folder.export import export
from copgen.stages.pairs_folder.import_pairs import import_pairs
from copgen.stages.pairs_folder.show import show, show_pair
from copgen.stages.pairs_folder.verify import verify_pairs
from tests.pairs import folders
from tests.pairs.trees import tree
from tests.permissions import permissions_hold
from tests.stages import pretraining
from tests.stages.published import write_bigbigan
from tests.stages.small import navigate_settings
from tests.storage.foreign.files import authors_navigator

Call = Callable[[Path], Any]
READING: dict[str, Call] = {
    "navigate": lambda path: copgen.navigate(navigate_settings(path), out="run"),
    "pretrain": lambda path: copgen.pretrain(pretraining.pretrain_settings(path), out="run"),
    "fit a GAN": lambda path: copgen.fit_gan(copgen.FitGanSettings(dataset=str(path)), out="run"),
    "fit a flow": lambda path: copgen.fit_residual_flow(copgen.FitResidualFlowSettings(dataset=str(path)), out="run"),
    "eval_linear": lambda path: copgen.eval_linear(copgen.EvalLinearSettings(ckpt=path)),
    "sample": lambda path: copgen.sample(copgen.SampleSettings(generator="digits", n=2, navigator=path), out="pairs"),
    "verify": verify_pairs,
    "show": lambda path: show(path, out=Path("x.png")),
    "show_pair": lambda path: show_pair(path, 0, out=Path("x.png")),
    "export": lambda path: export(path, to="folder", out=Path("exported")),
    "import": lambda path: import_pairs(path, out=Path("pairs")),
    "list": lambda path: list_generators(directory=path),
    "fetch": lambda path: fetch_generator("bigbigan", directory=path),
    "import weights": lambda path: import_generator("bigbigan", path, out=Path("x.safetensors")),
    "inspect generator": lambda path: inspect_generator("digits", weights=path),
    "import navigator": lambda path: import_navigator(path, out=Path("run")),
    "inspect navigator": inspect_navigator,
    "show navigator": lambda path: show_navigator(path, out=Path("x.png")),
    "import encoder": lambda path: import_encoder(path, out=Path("run")),
    "inspect encoder": inspect_encoder,
    "export encoder": lambda path: export_encoder(path, to="timm", out=Path("x.pth")),
    "load_foreign": lambda path: copgen.encoders.load_foreign(path),
    "list datasets": lambda path: list_datasets(root=path),
    "inspect dataset": inspect_dataset,
    "generators.load": lambda path: copgen.generators.load("digits", weights=path),
    "load_navigator": lambda path: copgen.latents.load_navigator(path),
    "encoders.load": lambda path: copgen.encoders.load(path),
    "pairs.read": lambda path: copgen.pairs.read(path),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("inside", ["inside", "folder/inside.safetensors"])
def test_what_may_not_be_looked_into(name: str, inside: str, here: Path) -> None:
    Path("closed/folder").mkdir(parents=True)
    Path("closed").chmod(0)
    with permissions_hold(), pytest.raises(EnvironmentFault) as caught:
        READING[name](Path("closed", inside))
    assert f"closed/{inside}" in caught.value.what
    assert "permissions of closed," in caught.value.fix
    assert os.listdir() == ["closed"]


@pytest.mark.parametrize("name", READING)
def test_urls_are_not_read(name: str, here: Path) -> None:
    with pytest.raises(UsageError) as caught:
        READING[name](Path("s3://bucket/input"))
    assert "s3://bucket/input" in caught.value.what
    assert os.listdir() == []


def flow_settings() -> copgen.FitResidualFlowSettings:
    """One update of a small flow."""
    network = FlowNetwork(blocks=(0,), linear_blocks=1, linear_width=8)
    return copgen.FitResidualFlowSettings(dataset="digits", updates=1, batch=8, network=network)


WRITING: dict[str, Call] = {
    "navigate": lambda out: copgen.navigate(navigate_settings(Path("flow.safetensors")), out=out),
    "pretrain": lambda out: copgen.pretrain(pretraining.pretrain_settings(Path("pairs")), out=out),
    "fit": lambda out: copgen.fit_flow(copgen.FitFlowSettings(dataset="digits", updates=1, batch=8), out=out),
    "fit a GAN": lambda out: copgen.fit_gan(copgen.FitGanSettings(dataset="digits", updates=1, batch=8), out=out),
    "fit a flow": lambda out: copgen.fit_residual_flow(flow_settings(), out=out),
    "show": lambda out: show(Path("pairs"), out=out),
    "show_pair": lambda out: show_pair(Path("pairs"), 0, out=out),
    "export": lambda out: export(Path("pairs"), to="folder", out=out),
    "import": lambda out: import_pairs(Path("tree"), out=out),
    "fetch": lambda out: fetch_generator("bigbigan", directory=out),
    "import weights": lambda out: import_generator("bigbigan", Path("BigBiGAN_x1.pth"), directory=out),
    "inspect generator": lambda out: inspect_generator("digits", weights=Path("flow.safetensors"), out=out),
    "import navigator": lambda out: import_navigator(Path("w.pth"), out=out),
    "import encoder": lambda out: import_encoder(Path("resnet18.pth"), out=out),
    "export encoder": lambda out: export_encoder(Path("resnet18.pth"), to="timm", out=out / "x.pth"),
}


@pytest.mark.parametrize("name", WRITING)
def test_urls_are_not_written(name: str, here: Path, flow: Path) -> None:
    Path("flow.safetensors").symlink_to(flow)
    folders.write(Path("pairs"), folders.plan(pairs=16, image_shape=(1, 8, 8)))
    tree(Path("tree"))
    write_bigbigan(Path("BigBiGAN_x1.pth"))
    authors_navigator(Path("w.pth"))
    torch.save(copgen.encoders.build("resnet18").state_dict(), "resnet18.pth")
    before = sorted(here.rglob("*"))
    for url in ("s3://bucket/out", "file:///out"):
        with pytest.raises(UsageError) as caught:
            WRITING[name](Path(url))
        assert url in caught.value.what
    assert sorted(here.rglob("*")) == before
