"""`copgen generator import`: a published file is converted to one that loads by name, or nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from copgen import generators
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.stages.generator.import_weights import import_generator, is_published
from copgen.stages.generator.inspect import inspect
from copgen.stages.generator.list import list_generators
from copgen.storage.files import sha256_of
from copgen.storage.tensors import load_tensors
from tests.shared_data import shared_weights
from tests.stages.published import write_bigbigan, write_icgan
from tests.storage.foreign.files import FORMATS, save


@pytest.fixture(autouse=True)
def weights_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one of the test's own."""
    monkeypatch.setenv("COPGEN_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.mark.parametrize("layout", FORMATS)
def test_what_was_imported_loads_by_name_and_gives_the_same_images(
    tmp_path: Path, weights_directory: Path, layout: str
) -> None:
    source = tmp_path / "BigBiGAN_x1.pth"
    tensors = write_bigbigan(source, layout=layout)
    found = import_generator("bigbigan", source)
    assert found["weights"] == str(weights_directory / "bigbigan.safetensors")
    assert (found["family"], found["tensors"], found["already_imported"]) == ("BigBiGAN", len(tensors), False)
    assert found["sources"] == {"BigBiGAN_x1.pth": sha256_of(source)}
    assert found["source_sha256"] == sha256_of(source)
    assert [path.name for path in weights_directory.iterdir()] == ["bigbigan.safetensors"]
    stored, header = load_tensors(weights_directory / "bigbigan.safetensors", kind="generator")
    assert all(torch.equal(stored[name], value) for name, value in tensors.items())
    assert header["source_sha256"] == sha256_of(source)
    by_name, by_file = generators.load("bigbigan"), generators.load("bigbigan", weights=source)
    z = by_name.sample_prior(range(2), 0)
    with torch.no_grad():
        assert torch.equal(by_name(z), by_file(z))
    assert by_name.weights_sha256 == by_file.weights_sha256 == sha256_of(source)


def test_the_same_import_again_is_done_already(tmp_path: Path, weights_directory: Path) -> None:
    write_bigbigan(tmp_path / "a.pth")
    import_generator("bigbigan", tmp_path / "a.pth")
    before = (weights_directory / "bigbigan.safetensors").stat().st_mtime_ns
    assert import_generator("bigbigan", tmp_path / "a.pth")["already_imported"]
    assert (weights_directory / "bigbigan.safetensors").stat().st_mtime_ns == before


def test_other_weights_are_not_replaced_unasked(tmp_path: Path, weights_directory: Path) -> None:
    write_bigbigan(tmp_path / "a.pth")
    write_bigbigan(tmp_path / "b.pth", seed=1)
    import_generator("bigbigan", tmp_path / "a.pth")
    before = (weights_directory / "bigbigan.safetensors").read_bytes()
    with pytest.raises(UsageError, match=r"bigbigan\.safetensors .*--overwrite"):
        import_generator("bigbigan", tmp_path / "b.pth")
    assert (weights_directory / "bigbigan.safetensors").read_bytes() == before
    import_generator("bigbigan", tmp_path / "b.pth", overwrite=True)
    assert generators.load("bigbigan").weights_sha256 == sha256_of(tmp_path / "b.pth")


def test_it_can_be_put_elsewhere(tmp_path: Path, weights_directory: Path) -> None:
    write_bigbigan(tmp_path / "a.pth")
    import_generator("bigbigan", tmp_path / "a.pth", out=tmp_path / "x" / "mine.safetensors")
    import_generator("bigbigan", tmp_path / "a.pth", directory=tmp_path / "other")
    assert not weights_directory.exists()
    assert (tmp_path / "x" / "mine.safetensors").read_bytes() == (
        tmp_path / "other" / "bigbigan.safetensors"
    ).read_bytes()
    with pytest.raises(UsageError, match=r"--out .*mine\.safetensors"):
        import_generator("bigbigan", tmp_path / "a.pth", out=tmp_path / "mine.pth")


def test_stored_instances_come_along(tmp_path: Path) -> None:
    weights, instances = write_icgan(tmp_path / "public")
    apart = tmp_path / "apart" / instances.name
    apart.parent.mkdir()
    instances.rename(apart)
    found = import_generator("icgan-128", weights, instances=apart)
    assert set(found["sources"]) == {"G_ema_best0.pth", "state_dict_best0.pth", instances.name}
    G = generators.load("icgan-128")
    condition = G.sample_condition(range(50), 0)
    assert condition is not None
    assert int(condition.max()) == 6


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        ("html", "is a web page"),
        ("cut", "truncated"),
        ("family", "BigBiGAN; .*IC-GAN"),
        ("missing", "tensor 'blocks.2.0.conv2.weight' is missing"),
        ("extra", "tensor 'other' is unexpected"),
        ("shape", r"tensor 'blocks.2.0.conv2.bias' has shape \(9,\).*\(2,\)"),
        ("nan", "tensor 'blocks.2.0.conv2.bias' .*finite"),
        ("resolution", "64x64"),
        ("absent", "is missing"),
    ],
)
def test_what_does_not_verify_leaves_nothing(tmp_path: Path, weights_directory: Path, damage: str, match: str) -> None:
    path = tmp_path / "BigBiGAN_x1.pth"
    tensors = write_bigbigan(path)
    if damage == "html":
        path.write_text("<!DOCTYPE html><html></html>")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "absent":
        path.unlink()
    else:
        if damage == "missing":
            del tensors["blocks.2.0.conv2.weight"]
        elif damage == "extra":
            tensors["other"] = torch.ones(1)
        elif damage == "shape":
            tensors["blocks.2.0.conv2.bias"] = torch.ones(9)
        elif damage == "nan":
            tensors["blocks.2.0.conv2.bias"][1] = torch.nan
        elif damage == "resolution":
            tensors = {name: value for name, value in tensors.items() if not name.startswith("blocks.4.")}
        save(tensors, path, "zip")
    with pytest.raises(DataError, match=match) as caught:
        import_generator("icgan-128" if damage == "family" else "bigbigan", path)
    assert str(path) in str(caught.value)
    assert not weights_directory.exists()


