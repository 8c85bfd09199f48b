"""Settings of a stage: a frozen model beside the stage, filled from flags, then a file, then a recipe.

Unknown keys are refused with the nearest known name. `config.toml` in a run folder is the resolved model, so a run can
be repeated from it with `--config`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from copgen.runtime.errors import UsageError, nearest, unknown

Tree = dict[str, Any]


class Settings(BaseModel):
    """Base of all stage settings. `free` names the fields that may change when a run is resumed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    free: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def contradicted(cls, below: Mapping[str, Any], over: Mapping[str, Any]) -> frozenset[str]:
        """The names in a lower layer that a higher one contradicts without naming them; nothing unless a stage says so.

        Args:
            below: the lower layer, such as a recipe's.
            over: the higher one, such as the flags.
        """
        return frozenset()

    def tree(self) -> Tree:
        """The settings as plain values; what is None is left out, as TOML has no null."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self) -> str:
        """The settings as a TOML document."""
        return tomli_w.dumps(self.tree())

    def difference(self, other: Self) -> list[str]:
        """One line for each field that differs and is not free: 'name: here -> there'."""
        here, there = flatten(self.tree()), flatten(other.tree())
        names = [name for name in sorted(here.keys() | there.keys()) if name.split(".")[0] not in self.free]
        return [
            f"{name}: {here.get(name, 'unset')} -> {there.get(name, 'unset')}"
            for name in names
            if here.get(name) != there.get(name)
        ]


SettingsT = TypeVar("SettingsT", bound=Settings)
ModelT = TypeVar("ModelT", bound=BaseModel)


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
    """`over` laid on `base`, table by table; None in `over` means 'not given'."""
    merged = dict(base)
    for name, value in over.items():
        if value is None:
            continue
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def build(model: type[ModelT], tree: Mapping[str, Any], *, origin: str) -> ModelT:
    """The settings model from plain values.

    Raises:
        UsageError: an unknown key (with the nearest name), or a value out of its range (with the reason).
    """
    try:
        return model.model_validate(dict(tree))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _fields_beside(model, first["loc"])
            raise UsageError(
                f"{origin}: there is no setting '{where}'.", fix=nearest(where.split(".")[-1], known)
            ) from None
        message = first["msg"].removeprefix("Value error, ")
        if not where:
            raise UsageError(f"{origin}: {message}.") from None
        raise UsageError(f"{origin}: {where} = {first['input']!r} cannot be used: {message}.") from None


def _fields_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


_piped: dict[Path, str] = {}  # what came from a pipe: it can be read once, and settings are looked at several times


def read_toml(path: Path) -> Tree:
    """A TOML file as plain values; it may be a pipe, such as /dev/stdin.

    Raises:
        UsageError: missing, not readable, or not TOML.
    """
    try:
        if path.is_file():
            return tomllib.loads(path.read_text("utf-8"))
        if path not in _piped:
            _piped[path] = path.read_text("utf-8")
        return tomllib.loads(_piped[path])
    except FileNotFoundError:
        raise UsageError(f"There is no settings file {path}.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}.") from None


def recipe_names() -> list[str]:
    """The recipes that come with copgen."""
    folder = resources.files("copgen") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_recipe(name: str) -> Tree:
    """A recipe: a table of settings for each stage.

    Raises:
        UsageError: unknown name, with the nearest one.
    """
    if name not in recipe_names():
        raise unknown("recipe", name, recipe_names())
    return tomllib.loads((resources.files("copgen") / "recipes" / f"{name}.toml").read_text("utf-8"))


def resolve(
    model: type[SettingsT],
    stage: str,
    *,
    recipe: str | None,
    config: Path | None,
    flags: Tree,
    known: Tree | None = None,
) -> SettingsT:
    """Settings of `stage` by precedence: flags, then the `config` file, then `known`, the recipe, the model's defaults.

    A config file holds the stage's settings at top level (as `config.toml` in a run folder) or a table per stage.
    What is `known` comes from what the stage works on, such as the navigator that it takes.
    """
    tree: Tree = read_recipe(recipe).get(stage, {}) if recipe else {}
    tree = _lay(model, tree, known or {})
    if config is not None:
        given = read_toml(config)
        given = given.get(stage, {}) if isinstance(given.get(stage), dict) else given
        given = {name: value for name, value in given.items() if name != "stage"}  # a run folder's own note
        tree = _lay(model, tree, given)
    try:
        return build(model, _lay(model, tree, flags), origin=stage)
    except UsageError:
        if config is not None:
            build(model, tree, origin=str(config))  # names the file when the fault is its own
        raise


def _lay(model: type[Settings], below: Tree, over: Tree) -> Tree:
    """A layer laid on a lower one, of which nothing stays that it contradicts."""
    contradicted = model.contradicted(below, over)
    return merge({name: value for name, value in below.items() if name not in contradicted}, over)
