"""Invalid checkpoints: each is refused with the key, file or value, and nothing is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen import generators
from copgen.generators.weights_files import Sources
from copgen.runtime.errors import DataError, EnvironmentFault, ExitCode
from copgen.storage.tensors import load_tensors, save_tensors
from tests.generators import narrow

State = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def edited(path: Path, change: Callable[[State], object]) -> Path:
    """The same file with its content changed in place."""
    content: State = torch.load(path, weights_only=False)
    change(content)
    torch.save(content, path)
    return path


def weights_file(name: str, folder: Path) -> Path:
    path = narrow.published(name, folder)
    return path / "G_ema_best0.pth" if path.is_dir() else path


def state_of(content: State) -> State:
    below: State = content.get("state_dict", content)
    return below


MEMBER = {
    "bigbigan": "blocks.2.0.conv2.weight",
    "biggan-deep-128": "generator.layers.3.conv_1.weight_orig",
    "icgan-128": "shared_feat.bias",
    "residual-flow-mnist": "transforms.1.chain.0.nnet.3.weight",
}
DAMAGE: dict[str, tuple[Callable[[State, str], object], str]] = {
    "missing": (lambda state, key: state.pop(key), "'{key}' is missing"),
    "extra": (lambda state, key: state.update({"surplus": torch.zeros(1)}), "'surplus' is unexpected"),
    "shape": (lambda state, key: state.update({key: state[key][:1].clone()}), "'{key}' has shape"),
    "nan": (lambda state, key: state[key].view(-1)[0].fill_(torch.nan), "'{key}' .*finite"),
    "inf": (lambda state, key: state[key].view(-1)[-1].fill_(-torch.inf), "'{key}' .*finite"),
    "integers": (lambda state, key: state.update({key: state[key].long()}), "'{key}' .*torch.int64"),
    "no tensor": (lambda state, key: state.update({key: 3}), "'{key}' is a int, not a tensor"),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
@pytest.mark.parametrize("name", narrow.NAMES)
def test_a_damaged_tensor_is_named(name: str, damage: str, folder: Path) -> None:
    change, says = DAMAGE[damage]
    key = MEMBER[name]

    def damaged(content: State) -> None:
        change(state_of(content), key)
        if name == "residual-flow-mnist":  # the average is what is used where there is one
            shadow = content["ema"].shadow_params
            if damage == "missing":
                shadow.pop(key)
            elif damage != "extra":
                shadow[key] = state_of(content)[key]

    path = edited(weights_file(name, folder), damaged)
    with pytest.raises(DataError, match=says.format(key=key.replace("3.weight", "[34].weight"))) as caught:
        generators.load(name, weights=path)
    assert caught.value.code is ExitCode.DATA
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("other", narrow.NAMES)
@pytest.mark.parametrize("name", narrow.NAMES)
def test_another_family_is_recognised(name: str, other: str, folder: Path) -> None:
    if name == other:
        return
    path = weights_file(other, folder)
    family = {
        "bigbigan": "BigBiGAN",
        "biggan-deep-128": "BigGAN-deep",
        "icgan-128": "IC-GAN",
        "residual-flow-mnist": "Residual Flow",
    }[other]
    with pytest.raises(DataError, match=rf"{path.name}.* {family}[;,]") as caught:
        generators.load(name, weights=path)
    assert other in caught.value.fix


@pytest.mark.parametrize("prefix", ["module.", "big_gan.", "G.", "module.G."])
def test_the_prefix_of_a_saved_wrapper_is_taken_off(prefix: str, folder: Path) -> None:
    path = narrow.bigbigan(folder)
    G = generators.load("bigbigan", weights=path)
    content: dict[str, Tensor] = torch.load(path, weights_only=True)
    torch.save({prefix + key: value for key, value in content.items()}, path)
    z = G.sample_prior(range(1), 0)
    assert torch.equal(generators.load("bigbigan", weights=path)(z), G(z))


def test_the_logged_singular_values_may_be_absent(folder: Path) -> None:
    path = narrow.bigbigan(folder)

    def without(content: State) -> None:
        for key in [key for key in content if key.endswith("sv0")]:
            del content[key]

    G, z = generators.load("bigbigan", weights=path), torch.zeros(1, 30)
    assert torch.equal(generators.load("bigbigan", weights=edited(path, without))(z), G(z))


@pytest.mark.parametrize("blocks", [4, 3])
def test_another_resolution_is_refused(blocks: int, folder: Path) -> None:
    size = 4 * 2**blocks
    with pytest.raises(DataError, match=rf" {size}x{size} pixels .*'bigbigan'.* 128x128"):
        generators.load("bigbigan", weights=narrow.bigbigan(folder, blocks=blocks))


def test_a_biggan_deep_of_another_resolution_is_told_its_name(folder: Path) -> None:
    with pytest.raises(DataError, match=r"128x128 pixels.*'biggan-deep-256'.* 256x256") as caught:
        generators.load("biggan-deep-256", weights=narrow.biggan_deep_128(folder))
    assert "biggan-deep-128" in caught.value.fix


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layers": None}, "layers"),
        ({"eps": -1.0}, "eps"),
        ({"channel_width": 8}, "has shape"),
        ({"output_dim": 256}, r"config\.json: output_dim 256 "),
        ({"attention_layer_position": 12}, r"config\.json: output_dim 128 "),
        ({"layers": [[True, 16, 8], [False, 4, 1]]}, r"config\.json: .*layers.* from 16 to 1"),
    ],
)
def test_an_invalid_configuration_is_refused(change: State, says: str, folder: Path) -> None:
    path = narrow.biggan_deep_128(folder)
    config = folder / "biggan-deep-128-config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(DataError, match=says):
        generators.load("biggan-deep-128", weights=path)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_biggan_deep_needs_its_configuration(text: str | None, folder: Path) -> None:
    path = narrow.biggan_deep_128(folder)
    config = folder / "biggan-deep-128-config.json"
    config.unlink()
    if text is not None:
        config.write_text(text)
    with pytest.raises(DataError, match=r"biggan-deep-128-config\.json"):
        generators.load("biggan-deep-128", weights=path)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"resolution": 256}, "config.resolution is 256"),
        ({"BN_eps": "small"}, r"config\.BN_eps is 'small'"),
        ({"SN_eps": 0.0}, r"config.SN_eps is 0\.0"),
        ({"class_cond": True}, "config.class_cond is True"),
    ],
)
def test_an_icgan_of_another_configuration_is_refused(config: State, says: str, folder: Path) -> None:
    with pytest.raises(DataError, match=says):
        generators.load("icgan-128", weights=narrow.icgan_128(folder, **config))


def test_epsilons_are_those_of_the_state_file(folder: Path) -> None:
    z, features = torch.ones(1, 30), narrow.unit_rows(1)
    plain = generators.load("icgan-128", weights=narrow.icgan_128(folder))
    changed = generators.load("icgan-128", weights=narrow.icgan_128(folder, BN_eps=0.1))
    assert not torch.allclose(plain(z, features), changed(z, features), atol=1e-3)


def test_of_two_generators_the_one_with_the_lower_fid_is_taken(folder: Path) -> None:
    path = narrow.icgan_128(folder, seed=0, best=0, fid=12.5)
    narrow.icgan_128(folder, seed=1, best=1, fid=11.7)
    assert next(iter(generators.load("icgan-128", weights=path).made_by["sources"])) == "G_ema_best1.pth"
    narrow.icgan_128(folder, seed=1, best=1, fid=13.0)
    assert next(iter(generators.load("icgan-128", weights=path).made_by["sources"])) == "G_ema_best0.pth"


@pytest.mark.parametrize("content", ["truncated", "page", "empty", "missing", "folder"])
@pytest.mark.parametrize("name", narrow.NAMES)
def test_what_is_no_checkpoint_is_refused_with_its_file(name: str, content: str, folder: Path) -> None:
    path = weights_file(name, folder)
    whole = path.read_bytes()
    if content == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "page":
        path.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    elif content == "empty":
        path.write_bytes(b"")
    else:
        path = folder / "nothing" / path.name if content == "missing" else folder / "nothing"
        (folder / "nothing").mkdir()
    with pytest.raises(DataError, match=path.name) as caught:
        generators.load(name, weights=path)
    assert caught.value.code is ExitCode.DATA


def test_a_flow_without_its_average_says_what_to_ask_for(folder: Path) -> None:
    path = edited(narrow.residual_flow_mnist(folder), lambda content: content.pop("ema"))
    with pytest.raises(DataError, match=r"ema\.shadow_params") as caught:
        generators.load("residual-flow-mnist", weights=path)
    assert "raw" in caught.value.fix
    generators.load("residual-flow-mnist", weights=path, parameters="raw")


def test_another_kind_of_flow_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"args\.factor_out is True"):
        generators.load("residual-flow-mnist", weights=narrow.residual_flow_mnist(folder, factor_out=True))


def imported(name: str, folder: Path) -> Path:
    convert = generators.entry(name).convert
    assert convert is not None
    converted = convert(Sources(weights=narrow.published(name, folder)))
    path = folder / "imported.safetensors"
    save_tensors(path, converted.tensors, kind="generator", header=converted.header)
    return path


@pytest.mark.parametrize("damage", ["cut", "config", "prior", "sources", "tensor", "shape"])
@pytest.mark.parametrize("name", narrow.NAMES)
def test_an_imported_file_is_verified_when_it_is_loaded(name: str, damage: str, folder: Path) -> None:
    path = imported(name, folder)
    tensors, header = load_tensors(path, kind="generator")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    else:
        key = min(key for key in tensors if tensors[key].is_floating_point())
        changes: dict[str, Callable[[], object]] = {
            "config": lambda: header.update(config={"channels": [1]}),
            "prior": lambda: header.update(prior={"kind": "cauchy"}),
            "sources": lambda: header.update(source_sha256="none"),
            "tensor": lambda: tensors.pop(key),
            "shape": lambda: tensors.update({key: torch.zeros(1, 2, 3)}),
        }
        changes[damage]()
        rest = {key: value for key, value in header.items() if key not in ("format", "kind")}
        save_tensors(path, tensors, kind="generator", header=rest)
    with pytest.raises(DataError, match=path.name):
        generators.load(name, weights=path)


@pytest.mark.parametrize("other", ["digits", "bigbigan", "biggan-deep-256", "icgan-128", "residual-flow-mnist"])
def test_an_imported_file_of_another_generator_is_refused(other: str, folder: Path) -> None:
    path = imported("biggan-deep-128", folder)
    with pytest.raises(DataError, match="BigGAN-deep"):
        generators.load(other, weights=path)


@pytest.mark.parametrize("name", [*narrow.NAMES, "biggan-deep-256", "biggan-deep-512"])
def test_without_weights_it_says_exactly_what_to_do(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPGEN_WEIGHTS", str(folder))
    with pytest.raises(EnvironmentFault, match=name) as caught:
        generators.load(name)
    assert caught.value.code is ExitCode.ENVIRONMENT
    file = generators.entry(name).files[0]
    for needed in (file.name, file.urls[0], f"copgen generator import {name}", "--weights"):
        assert needed in caught.value.fix
