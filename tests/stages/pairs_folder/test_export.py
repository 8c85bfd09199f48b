"""Exports contain all pairs, resume where they were stopped, and never touch other files."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from copgen import pairs
from copgen.pairs import layout
from copgen.runtime.errors import DataError, EnvironmentFault, Stopped, UsageError
from copgen.stages.pairs_folder.export import export, read_class_names
from copgen.stages.pairs_folder.import_pairs import import_pairs
from tests.pairs import folders
from tests.pairs.trees import tree
from tests.stages.small import At, files, send

FORMS = ("folder", "genrep", "cop-gen", "wds-single")


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pairs in three shards, of which class 0 has four and class 1 three."""
    return labelled(tmp_path / "pairs", folders.plan(image_shape=(3, 6, 5)))


def labelled(folder: Path, plan: pairs.Plan) -> Path:
    """A finished folder whose pairs have classes 0 and 1 in turn."""
    plan.save(folder)
    for number in range(plan.shards):
        several = (folders.pair(plan, index) for index in plan.shard_range(number))
        known = (pairs.Pair(one.index, one.anchor, one.positives, {"class": one.index % 2}) for one in several)
        pairs.write_shard(folder, plan, number, known)
    pairs.finish(folder, plan)
    return folder


def pixels(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def test_image_folder_reads_every_image_with_its_class(folder: Path, tmp_path: Path) -> None:
    found = export(folder, to="folder", out=tmp_path / "out")
    assert found == {"to": "folder", "pairs": 7, "images": 14, "already_finished": False}
    read = ImageFolder(str(tmp_path / "out"))
    assert read.classes == ["0000", "0001"]
    assert len(read) == 14
    for pair in pairs.read(folder):
        place = tmp_path / f"out/{pair.metadata['class']:04d}"
        for role, image in (("anchor", pair.anchor), ("positive", pair.positive)):
            assert torch.equal(pixels((place / f"{layout.key(pair.index)}.{role}.png").read_bytes()), image)


def positive_of(anchor: Path, to: str, *, neighbor: int = 1, std: float = 1.0) -> Path:
    """The image that the loaders of GenRep and COP-Gen open beside an anchor, by the names that they make up."""
    if to == "cop-gen":
        return anchor.with_name(anchor.name.replace("anchor", "neighbor"))
    gaussian = anchor.with_name(anchor.name.replace("anchor", f"{std:.1f}_{neighbor}"))
    steered = anchor.with_name(anchor.name.replace("anchor", f"neighbor_{neighbor - 1}"))
    return gaussian if gaussian.is_file() else steered


@pytest.mark.parametrize(("image_format", "quality"), [("png", None), ("jpg", 90), ("webp", 90)])
@pytest.mark.parametrize("to", ["genrep", "cop-gen"])
def test_the_readers_of_a_tree_find_every_pair(tmp_path: Path, to: str, image_format: str, quality: int | None) -> None:
    plan = folders.plan(image_shape=(3, 6, 5), image_format=image_format, quality=quality)
    folder = labelled(tmp_path / "pairs", plan)
    export(folder, to=to, out=tmp_path / "tree")
    expected = {pair.index: (pair.anchor, pair.positive) for pair in pairs.read(folder)}
    anchors = sorted(tmp_path.glob("tree/train/*/*_anchor.png"))
    assert len(anchors) == len(expected)
    for anchor in anchors:
        index = int(anchor.name.split("sample")[1].split("_")[0])
        for path, image in zip((anchor, positive_of(anchor, to)), expected[index], strict=True):
            assert path.read_bytes().startswith(b"\x89PNG")
            assert torch.equal(pixels(path.read_bytes()), image)
    assert import_pairs(tmp_path / "tree", out=tmp_path / "again")["pairs"] == len(expected)


def test_an_export_of_an_older_version_does_not_go_on_with_other_names(folder: Path, tmp_path: Path) -> None:
    export(folder, to="genrep", out=tmp_path / "out")
    path = tmp_path / "out/export.json"
    document = json.loads(path.read_text())
    del document["roles"]
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="roles"):
        export(folder, to="genrep", out=tmp_path / "out")
    path.write_text(json.dumps({**document, "to": "cop-gen"}))
    assert export(folder, to="cop-gen", out=tmp_path / "out")["already_finished"]


