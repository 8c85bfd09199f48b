"""Two ranks train and test as one process with the same batch."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.storage.tensors import load_tensors
from tests.cli.command import copgen
from tests.data import shapes


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=3, image_size=48, views="simclr")
    save_encoder(tmp_path / "run", build("digits", 3), config, {})
    shapes.year(tmp_path / "VOC2007", trainval=4, test=3, side=48)
    (tmp_path / "tiny.toml").write_text(shapes.TINY.replace("statistics = 0", "statistics = 1"))
    words = ["--ckpt", tmp_path / "run", "--dataset", tmp_path / "VOC2007", "--config", tmp_path / "tiny.toml"]
    words += ["--updates", "2", "--batch", "4", "--device", "cpu"]
    found = {}
    for ranks in (1, 2):
        out = tmp_path / f"of-{ranks}"
        outcome = copgen("eval", "detect", *words, "--out", out, "--nproc", ranks)
        assert outcome.code == 0, outcome.err
        tensors, _ = load_tensors(out / "detector.safetensors", kind="detector")
        losses = [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]
        found[ranks] = tensors, torch.tensor(losses)
        assert json.loads((out / "results.json").read_text())["dataset"]["images"]["test"] == 3
    (one, loss_of_one), (two, loss_of_two) = found[1], found[2]
    torch.testing.assert_close(loss_of_two, loss_of_one, rtol=1e-4, atol=1e-5)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name].double(), tensor.double(), rtol=1e-2, atol=2e-4, msg=name)
