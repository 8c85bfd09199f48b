"""Command-line options from the declarations of settings."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import partial
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from annotated_types import Ge, MinLen
from pydantic.fields import FieldInfo

from copgen.runtime.declaration import Declaration, Flag, declaration
from copgen.runtime.errors import UsageError
from copgen.runtime.row_numbers import parse_rows
from copgen.runtime.settings import Settings
from copgen_cli import options as o

Parse = Callable[[str], Any]
_PLAIN = (int, float, Path, str)
NONE = "none"  # an empty list


def options_of(*models: type[Settings]) -> list[Parameter]:
    """The options of these models, the first for each name, and hidden ones for former names."""
    found: dict[str, Parameter] = {}
    former: dict[str, Parameter] = {}
    for model in models:
        for name, field in model.model_fields.items():
            declared = declaration(field)
            if declared is None or declared.flag is None:
                continue
            found.setdefault(name, _option(name, (name, *declared.also), field, declared, declared.flag))
            for old in declared.former:
                former[old] = _option(old, (old,), field, declared, declared.flag, hidden=True)
    return [*found.values(), *(option for name, option in former.items() if name not in found)]


def _option(
    name: str, names: tuple[str, ...], field: FieldInfo, declared: Declaration, flag: Flag, *, hidden: bool = False
) -> Parameter:
    kind = _bare(field.annotation)
    words = [f"--{one.replace('_', '-')}" for one in names]
    if flag.short and not hidden:
        words.append(flag.short)
    how: dict[str, Any] = {"help": declared.text, "metavar": flag.metavar, "rich_help_panel": flag.panel}
    if kind is bool and not hidden:
        if field.default is not False:  # on, or as the data need it: it can be switched off
            words[0] = f"{words[0]}/{words[0].replace('--', '--no-', 1)}"
        return _parameter(name, bool | None, typer.Option(*words, **how))
    parse = o.one_of(name, *(declared.former_values or {})) if kind is bool else _parser(name, kind, field, declared)
    return _parameter(name, str | None, typer.Option(*words, parser=parse, hidden=hidden, **how))


def parser_of(name: str, field: FieldInfo) -> Parse | None:
    """The parser of a setting's text, whether or not it has an option; None if no text can say a value.

    Lists that have no option of their own are such; they need the brackets of TOML.
    """
    kind, declared = _bare(field.annotation), declaration(field)
    if kind is bool:
        choose = o.one_of(name, "true", "false")
        return lambda text: choose(text) == "true"
    is_list = get_origin(kind) is tuple
    if declared is None or (is_list and declared.flag is None) or not (is_list or kind in _PLAIN or _named(kind)):
        return None
    return _parser(name, kind, field, declared)


def _named(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _parameter(name: str, annotation: Any, option: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option])


def _bare(annotation: Any) -> Any:
    """A type without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(one for one in get_args(annotation) if one is not type(None))
    return annotation


def _parser(name: str, kind: Any, field: FieldInfo, declared: Declaration) -> Parse:
    """The parser of an option's text; the model checks the range."""
    if get_origin(kind) is Literal:
        accepted = {*(declared.spellings or {}), *(declared.former_values or {})}
        choose = o.one_of(name, *get_args(kind), *(declared.flag.choices if declared.flag else ()))
        return lambda text: text if text in accepted else choose(text)
    if get_origin(kind) is tuple and get_args(kind)[0] is str:
        return _words
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        if get_origin(item) is Literal:
            one = o.one_of(name.removesuffix("s"), *get_args(item))
            return partial(_choices, name, one, may_be_empty=not _least(field))
        return lambda text: _whole_numbers(name, text)
    if {int, str} <= {*get_args(field.annotation)}:
        return str  # a count or a name, which the model tells apart
    if kind is int:
        least = next((limit.ge for limit in field.metadata if isinstance(limit, Ge)), 0)
        return o.whole if least == 0 else o.count
    parsers: dict[Any, Parse] = {float: o.number, Path: o.target if name == "out" else o.source, str: str}
    return parsers[kind]


def _least(field: FieldInfo) -> int:
    """How many items a list has at least."""
    return next((limit.min_length for limit in field.metadata if isinstance(limit, MinLen)), 0)


def _choices(name: str, one: Parse, text: str, *, may_be_empty: bool) -> tuple[Any, ...]:
    """Some of the values that an option knows, or none of them."""
    words = _words(text)
    if may_be_empty and NONE in words:
        if len(words) > 1:
            raise o.BadValue(UsageError(f"'{NONE}' stands alone: it means no {name} at all.", fix=f"Pass {NONE}."))
        return ()
    return tuple(map(one, words))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """Whole numbers from '1,5,9' or '0-99', or from a file of such parts; errors name the option (UsageError)."""
    try:
        return parse_rows(text, what="whole")
    except UsageError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error.what}", fix=error.fix) from None
