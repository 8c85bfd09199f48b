"""Settings of a stage: a frozen model, filled from flags, a file and a recipe.

Unknown keys are errors that suggest the nearest name. `config.toml` in a run folder is the resolved model, so that
`--config` repeats a run. A layer may give only one of mutually exclusive settings (`exclusive`), which replaces
those of lower layers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from copgen.runtime.declaration import declaration
from copgen.runtime.environment import home_expanded
from copgen.runtime.errors import UsageError, nearest
from copgen.runtime.settings_files import Tree, config_table, portable, read_recipe
from copgen.runtime.urls import refuse_url

Tell = Callable[[str], None]


class Conflict(ValueError):
    """Mutually exclusive settings in one layer."""

    def __init__(self, *names: str) -> None:
        super().__init__(f"{' and '.join(names)} cannot both be given")
        self.names = names


class Settings(BaseModel):
    """Base of all stage settings.

    `free` names the fields that may change when a run is resumed. `exclusive` has groups of mutually exclusive
    settings: names, or 'name=value' for one that is exclusive with this value only. In runs of older versions the last
    of a group took precedence. `of_choice` has the settings that belong to the value of another one, such as a method:
    a layer that changes it drops them from the layers below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    free: ClassVar[frozenset[str]] = frozenset()
    exclusive: ClassVar[tuple[tuple[str, ...], ...]] = ()
    of_choice: ClassVar[Mapping[str, Collection[str]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _one_of_each(cls, tree: Any) -> Any:
        return cls.layer(tree) if isinstance(tree, Mapping) else tree

    @model_validator(mode="after")
    def _local_paths(self) -> Self:
        for name, value in self:
            if isinstance(value, Path):
                refuse_url(value, writing=name == "out")
        return self

    @classmethod
    def layer(cls, tree: Mapping[str, Any], *, tell: Callable[[str, str], None] | None = None) -> Tree:
        """A layer of settings in current names and values, checked for mutually exclusive settings.

        Args:
            tree: plain values; None means 'not given'.
            tell: called with each former name or value and the current one.

        Raises:
            Conflict: mutually exclusive settings, or one setting under two names.
        """
        given = dict(tree)
        for name, field in cls.model_fields.items():
            if (declared := declaration(field)) is None:
                continue
            used = now = name
            for other in (*declared.also, *declared.former):
                if other in cls.model_fields or (value := given.pop(other, None)) is None:
                    continue
                if given.get(name) is not None:
                    raise Conflict(other, name)
                given[name] = value
                used = other if other in declared.former else name
            if isinstance(value := given.get(name), str):
                given[name] = (declared.spellings or {}).get(value, value)
                if value in (former := declared.former_values or {}):
                    given[name] = former[value]
                    used, now = f"{used} = {value}", f"{name} = {str(former[value]).lower()}"
            if tell is not None and used != name:
                tell(used, now)
        for group in cls.exclusive:
            if len(found := _given(group, given)) > 1:
                raise Conflict(*found)
        return given

    @classmethod
    def of_a_run(cls, tree: Mapping[str, Any]) -> Tree:
        """The settings in `config.toml` of a run, without those that older versions wrote but ignored."""
        given = {name: value for name, value in tree.items() if name != "stage"}
        for group in cls.exclusive:
            for side in _given(group, given)[:-1]:
                given.pop(side.partition("=")[0])
        return given

    def replaced(self, **changes: Any) -> Self:
        """A validated copy with changes; settings that these exclude are dropped, and None unsets."""
        replaced = changes.keys() - {name for name in self.of_choice if changes.get(name) is not None}
        kept = {name: value for name, value in self.tree().items() if name not in replaced}
        return build(type(self), lay(type(self), kept, changes), origin="settings")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; changes go through `replaced`, so that dependent settings follow."""
        return self.replaced(**update) if update else super().model_copy(deep=deep)

    def tree(self) -> Tree:
        """The settings as plain values without None, as TOML has no null."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self) -> str:
        """The settings as a TOML document."""
        return tomli_w.dumps(portable(self.tree()))

    def difference(self, other: Self) -> list[str]:
        """One line per field that differs and is not free: 'name: here -> there'."""
        here, there = flatten(self.tree()), flatten(other.tree())
        names = [name for name in sorted(here.keys() | there.keys()) if name.split(".")[0] not in self.free]
        return [
            f"{name}: {here.get(name, 'unset')} -> {there.get(name, 'unset')}"
            for name in names
            if here.get(name) != there.get(name)
        ]


SettingsT = TypeVar("SettingsT", bound=Settings)
ModelT = TypeVar("ModelT", bound=BaseModel)


def _given(group: tuple[str, ...], tree: Mapping[str, Any]) -> list[str]:
    """The settings of an exclusive group that a layer gives."""
    found = []
    for side in group:
        name, _, value = side.partition("=")
        if tree.get(name) is not None and (not value or tree[name] == value):
            found.append(side)
    return found


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """Nested tables as dotted names."""
    flat: Tree = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """`base` updated with `over`, table by table; None in `over` means 'not given'."""
    merged = dict(base)
    for name, value in over.items():
        if value is None:
            continue
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def lay(model: type[Settings], below: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """A lower layer updated with a higher one, without the settings that it excludes or has no use for."""
    over = model.layer(over)
    kept = dict(below)
    for choice, settings in model.of_choice.items():
        if over.get(choice) not in (None, below.get(choice, model.model_fields[choice].default)):
            kept = {name: value for name, value in kept.items() if name not in settings}
    for group in model.exclusive:
        if given := _given(group, over):
            for side in _given(group, below):
                if side not in given:
                    kept.pop(side.partition("=")[0])
    return merge(kept, over)


def build(model: type[ModelT], tree: Mapping[str, Any], *, origin: str) -> ModelT:
    """The settings model from plain values.

    Raises:
        UsageError: an unknown key (with the nearest name) or an invalid value (with the reason).
    """
    try:
        return model.model_validate(dict(tree))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _sibling_fields(model, first["loc"])
            raise UsageError(
                f"{origin}: there is no setting '{where}'.", fix=nearest(where.split(".")[-1], known)
            ) from None
        if first["type"] == "missing":
            raise UsageError(f"{origin}: {where} is missing.", fix=f"Pass {where}.") from None
        message = first["msg"].removeprefix("Value error, ")
        if not where:
            raise UsageError(f"{origin}: {message}.") from None
        raise UsageError(f"{origin}: {where} = {first['input']!r} is invalid: {message}.") from None


def _sibling_fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def layered(
    model: type[Settings],
    stage: str,
    *,
    recipe: str | None = None,
    config: Path | None = None,
    flags: Tree | None = None,
    known: Tree | None = None,
    tell: Tell | None = None,
) -> Tree:
    """The layers of `resolve`, merged, with unchecked values.

    Raises:
        UsageError: mutually exclusive settings in one layer, or a file that is not TOML.
    """
    file = config_table(config, stage)
    layers = [
        (f"recipe {recipe}", read_recipe(recipe).get(stage, {}) if recipe else {}),
        (stage, known or {}),
        (str(config), model.of_a_run(file) if "stage" in file else _at_home(model, file)),
        ("", flags or {}),
    ]
    tree: Tree = {}
    for origin, layer in layers:
        tree = _checked(model, tree, layer, origin=origin, tell=tell)
    return tree


def resolve(
    model: type[SettingsT],
    stage: str,
    *,
    recipe: str | None = None,
    config: Path | None = None,
    flags: Tree | None = None,
    known: Tree | None = None,
    tell: Tell | None = None,
) -> SettingsT:
    """Settings of `stage`, by precedence: flags, the `config` file, `known`, the recipe, the model's defaults.

    A config file has the stage's settings at top level (as `config.toml` in a run folder) or in a table per stage; `~`
    in its paths is the home folder.
    `known` are settings from the inputs of the stage, such as the navigator. `tell` gets a warning for each former name
    in the file or the flags.

    Raises:
        UsageError: as `build` and `layered`.
        EnvironmentFault: a path with `~`, and no home folder.
    """
    tree = layered(model, stage, recipe=recipe, config=config, flags=flags, known=known, tell=tell)
    try:
        return build(model, tree, origin=stage)
    except UsageError:
        if config is not None:  # reports the file if the error is in it
            required = {name for name, field in model.model_fields.items() if field.is_required()}
            needed = {name: value for name, value in (flags or {}).items() if name in required}
            tree = layered(model, stage, recipe=recipe, config=config, flags=needed, known=known)
            build(model, tree, origin=str(config))
        raise


def _at_home(model: type[Settings], tree: Tree) -> Tree:
    """A settings file that a person wrote, with the home folder in the place of `~` in its paths."""

    def expanded(value: Any) -> Any:
        if isinstance(value, list):
            return [expanded(one) for one in value]
        home = isinstance(value, str) and value.startswith("~")
        return str(home_expanded(value, "write the whole path, or ./~ for a folder with this name")) if home else value

    paths = {name for name, field in model.model_fields.items() if "Path" in str(field.annotation)}
    return {name: expanded(value) if name in paths else value for name, value in tree.items()}


def _checked(model: type[Settings], below: Tree, over: Tree, *, origin: str, tell: Tell | None) -> Tree:
    """`lay` for a layer of this origin; without an origin it is the flags, which are reported as typed."""
    start = f"{origin}: " if origin else ""

    def typed(name: str) -> str:
        return (
            name
            if origin
            else f"--{name.replace('_', '-').removesuffix(' = true')}".replace(" = ", " ").replace("=", " ")
        )

    def say(former: str, now: str) -> None:
        if tell is not None:
            tell(f"{start}{typed(former)} is now {typed(now)}.")

    try:
        return lay(model, below, model.layer(over, tell=say))
    except Conflict as error:
        names = " and ".join(map(typed, error.names))
        raise UsageError(f"{start}{names} cannot both be given.", fix="Pass only one of them.") from None
