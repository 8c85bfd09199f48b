"""Settings: precedence, unknown keys, differences, and the way to TOML and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from copgen.runtime import settings as room
from copgen.runtime.declaration import setting
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.runtime.settings import Settings, build, flatten, merge, resolve
from copgen.runtime.settings_files import read_recipe, read_toml, recipe_names


class Net(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=8, ge=1)
    blocks: tuple[int, ...] = (1, 2)


class Toy(Settings):
    free: ClassVar[frozenset[str]] = frozenset({"device"})

    updates: int = Field(default=10, ge=1)
    lr: float = Field(default=0.1, gt=0)
    temperature: float = Field(default=0.5, gt=0)
    stop: Literal["never", "delta"] = "never"
    delta: float | None = None
    net: Net = Net()
    device: str = "auto"

    @model_validator(mode="after")
    def _delta_is_there(self) -> Toy:
        if self.stop == "delta" and self.delta is None:
            raise ValueError("stop = 'delta' needs a value for delta")
        return self


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {"toy": {"updates": 20, "lr": 0.2, "temperature": 0.2, "net": {"width": 16}}, "other": {"n": 1}}
    monkeypatch.setattr(room, "read_recipe", lambda name: tree)


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("table", [True, False])
def test_flags_beat_config_beats_recipe_beats_defaults(tmp_path: Path, table: bool) -> None:
    text = "updates = 30\nlr = 0.3\nnet.blocks = [3]\n"
    config = write(tmp_path / "c.toml", "[toy]\n" + text + "[other]\nn = 2\n" if table else text)
    flags = {"updates": 40, "temperature": None, "net": {"width": None}}
    toy = resolve(Toy, "toy", recipe="r", config=config, flags=flags)
    assert toy == Toy(updates=40, lr=0.3, temperature=0.2, net=Net(width=16, blocks=(3,)))
    assert resolve(Toy, "toy", recipe="r", config=None, flags={}) == Toy(
        updates=20, lr=0.2, temperature=0.2, net=Net(width=16)
    )
    assert resolve(Toy, "toy", recipe=None, config=None, flags={}) == Toy()
    assert resolve(Toy, "a stage without a table", recipe="r", config=None, flags={}) == Toy()


def test_a_run_repeats_from_its_own_config(tmp_path: Path) -> None:
    toy = Toy(updates=7, delta=0.25, net=Net(blocks=(4, 5)))
    config = write(tmp_path / "config.toml", f'stage = "toy"\n{toy.to_toml()}')
    assert resolve(Toy, "toy", recipe=None, config=config, flags={}) == toy


def test_a_flag_may_complete_what_a_config_begins(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", 'stop = "delta"')
    assert resolve(Toy, "toy", recipe=None, config=config, flags={"delta": 0.2}).delta == 0.2
    with pytest.raises(UsageError, match=r"c\.toml: stop = 'delta' needs a value for delta"):
        resolve(Toy, "toy", recipe=None, config=config, flags={})


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        ({"update": 3}, ["'update'", "Did you mean 'updates'?"]),
        ({"net": {"widht": 3}}, ["'net.widht'", "Did you mean 'width'?"]),
        ({"net": {"updates": 3}}, ["'net.updates'", "Known: blocks, width."]),
        ({"width": 3}, ["'width'", "Known: delta, device, lr, net, stop, temperature, updates."]),
        ({"updates": 0}, ["updates = 0 ", "greater than or equal to 1"]),
        ({"net": {"width": -1}}, ["net.width = -1 ", "greater than or equal to 1"]),
        ({"stop": "sometimes"}, ["stop = 'sometimes' ", "'never' or 'delta'"]),
        ({"stop": "delta"}, ["stop = 'delta' ", "delta"]),
    ],
)
def test_an_invalid_setting_is_a_usage_error(tree: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        build(Toy, tree, origin="x")
    assert str(caught.value).startswith("x: ")
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, "a", None, [1.0], {}])
def test_a_rate_must_be_a_positive_number(value: object) -> None:
    with pytest.raises(UsageError, match="lr"):
        build(Toy, {"lr": value}, origin="x")


@pytest.mark.parametrize("value", [1.5, "1.5", float("nan"), -3, 0, "many"])
def test_a_count_must_be_a_whole_number(value: object) -> None:
    with pytest.raises(UsageError, match="updates"):
        build(Toy, {"updates": value}, origin="x")


def test_a_flaw_in_the_config_names_the_file(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "updats = 3")
    with pytest.raises(UsageError, match=r"c\.toml: there is no setting 'updats'. Did you mean 'updates'\?"):
        resolve(Toy, "toy", recipe=None, config=config, flags={})


def test_a_flaw_in_the_flags_does_not_name_the_file(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "updates = 3")
    with pytest.raises(UsageError) as caught:
        resolve(Toy, "toy", recipe=None, config=config, flags={"lr": -1.0})
    assert str(caught.value).startswith("toy: lr = -1.0")


class Named(Toy):
    name: str


def test_a_flaw_in_the_config_is_named_though_a_flag_gives_what_the_file_lacks(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "lr = -1.0")
    with pytest.raises(UsageError, match=r"c\.toml: lr = -1\.0"):
        resolve(Named, "toy", config=config, flags={"name": "a", "unknown": 1})


def test_a_missing_setting_is_named_without_the_others() -> None:
    with pytest.raises(UsageError) as caught:
        build(Named, {"lr": 0.25}, origin="x")
    assert "name" in caught.value.what
    assert "0.25" not in str(caught.value)
    assert "name" in caught.value.fix


class Run(Settings):
    exclusive = (("epochs", "samples", "updates"), ("scale", "prior=normal"))

    samples: int | None = setting(None, text="Samples.", also=("steps",), former=("n",))
    updates: int | None = setting(None, text="Updates.")
    epochs: float | None = setting(None, text="Epochs.")
    prior: str | None = setting(None, text="Prior.", former_values={"gauss": "normal"}, spellings={"tn": "truncated"})
    scale: float | None = setting(None, text="Scale.")
    rate: float = setting(0.1, text="Rate.", gt=0)


@pytest.mark.parametrize("low", ["epochs", "samples", "steps", "updates"])
@pytest.mark.parametrize("high", ["epochs", "samples", "n", "updates"])
def test_one_of_an_exclusive_group_beats_all_of_a_lower_layer(tmp_path: Path, low: str, high: str) -> None:
    config = write(tmp_path / "c.toml", f"{low} = 3\nrate = 0.5\n")
    run = resolve(Run, "run", config=config, flags={high: 5})
    name = {"steps": "samples", "n": "samples"}.get(high, high)
    assert run.tree() == {name: 5, "rate": 0.5}
    assert Run.model_validate({low: 3}).replaced(**{name: 7}).tree() == {name: 7, "rate": 0.1}


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        ({"samples": 3, "updates": 4}, ("samples", "updates")),
        ({"steps": 3, "epochs": 4}, ("samples", "epochs")),
        ({"steps": 3, "samples": 3}, ("steps", "samples")),
        ({"scale": 0.5, "prior": "normal"}, ("scale", "prior")),
        ({"scale": 0.5, "prior": "gauss"}, ("scale", "prior")),
    ],
)
def test_two_of_a_group_in_one_layer_are_refused_by_name(
    tmp_path: Path, layer: dict[str, Any], names: tuple[str, ...]
) -> None:
    config = write(tmp_path / "c.toml", "\n".join(f"{name} = {value!r}" for name, value in layer.items()))
    for how in ({"config": config}, {"flags": layer}):
        with pytest.raises(UsageError) as caught:
            resolve(Run, "run", **how)
        assert all(name in caught.value.what for name in names)
        assert ("c.toml" in caught.value.what) is ("config" in how)
    with pytest.raises(ValidationError):
        Run.model_validate(layer)


def test_a_value_may_exclude_what_another_value_does_not(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "scale = 0.5")
    assert resolve(Run, "run", config=config, flags={"prior": "tn"}).tree() == {
        "prior": "truncated",
        "scale": 0.5,
        "rate": 0.1,
    }
    assert resolve(Run, "run", config=config, flags={"prior": "normal"}).scale is None


def test_a_run_of_an_older_version_may_hold_several_lengths_of_which_the_last_counted(tmp_path: Path) -> None:
    config = write(tmp_path / "config.toml", 'stage = "run"\nepochs = 100.0\nupdates = 8\n')
    assert resolve(Run, "run", config=config).tree() == {"updates": 8, "rate": 0.1}


def test_changes_are_validated() -> None:
    with pytest.raises(UsageError, match="rate"):
        Run().replaced(rate=-1.0)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Toy(), "updates", 3)  # noqa: B010 - a type checker refuses the plain assignment


def test_difference_names_each_field_that_is_not_free() -> None:
    here = Toy(updates=3, delta=0.5, net=Net(width=2), device="cpu")
    there = Toy(lr=0.3, net=Net(blocks=(9,)), device="cuda")
    assert here.difference(there) == [
        "delta: 0.5 -> unset",
        "lr: 0.1 -> 0.3",
        "net.blocks: [1, 2] -> [9]",
        "net.width: 2 -> 8",
        "updates: 3 -> 10",
    ]
    assert here.difference(here) == []
    assert Toy(device="cpu").difference(Toy(device="cuda")) == []


@given(
    st.builds(
        Toy,
        updates=st.integers(1, 10**12),
        lr=st.floats(min_value=1e-300, max_value=1e300),
        delta=st.none() | st.floats(min_value=1e-300, max_value=1.0),
        device=st.text(alphabet=st.characters(codec="utf-8")),
        net=st.builds(Net, width=st.integers(1, 99), blocks=st.lists(st.integers(), max_size=3).map(tuple)),
    )
)
def test_toml_round_trip(toy: Toy) -> None:
    import tomllib

    assert build(Toy, tomllib.loads(toy.to_toml()), origin="x") == toy


@pytest.mark.parametrize("name", ["caf\udce9/100 %", "caf\u00e9", "a\nb\x1b"])
def test_names_of_any_bytes_come_back_from_a_settings_file(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.toml", Toy(device=name).to_toml())
    assert build(Toy, read_toml(path), origin="x") == Toy(device=name)


def test_flatten_and_merge() -> None:
    assert flatten({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}
    base = {"a": 1, "b": {"c": 2, "d": 3}}
    assert merge(base, {"a": None, "b": {"c": 4, "d": None}, "e": 5}) == {"a": 1, "b": {"c": 4, "d": 3}, "e": 5}
    assert merge({"b": 1}, {"b": {"c": 2}}) == {"b": {"c": 2}}
    assert base == {"a": 1, "b": {"c": 2, "d": 3}}


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2", b"a = " + b"[" * 5000, b'a = ["\\u0000"]'])
def test_what_is_not_toml_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not TOML") as caught:
        read_toml(path)
    assert str(path) in str(caught.value)


def test_a_config_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no settings file .*none\.toml"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_toml(tmp_path)


def test_recipes() -> None:
    assert "digits" in recipe_names()
    assert read_recipe("digits")["navigate"]["generator"] == "digits"
    with pytest.raises(UsageError, match=r"no recipe 'digit'. Did you mean 'digits'\?"):
        read_recipe("digit")
    with pytest.raises(UsageError, match="no recipe"):
        read_recipe("../recipes/digits")


class Places(Settings):
    weights: Path | None = None
    runs: tuple[Path, ...] = ()
    name: str = ""


def test_a_file_of_a_person_may_name_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = 'weights = "~/a.pth"\nruns = ["~/b", "./~/c", "d/~"]\nname = "~/e"\n'
    found = resolve(Places, "places", config=write(tmp_path / "c.toml", text))
    assert found.weights == tmp_path / "a.pth"
    assert found.runs == (tmp_path / "b", Path("~/c"), Path("d/~"))
    assert found.name == "~/e"
    again = write(tmp_path / "config.toml", f'stage = "places"\n{found.to_toml()}')
    assert resolve(Places, "places", config=again) == found  # of a run: what it says is what was used
    monkeypatch.setenv("HOME", "")
    with pytest.raises(EnvironmentFault, match="no home folder"):
        resolve(Places, "places", config=tmp_path / "c.toml")
