"""The `@command` decorator, and groups that import a command when it is run.

A command is a function under `@command`. Its parameters are the settings given as flags, where it runs a stage; options
in typer's notation; and a bundle of shared options (`options.Report` and its subclasses).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from copgen_cli import options as o
from copgen_cli.help import HelpScreen

if TYPE_CHECKING:
    from copgen.runtime.settings import Settings

Body = Callable[..., None]


@dataclass(frozen=True)
class Command:
    """A command, from which the parser's is built."""

    body: Body
    examples: tuple[str, ...]
    models: tuple[type[Settings], ...]

    def build(self, name: str) -> Any:
        """The parser's command."""
        app = typer.Typer(add_completion=False)
        how: dict[str, Any] = {"cls": _Command, "epilog": "\n".join(self.examples), "add_help_option": False}
        app.command(name, **how)(self.typed())
        return typer.main.get_command(app)

    def typed(self) -> Body:
        """The body as a function of options alone."""
        own = list(inspect.signature(self.body, eval_str=True).parameters.values())
        settings = self._settings()
        bundles = {one.name: one.annotation for one in own if _is_bundle(one.annotation)}

        def run(*, debug: bool, help: bool, **values: Any) -> None:  # these two act before
            if self.models:
                given = {name: values.pop(name) for name in settings}
                values[own[0].name] = {name: value for name, value in given.items() if value is not None}
            for name, bundle in bundles.items():
                values[name] = bundle(**{field.name: values.pop(field.name) for field in fields(bundle)})
            self.body(**values)

        rest = own[1:] if self.models else own
        shared = (_parameter("debug", o.Debug), _parameter("help", o.Help))
        parameters = [*settings.values(), *map(_with_parser, _expanded(rest)), *shared]
        run.__doc__, run.__annotations__ = self.body.__doc__, {}
        run.__signature__ = inspect.Signature(o.by_panel(parameters))  # type: ignore[attr-defined]
        return run

    def _settings(self) -> Mapping[str, inspect.Parameter]:
        if not self.models:
            return {}
        from copgen_cli.flags import options_of

        return {option.name: option for option in options_of(*self.models)}


def command(*examples: str, settings: tuple[type[Settings], ...] = ()) -> Callable[[Body], Command]:
    """Declare a function as a command.

    Args:
        examples: command lines for the end of the help.
        settings: models whose settings are options; the function's first argument then has those that were given.
    """
    return lambda body: Command(body, examples, settings)


def _is_bundle(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, o.Report)


def _expanded(parameters: list[inspect.Parameter]) -> Iterator[inspect.Parameter]:
    for one in parameters:
        if _is_bundle(one.annotation):
            yield from _expanded(list(inspect.signature(one.annotation, eval_str=True).parameters.values()))
        else:
            yield one.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def _with_parser(one: inspect.Parameter) -> inspect.Parameter:
    """A path's parser, which refuses URLs, unless it has one; other parameters are left alone."""
    match get_args(one.annotation):
        case (kind, typer.models.ParameterInfo() as info) if Path in (kind, *get_args(kind)) and info.parser is None:
            info.parser = o.target if one.name == "out" else o.source
    return one


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


@dataclass(frozen=True)
class Entry:
    """A line of the table of commands.

    Args:
        line: its summary in the help.
        place: 'module:attribute' of a command; empty for a group, whose commands are those below its name.
        panel: of the help.
        examples: of a group.
    """

    line: str
    place: str = ""
    panel: str | None = None
    examples: tuple[str, ...] = ()

    def load(self) -> Command:
        """Import the command."""
        module, _, name = self.place.partition(":")
        loaded: Command = getattr(import_module(f"copgen_cli.{module}"), name)
        return loaded


class _Command(HelpScreen, TyperCommand):
    """A command of the parser."""


class Group(HelpScreen, TyperGroup):
    """A group of the table, which has the lines of its help; a command is imported when it is run."""

    table: Mapping[str, Entry]
    path: str

    @cached_property
    def below(self) -> dict[str, Entry]:
        """Its commands by name."""
        start = f"{self.path} " if self.path else ""
        found = {path.removeprefix(start): entry for path, entry in self.table.items() if path.startswith(start)}
        return {name: entry for name, entry in found.items() if " " not in name}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in self.below:
            self.commands[args[0]] = self.loaded(args[0])
        return super().resolve_command(ctx, args)

    def loaded(self, name: str) -> Any:
        """A command of the group, imported."""
        entry, path = self.below[name], f"{self.path} {name}".strip()
        return entry.load().build(name) if entry.place else group(self.table, path, _about, entry)


def group(table: Mapping[str, Entry], path: str, callback: Body, entry: Entry) -> Group:
    """The group at a path of the table; the root is at ''."""
    app = typer.Typer(cls=Group, no_args_is_help=True, add_completion=False, add_help_option=False)
    app.callback(help=entry.line, epilog="\n".join(entry.examples))(callback)
    made: Any = typer.main.get_command(app)
    made.name, made.table, made.path = path.rpartition(" ")[2], table, path
    for name, one in made.below.items():
        made.add_command(TyperCommand(name, help=one.line, rich_help_panel=one.panel))
    return cast(Group, made)


def _about(help: o.PlainHelp = False) -> None:
    """The options of a group."""