def test_names_without_published_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no generator 'bigigan'\. Did you mean 'bigbigan'"):
        import_generator("bigigan", tmp_path / "a.pth")
    with pytest.raises(UsageError, match=r"'digits' .*with copgen"):
        import_generator("digits", tmp_path / "a.pth")


def test_an_imported_file_is_not_imported_again(tmp_path: Path) -> None:
    """The sources recorded in its header would be lost."""
    write_bigbigan(tmp_path / "a.pth")
    import_generator("bigbigan", tmp_path / "a.pth", out=tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match=r"a\.safetensors .*--weights"):
        import_generator("bigbigan", tmp_path / "a.safetensors")


def test_a_mirror_s_safetensors_can_be_imported(tmp_path: Path) -> None:
    tensors = write_bigbigan(tmp_path / "a.pth")
    save_file(tensors, tmp_path / "a.safetensors")
    assert import_generator("bigbigan", tmp_path / "a.safetensors")["tensors"] == len(tensors)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write_bigbigan(tmp_path / "a.pth")
    (tmp_path / "weights").write_text("no folder")
    with pytest.raises(EnvironmentFault, match="weights cannot be"):
        import_generator("bigbigan", tmp_path / "a.pth")


def test_a_published_hash_is_compared_where_there_is_one() -> None:
    files = generators.entry("biggan-deep-128").files
    published = next(file.sha256 for file in files if file.role == "weights")
    assert published is not None
    assert is_published(files, published) is True
    assert is_published(files, "0" * 64) is False
    assert is_published(generators.entry("bigbigan").files, "0" * 64) is None


def test_the_list_says_what_is_here(tmp_path: Path, weights_directory: Path) -> None:
    def here() -> dict[str, str | None]:
        return {one["name"]: one["weights"] for one in list_generators()["generators"]}

    before = here()
    assert before["bigbigan"] is None
    assert str(before["digits"]).endswith("digits.safetensors")
    write_bigbigan(tmp_path / "a.pth")
    import_generator("bigbigan", tmp_path / "a.pth")
    assert here() == {**before, "bigbigan": str(weights_directory / "bigbigan.safetensors")}
    assert list_generators()["weights_directory"] == str(weights_directory)
    assert list_generators(directory=tmp_path / "other")["generators"] != list_generators()["generators"]


def test_large_images_are_inspected_in_small_batches(tmp_path: Path) -> None:
    weights, _ = write_icgan(tmp_path / "public")
    found = inspect("icgan-128", weights=weights, truncation=0.5, out=tmp_path / "sheet.png")
    assert (found["condition"], found["batch"], found["image_shape"]) == ("instance", 8, [3, 128, 128])
    assert found["prior"] == {"kind": "truncated_normal", "scale": 0.5, "threshold": 2.0}
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("bigbigan", "bigbigan/BigBiGAN_x1.pth"),
        ("biggan-deep-128", "biggan-deep-128/biggan-deep-128-pytorch_model.bin"),
        ("icgan-128", "icgan-128/icgan_biggan_imagenet_res128"),
        ("residual-flow-mnist", "residual-flow-mnist/mnist_resflow_16-16-16.pth"),
    ],
)
def test_every_family_s_public_layout_is_imported(name: str, path: str, tmp_path: Path) -> None:
    source = shared_weights(path, tmp_path)
    import_generator(name, source)
    by_name, by_file = generators.load(name), generators.load(name, weights=source)
    z, condition = by_name.sample_prior(range(2), 0), by_name.sample_condition(range(2), 0)
    with torch.no_grad():
        assert torch.equal(by_name(z, condition), by_file(z, condition))
