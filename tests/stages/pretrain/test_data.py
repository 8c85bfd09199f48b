"""The training data of pretrain: a pairs folder, or real images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from copgen import pairs
from copgen.data import digits
from copgen.data.opening import open_source
from copgen.data.pairs import GeneratedPairs
from copgen.data.source import DecodedImages, Source
from copgen.pairs.pixels import from_uint8
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.stages.pretraining import PAIRS


def batch_of(source: Source, items: Tensor, samples: range) -> list[Tensor]:
    assert isinstance(source, DecodedImages)
    columns = source.columns(samples, 2)
    return [source.batch(items, columns[:, view], torch.device("cpu")) for view in range(2)]


def test_pairs_come_as_they_lie_in_the_folder(pretrain_pairs: Path) -> None:
    source = open_source(pairs=pretrain_pairs, dataset=None, seed=0)
    indices = torch.tensor([60, 3, 3])
    x, x_pos = batch_of(source, indices, range(3))
    read = {pair.index: pair for pair in pairs.read(pretrain_pairs)}
    assert (len(source), source.channels, source.size) == (PAIRS, 1, (8, 8))
    for place, index in enumerate(indices.tolist()):
        assert torch.equal(x[place], from_uint8(read[index].anchor))
        assert torch.equal(x_pos[place], from_uint8(read[index].positive))
    assert not torch.equal(x, x_pos)


def test_real_images_are_their_own_positives_and_only_the_training_split() -> None:
    source = open_source(pairs=None, dataset="digits", seed=0)
    train = digits.load("train").images
    x, x_pos = batch_of(source, torch.arange(len(source)), range(len(source)))
    assert torch.equal(x, train)
    assert torch.equal(x_pos, train)


def test_of_several_positives_each_sample_index_has_one_at_random(flow: Path, tmp_path: Path) -> None:
    fields = {"generator": "digits", "weights": flow, "n": 20, "batch": 20, "transform": "gaussian", "positives": 3}
    sample(SampleSettings.model_validate({**fields, "device": "cpu"}), out=tmp_path / "pairs")
    source = GeneratedPairs(pairs.open_pairs(tmp_path / "pairs"), seed=0)
    indices, seen = torch.arange(20), []
    for epoch in range(12):
        samples = range(20 * epoch, 20 * epoch + 20)
        x, x_pos = batch_of(source, indices, samples)
        assert torch.equal(x_pos, batch_of(source, indices, samples)[1])
        each = torch.stack([from_uint8(source.pairs.batch(indices, which=which)[1]) for which in range(3)])
        seen.append((each == x_pos).all(dim=(2, 3, 4)).int().argmax(0))
        assert torch.equal(each[seen[-1], indices], x_pos)
        assert torch.equal(x, from_uint8(source.pairs.batch(indices)[0]))
    counts = torch.stack(seen).flatten().bincount(minlength=3)
    assert counts.tolist() == pytest.approx([80, 80, 80], abs=30)
    assert not torch.equal(seen[0], seen[1])
