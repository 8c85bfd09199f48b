"""The texts of `copgen sweep --set NAME=A,B,...` as values of settings.

A value is written as in its option: 20k, 1e-4, byol. One with a comma is quoted, and a list has brackets, as in TOML:

    --set 'stop="band,loss-turn",delta'        --set 'projector=[64,64],[512,128]'
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.settings import Settings
from copgen.stages.sweep.grid import names_of
from copgen_cli.flags import parser_of
from copgen_cli.options import BadValue

OPEN, CLOSED, QUOTES = "[{", "]}", "\"'"
HOW = "Pass NAME=A,B; quote a value that has a comma: --set 'stop=\"band,delta\",delta'."


def values_of(texts: Sequence[str], model: type[Settings]) -> dict[str, tuple[Any, ...]]:
    """The values of each setting, by its name as it was given, in order.

    Raises:
        UsageError: a text without a name or value, an unknown name, one that is given twice, or a value that is none of
            the setting's type.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, sign, listed = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not name:
            raise UsageError(f"--set {text!r} names no setting and values.", fix=HOW)
        if name in found:
            raise UsageError(f"--set {name} is given twice.", fix=f"Pass its values once: --set {name}=A,B.")
        items = list(_items(name, listed))
        if "" in items:
            raise UsageError(f"--set {text}: there is an empty value.", fix=HOW)
        found[name] = tuple(_value(name, item, model) for item in items)
    return found


def _items(name: str, listed: str) -> Iterator[str]:
    """The texts between the commas that are not in quotes or brackets."""
    item, depth, quote = "", 0, ""
    for sign in listed:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in QUOTES and (depth or not item.strip()):
            quote = sign
        elif sign in OPEN and (depth or not item.strip()):
            depth += 1
        elif sign in CLOSED and depth:
            depth -= 1
        elif sign == "," and not depth:
            yield item.strip()
            item = ""
            continue
        item += sign
    if depth or quote:
        raise UsageError(f"--set {name}: {listed} has a quote or bracket without its end.", fix=HOW)
    yield item.strip()


def _value(name: str, item: str, model: type[Settings]) -> Any:
    if item[0] in OPEN + QUOTES:
        try:
            return tomllib.loads(f"value = {item}")["value"]
        except ValueError:
            raise UsageError(f"--set {name}: {item} is no value of TOML.", fix=HOW) from None
    if (current := names_of(model).get(name)) is None:
        raise unknown("setting", name, model.model_fields)
    if (parse := parser_of(current, model.model_fields[current])) is None:
        raise UsageError(f"--set {name}: {item} is not in brackets.", fix=f"Pass --set '{name}=[...],[...]'.")
    try:
        return parse(item)
    except BadValue as error:
        raise UsageError(f"--set {name}: {error.message}", fix=error.fix or HOW) from None
