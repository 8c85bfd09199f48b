"""Evaluations on data of every kind: what is prepared how, cached, and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.eval.linear import eval_linear
from copgen.stages.eval.settings.linear import EvalLinearSettings
from tests.data import made
from tests.stages.eval import drawn
from tests.stages.eval.test_linear import Recorder, quick

COLOURED = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="none")


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder of RGB images of 16 pixels."""
    folder = tmp_path_factory.mktemp("coloured")
    torch.manual_seed(0)
    encoders.save_encoder(folder, encoders.build("digits", 3), COLOURED, {})
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.photos(tmp_path_factory.mktemp("data") / "photos")


def settings(ckpt: Path, dataset: Path | str, **changes: object) -> EvalLinearSettings:
    return quick(ckpt, dataset=str(dataset), labels_per_class=(), **changes)


def test_a_folder_of_photos(coloured: Path, photos: Path, tmp_path: Path) -> None:
    result = eval_linear(settings(coloured, photos), out=tmp_path)
    assert result["dataset"]["images"] == {"train": 54, "validation": 6, "test": 18}
    assert result["images"] == {"size": 16, "resize": 18, "channels": 3}
    assert result["inputs"].keys() == {"images", "validation images", "test images"}
    assert list(result["per_class"]) == ["cat", "dog", "owl"]
    assert result["top1"] > 0.9
    assert result["top5"] is None


def test_shards_give_what_folders_give(coloured: Path, photos: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        members: dict[str, bytes] = {}
        for path in sorted(photos.glob(f"{split}/*/*.png")):
            name = f"{path.parent.name}-{path.stem}"
            members |= {f"{name}.png": path.read_bytes(), f"{name}.cls": path.parent.name.encode()}
        made.tar(tmp_path / "shards" / f"{split}-000000.tar", members)
    of_folder = eval_linear(settings(coloured, photos), out=tmp_path / "a")
    of_shards = eval_linear(settings(coloured, tmp_path / "shards"), out=tmp_path / "b")
    for field in ("top1", "confusion", "linear", "nearest_neighbour"):
        assert of_shards[field] == of_folder[field]


def test_features_are_kept_and_belong_to_encoder_data_and_size(coloured: Path, photos: Path, tmp_path: Path) -> None:
    ckpt, events = tmp_path / "run", Recorder()
    shutil.copytree(coloured, ckpt)
    first = eval_linear(settings(ckpt, photos))
    files = sorted((ckpt / "eval" / "features").iterdir())
    assert len(files) == 3
    again = eval_linear(settings(ckpt, photos), overwrite=True, events=events)
    assert again == first
    assert sum(f"are read from {ckpt}" in line for line in events.lines) == 3
    files[0].write_bytes(files[0].read_bytes()[:-8])  # damaged: extracted again
    assert eval_linear(settings(ckpt, photos), overwrite=True) == first
    eval_linear(settings(ckpt, photos, resize=24))
    assert len(list((ckpt / "eval" / "features").iterdir())) == 6
    torch.manual_seed(1)
    encoders.save_encoder(ckpt, encoders.build("digits", 3), COLOURED, {})
    other = eval_linear(settings(ckpt, photos))
    assert other["encoder"]["sha256"] != first["encoder"]["sha256"]
    assert len(list((ckpt / "eval" / "features").iterdir())) == 9
    eval_linear(settings(coloured, photos, cache=False), out=tmp_path / "no cache")
    assert [path.name for path in (tmp_path / "no cache").iterdir()] == ["results.json"]


def test_a_dataset_by_name_below_a_data_root(tmp_path: Path) -> None:
    drawn.mnist(tmp_path / "data" / "mnist")
    config = EncoderConfig(arch="digits", in_channels=1, image_size=28, views="mnist")
    torch.manual_seed(0)
    encoders.save_encoder(tmp_path, encoders.build("digits", 1), config, {})
    result = eval_linear(settings(tmp_path, "mnist", data_root=tmp_path / "data"))
    assert result["dataset"]["images"] == {"train": 180, "validation": 20, "test": 60}
    assert result["images"] == {"size": 28, "resize": None, "channels": 1}
    assert result["top1"] > 0.9


def test_few_labels_of_small_classes_are_left_out_unless_asked_for(coloured: Path, tmp_path: Path) -> None:
    photos, events = drawn.photos(tmp_path / "photos", train=6, test=2), Recorder()
    result = eval_linear(
        EvalLinearSettings(ckpt=coloured, dataset=str(photos), label_draws=2), out=tmp_path, events=events
    )
    assert list(result["few_labels"]) == ["1", "5"]
    assert any("A class has 5 training images" in line for line in events.lines)
    with pytest.raises(UsageError, match="10 labels per class"):
        eval_linear(quick(coloured, dataset=str(photos), labels_per_class=(10,)), out=tmp_path)


def test_folders_that_cannot_be_evaluated_are_refused(coloured: Path, photos: Path, tmp_path: Path) -> None:
    plain = made.files(tmp_path / "plain", {"train/1.png": made.image(1), "val/2.png": made.image(2)})
    with pytest.raises(UsageError, match="plain has none"):
        eval_linear(settings(coloured, plain))
    with pytest.raises(UsageError, match="no test split"):
        eval_linear(settings(coloured, photos / "train"))
    with pytest.raises(DataError, match=r"validation split of .*few has no images"):
        eval_linear(settings(coloured, drawn.photos(tmp_path / "few", train=4)))
    strange = tmp_path / "strange"
    shutil.copytree(photos, strange)
    shutil.copytree(strange / "val" / "cat", strange / "val" / "yak")
    with pytest.raises(DataError, match="'yak'"):
        eval_linear(settings(coloured, strange))
    (strange / "val" / "yak").rename(strange / "train" / "yak")
    for image in (strange / "train" / "yak").iterdir():
        image.unlink()
    with pytest.raises(DataError, match="class 'yak' is empty"):
        eval_linear(settings(coloured, strange))