@pytest.mark.parametrize("positives", [1, 3])
def test_the_authors_tree_comes_back_as_the_same_pairs(tmp_path: Path, positives: int) -> None:
    folder = labelled(tmp_path / "pairs", folders.plan(image_shape=(3, 6, 5), positives=positives))
    export(folder, to="genrep", out=tmp_path / "tree")
    import_pairs(tmp_path / "tree", out=tmp_path / "again")
    by_class = sorted(pairs.read(folder), key=lambda pair: pair.metadata["class"])
    for one, other in zip(by_class, pairs.read(tmp_path / "again"), strict=True):
        assert torch.equal(one.anchor, other.anchor)
        assert all(torch.equal(a, b) for a, b in zip(one.positives, other.positives, strict=True))
        assert other.metadata["class"] == f"{one.metadata['class']:04d}"


@pytest.mark.parametrize(
    ("to", "positives"),
    [
        ("cop-gen", ("neighbor",)),
        ("genrep", ("neighbor_0",)),
        ("genrep", ("neighbor_0", "neighbor_1")),
        ("genrep", ("1.0_1",)),
        ("genrep", ("0.5_1", "0.5_2", "0.5_3")),
        ("genrep", ("neighbor_4", "neighbor_7")),
    ],
    ids=str,
)
def test_an_imported_tree_goes_out_under_its_old_names(tmp_path: Path, to: str, positives: tuple[str, ...]) -> None:
    folder = tree(tmp_path / "set", roles=("anchor", *positives))
    import_pairs(folder, out=tmp_path / "pairs", pairs_per_shard=2)
    export(tmp_path / "pairs", to=to, out=tmp_path / "out")
    images = {name for name in files(tmp_path / "set") if name.endswith(".png")}
    assert {name for name in files(tmp_path / "out") if name != "export.json"} == images


