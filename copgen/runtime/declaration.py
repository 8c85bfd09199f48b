"""The declaration of a setting: name, limits, text, unit, source, and its option on the command line.

A settings model declares its fields with `setting(...)`. Everything else is read from there: the option and its help
(`copgen_cli.flags`), the names and values that older versions used, and the description in the model's JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from copgen.runtime.panels import SETTINGS


@dataclass(frozen=True)
class Flag:
    """How a setting appears on the command line; its option is called like its field.

    Args:
        panel: of the help screen.
        metavar: placeholder of its value; empty for a switch.
        short: its short option, such as '-g'.
        choices: values beyond those of the field, which the command handles itself.
    """

    panel: str
    metavar: str = ""
    short: str = ""
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Declaration:
    """What is declared of a setting besides its type, default and limits.

    Args:
        text: one line of a help screen.
        unit: of its value; empty for names, switches and numbers without one.
        source: of the default: the paper, the authors' code, measured here, our choice.
        also: permanent aliases, such as 'steps' for 'samples'.
        former: names in older versions; accepted with a warning.
        former_values: values in older versions and their current ones; accepted with a warning.
        spellings: aliases of values.
        flag: None for a setting without an option.
    """

    text: str
    unit: str = ""
    source: str = ""
    also: Sequence[str] = ()
    former: Sequence[str] = ()
    former_values: Mapping[str, Any] | None = None
    spellings: Mapping[str, str] | None = None
    flag: Flag | None = None


def setting(default: Any = PydanticUndefined, *, text: str, **how: Any) -> Any:
    """A field of a settings model.

    Args:
        default: of the setting; without it the setting is required.
        text: one line of a help screen.
        how: other arguments of `Declaration`, and of `pydantic.Field` (ge, lt, min_length, ...).
    """
    declared = {name: how.pop(name) for name in Declaration.__dataclass_fields__.keys() & how.keys()}
    declaration = Declaration(text, **declared)
    notes = ", ".join(note for note in (declaration.unit, declaration.source) if note)
    description = f"{text} ({notes})" if notes else text
    return Field(default, description=description, json_schema_extra={"setting": asdict(declaration)}, **how)


def declaration(field: FieldInfo) -> Declaration | None:
    """The declaration of a field; None if it was not made by `setting`."""
    extra = field.json_schema_extra
    found = extra.get("setting") if isinstance(extra, dict) else None
    if not isinstance(found, dict):
        return None
    values: dict[str, Any] = dict(found)
    flag = values.pop("flag")
    return Declaration(**values, flag=Flag(**flag) if flag else None)


def seed_setting(**how: Any) -> Any:
    """Declares `seed`."""
    return setting(0, text="Random seed.", ge=0, flag=Flag(SETTINGS, "N"), **how)


def device_setting() -> Any:
    """Declares `device`."""
    return setting("auto", text="auto, cpu, cuda or cuda:N.", flag=Flag(SETTINGS, "NAME"))


def deterministic_setting() -> Any:
    """Declares `deterministic`."""
    return setting(
        False,
        text="The same bits in every run on CUDA; may be slower.",
        source="torch.use_deterministic_algorithms",
        flag=Flag(SETTINGS),
    )
