"""The authors' tree becomes a pairs folder with the same pixels, which all of copgen takes; a bad one is refused."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from copgen import pairs
from copgen.runtime.errors import DataError, EnvironmentFault, Stopped, UsageError
from copgen.stages.pairs_folder.import_pairs import import_pairs
from tests.pairs.trees import picture, tree
from tests.stages.small import At, Recorder, files, send


@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 4, 4)], ids=["RGB", "grey"])
@pytest.mark.parametrize("roles", [("anchor", "neighbor"), ("anchor", "1.0_1", "1.0_2")], ids=["one", "several"])
def test_pixels_and_order_are_kept(tmp_path: Path, shape: tuple[int, int, int], roles: tuple[str, ...]) -> None:
    made = import_pairs(tree(tmp_path / "set", roles=roles, shape=shape), out=tmp_path / "pairs", pairs_per_shard=2)
    assert (made["pairs"], made["shards"], made["positives"]) == (5, 3, len(roles) - 1)
    assert made["classes"] == {"n01": 3, "n02": 2}
    assert pairs.verify(tmp_path / "pairs", "decode") == []
    found = list(pairs.read(tmp_path / "pairs", "full"))
    for k, pair in enumerate(found):
        for j, image in enumerate((pair.anchor, *pair.positives)):
            expected = np.atleast_3d(picture(k * len(roles) + j, shape)).transpose(2, 0, 1)
            assert torch.equal(image, torch.from_numpy(expected.copy()))
    assert found[3].metadata == {"index": 3, "class": "n02", "file": "seed0001_sample00000"}


def test_the_plan_says_where_they_are_from_and_nothing_that_is_not_known(tmp_path: Path) -> None:
    import_pairs(tree(tmp_path / "set"), out=tmp_path / "pairs")
    plan = pairs.read_plan(tmp_path / "pairs")
    assert isinstance(plan, pairs.ImportedPlan)
    assert (plan.imported.layout, plan.imported.name, plan.imported.files) == ("genrep", "set", 10)
    unknown = {"generator", "seed", "prior", "transform", "rounding", "device", "batch"}
    assert unknown & plan.model_dump().keys() == set()
    card = (tmp_path / "pairs/README.md").read_text()
    assert "from the folder `set`" in card
    assert "not recorded" in card


def test_the_same_tree_gives_the_same_bytes_and_nothing_is_done_twice(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set")
    for out in ("one", "two", "two"):
        import_pairs(folder, out=tmp_path / out, pairs_per_shard=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_stopped_import_goes_on(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set", {"n01": 250})
    with pytest.raises(Stopped):
        import_pairs(folder, out=tmp_path / "b", pairs_per_shard=120, events=At(120, lambda: send(signal.SIGTERM)))
    assert len(list((tmp_path / "b/records").iterdir())) == 1
    import_pairs(folder, out=tmp_path / "a", pairs_per_shard=120)
    import_pairs(folder, out=tmp_path / "b", pairs_per_shard=120)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_one_shard_is_regenerated_byte_for_byte(tmp_path: Path) -> None:
    folder, out = tree(tmp_path / "set"), tmp_path / "pairs"
    import_pairs(folder, out=out, pairs_per_shard=2)
    whole = files(out)
    for name in ("shards/shard-000001.tar", "shards/shard-000002.tar"):
        (out / name).write_bytes(b"damaged")
    assert import_pairs(folder, out=out, only=1)["missing"] == [2]
    assert import_pairs(folder, out=out, pairs_per_shard=2, only=2)["missing"] == []
    assert files(out) == whole
    with pytest.raises(UsageError, match=r"no shard 3.*0 to 2"):
        import_pairs(folder, out=out, pairs_per_shard=2, only=3)


def test_a_tree_that_changed_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder, out = tree(tmp_path / "set"), tmp_path / "pairs"
    import_pairs(folder, out=out)
    for role in ("anchor", "neighbor"):
        (folder / f"train/n02/seed0001_sample00001_{role}.png").unlink()
    with pytest.raises(UsageError, match=r"imported\.files is 10, not 8.*pairs is 5, not 4"):
        import_pairs(folder, out=out)
    assert import_pairs(folder, out=out, overwrite=True)["pairs"] == 4
    assert pairs.verify(out, "full") == []


def test_ignored_files_and_uneven_classes_are_reported(tmp_path: Path) -> None:
    events = Recorder()
    import_pairs(tree(tmp_path / "set"), out=tmp_path / "pairs", events=events)
    (sentence,) = events.sentences
    assert re.search(r"\b2 files ", sentence)
    assert re.match(r"Class n02 .* 2 pairs, .* 3\b", events.warnings[0])
    assert events.tasks == [("import", 5, "pairs", 0)]
    assert events.advances[-1] == 5


@pytest.mark.parametrize("end", ["jpg", "jpeg", "webp"])
def test_lossy_trees_are_imported_with_the_pixels_that_they_decode_to(tmp_path: Path, end: str) -> None:
    folder = tree(tmp_path / "set", end=end)
    import_pairs(folder, out=tmp_path / "pairs")
    for pair in pairs.read(tmp_path / "pairs", "full"):
        stem = folder / "train" / pair.metadata["class"] / pair.metadata["file"]
        for role, image in (("anchor", pair.anchor), ("neighbor", pair.positive)):
            with Image.open(f"{stem}_{role}.{end}") as expected:
                assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(expected))
    broken = folder / f"train/n02/seed0001_sample00001_neighbor.{end}"
    broken.write_bytes(broken.read_bytes()[:-2])
    with pytest.raises(DataError, match=re.escape(str(broken))):
        import_pairs(folder, out=tmp_path / "again")


def test_an_import_of_an_older_version_goes_on(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set", roles=("anchor", "1.0_1"))
    import_pairs(folder, out=tmp_path / "pairs", pairs_per_shard=2)
    plan = pairs.read_plan(tmp_path / "pairs")
    assert isinstance(plan, pairs.ImportedPlan)
    assert plan.imported.roles == ("1.0_1",)
    older = plan.model_copy(update={"imported": plan.imported.model_copy(update={"roles": None})})
    assert "roles" not in older.text()
    older.write(tmp_path / "pairs/plan.json")
    for record in (tmp_path / "pairs/records").iterdir():
        record.write_text(record.read_text().replace(plan.digest, older.digest))
    before = files(tmp_path / "pairs")
    import_pairs(folder, out=tmp_path / "pairs")
    after = files(tmp_path / "pairs")
    assert {name: after[name] for name in after if name.startswith("shards")} == {
        name: before[name] for name in before if name.startswith("shards")
    }
    assert pairs.read_plan(tmp_path / "pairs") == older


def _image(path: Path, *, size: tuple[int, int] = (5, 6), mode: str = "RGB", cut: int = 0) -> None:
    Image.new(mode, size).save(path)
    path.write_bytes(path.read_bytes()[: -cut or None])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"size": (6, 6)}, "is 6 x 6 pixels"),
        ({"size": (5, 7)}, "is 7 x 5 pixels"),
        ({"mode": "L"}, "is 8-bit grey"),
        ({"mode": "RGBA"}, "is 8-bit RGB with alpha"),
        ({"cut": 5}, "is truncated"),
        ({"cut": 30}, "is truncated"),
        ({"cut": 9999}, "is not a PNG image"),
    ],
    ids=str,
)
def test_a_bad_image_is_named_and_finished_shards_are_kept(
    tmp_path: Path, damage: dict[str, Any], message: str
) -> None:
    folder, out = tree(tmp_path / "set"), tmp_path / "pairs"
    path = folder / "train/n02/seed0001_sample00000_neighbor.png"
    _image(path, **damage)
    with pytest.raises(DataError) as caught:
        import_pairs(folder, out=out, pairs_per_shard=2)
    assert str(path) in caught.value.what
    assert message in caught.value.what
    assert "6 x 5 pixels" in caught.value.fix
    assert sorted(path.name for path in (out / "shards").iterdir()) == ["shard-000000.idx", "shard-000000.tar"]
    assert not (out / "manifest.json").exists()


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("x")
    with pytest.raises(EnvironmentFault, match=r"not empty .*pairs .*'chapter\.tex'"):
        import_pairs(tree(tmp_path / "set"), out=tmp_path / "thesis")
    assert files(tmp_path / "thesis") == {"chapter.tex": b"x"}