def test_anchors_alone_are_a_webdataset(folder: Path, tmp_path: Path) -> None:
    export(folder, to="wds-single", out=tmp_path / "out")
    found = []
    for number in range(3):
        with tarfile.open(tmp_path / f"out/shard-{number:06d}.tar") as tar:
            found += [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    assert [name for name, _ in found[:3]] == ["000000000.png", "000000000.cls", "000000000.json"]
    for k, pair in enumerate(pairs.read(folder)):
        image, label, metadata = (data for _, data in found[3 * k : 3 * k + 3])
        assert torch.equal(pixels(image), pair.anchor)
        assert (int(label), json.loads(metadata)) == (k % 2, pair.metadata)


@pytest.mark.parametrize("to", FORMS)
def test_a_stopped_export_goes_on_to_the_same_files(tmp_path: Path, to: str) -> None:
    folder = labelled(tmp_path / "pairs", folders.plan(pairs=250, pairs_per_shard=120))
    with pytest.raises(Stopped):
        export(folder, to=to, out=tmp_path / "b", events=At(200, lambda: send(signal.SIGTERM)))
    assert json.loads((tmp_path / "b/export.json").read_text())["done"] == 1
    export(folder, to=to, out=tmp_path / "a")
    assert export(folder, to=to, out=tmp_path / "b")["already_finished"] is False
    assert files(tmp_path / "a") == files(tmp_path / "b")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*")}
    assert export(folder, to=to, out=tmp_path / "b")["already_finished"] is True
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*")} == before


@pytest.mark.parametrize("to", FORMS)
def test_a_disk_that_fills_leaves_no_torn_file(
    folder: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.replace, []

    def full(source: Any, target: Any) -> None:
        written.append(target)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(EnvironmentFault, match="disk is full"):
        export(folder, to=to, out=tmp_path / "out")
    monkeypatch.setattr(os, "replace", real)
    assert list((tmp_path / "out").rglob("*.partial")) == []
    export(folder, to=to, out=tmp_path / "out")
    export(folder, to=to, out=tmp_path / "straight")
    assert files(tmp_path / "out") == files(tmp_path / "straight")


def test_a_foreign_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_bytes(b"x")
    for out in (tmp_path / "photos", folder):
        before = files(out)
        with pytest.raises(EnvironmentFault, match=r"not empty .*exported pairs"):
            export(folder, to="folder", out=out)
        assert files(out) == before


def test_another_export_is_refused(folder: Path, tmp_path: Path) -> None:
    export(folder, to="folder", out=tmp_path / "out")
    names = tmp_path / "names.txt"
    names.write_text("fish\nbird\n")
    other = labelled(tmp_path / "other", folders.plan(seed=4))
    with pytest.raises(UsageError, match=r'to is "folder", not "genrep"'):
        export(folder, to="genrep", out=tmp_path / "out")
    with pytest.raises(UsageError, match=r'classes is \[\], not \["fish", "bird"\]'):
        export(folder, to="folder", out=tmp_path / "out", class_names=names)
    with pytest.raises(UsageError, match=r"another export: .*plan is"):
        export(other, to="folder", out=tmp_path / "out")
    with pytest.raises(UsageError, match="Did you mean 'folder'"):
        export(folder, to="folders", out=tmp_path / "out")


def test_damaged_shards_do_not_go_out(folder: Path, tmp_path: Path) -> None:
    path = layout.tar_path(folder, 1)
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"shard-000001\.tar was modified"):
        export(folder, to="folder", out=tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 6  # of the whole shard before it
    path.unlink()
    with pytest.raises(DataError, match=r"shard-000001\.tar is missing"):
        export(folder, to="folder", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/b"])
@pytest.mark.parametrize("to", ["folder", "genrep"])
def test_a_class_never_leads_outside(tmp_path: Path, name: str, to: str) -> None:
    plan = folders.plan(pairs=1)
    plan.save(tmp_path / "pairs")
    one = folders.pair(plan, 0)
    pairs.write_shard(tmp_path / "pairs", plan, 0, iter([pairs.Pair(0, one.anchor, one.positives, {"class": name})]))
    pairs.finish(tmp_path / "pairs", plan)
    with pytest.raises(DataError, match="not a valid folder name"):
        export(tmp_path / "pairs", to=to, out=tmp_path / "a/b/out")
    assert {path.name for path in tmp_path.iterdir()} == {"pairs", "a"}
    assert list((tmp_path / "a/b/out").rglob("*.png")) == []


@pytest.mark.parametrize(
    ("name", "content", "classes"),
    [
        ("classes.json", '{"0": ["n01", "tench"], "1": ["n02", "goldfish"]}', ("n01", "n02")),
        ("classes.json", '{"0": "n01", "1": "n02"}', ("n01", "n02")),
        ("classes.json", '["n01"]', None),
        ("classes.json", '{"1": "n01"}', None),
        ("classes.json", '{"0": 5}', None),
        ("classes.json", "{", None),
        ("classes.txt", "n01\nn02\n", ("n01", "n02")),
        ("classes.txt", "n01\n../n02\n", None),
        ("classes.txt", "great white shark\nn02\n", None),
        ("classes.txt", "n01\n\nn02\n", None),
        ("classes.txt", "crane\nn02\ncrane\n", None),
        ("classes.json", '{"0": "crane", "1": ["n02", "crane"], "2": "crane"}', None),
        ("absent.txt", None, None),
    ],
)
def test_class_names_are_read_from_lists_and_from_the_authors_file(
    tmp_path: Path, name: str, content: str | None, classes: tuple[str, ...] | None
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    if classes is not None:
        assert read_class_names(tmp_path / name) == classes
        return
    with pytest.raises((UsageError, DataError)) as caught:
        read_class_names(tmp_path / name)
    assert caught.value.fix
    assert str(tmp_path / name) in caught.value.what
    if "crane" in (content or ""):
        assert "'crane'" in caught.value.what
        assert "class 0 and class 2" in caught.value.what
