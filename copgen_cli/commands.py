"""What a command is made of, and groups that import a command when it is asked for.

A command is a function under `@command`: its own parameters in typer's notation, first the settings that were given as
flags where it runs a stage, and a bundle (`options.Report` and what builds on it) of what many commands take.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from copgen_cli import options as o

if TYPE_CHECKING:
    from copgen.runtime.settings import Settings

Body = Callable[..., None]


@dataclass(frozen=True)
class Command:
    """A command before it is built for the parser."""

    body: Body
    examples: tuple[str, ...]
    models: tuple[type[Settings], ...]

    def build(self, name: str) -> Any:
        """The parser's command."""
        app = typer.Typer(add_completion=False)
        app.command(name, epilog=o.examples(*self.examples), add_help_option=False)(self._typed())
        return typer.main.get_command(app)

    def _typed(self) -> Body:
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
        parameters = [*settings.values(), *_expanded(rest), _parameter("debug", o.Debug), _parameter("help", o.Help)]
        signature = inspect.Signature(o.by_panel(parameters))
        run.__doc__, run.__annotations__ = self.body.__doc__, {}
        run.__signature__ = signature  # type: ignore[attr-defined]
        return run

    def _settings(self) -> Mapping[str, inspect.Parameter]:
        if not self.models:
            return {}
        from copgen_cli.flags import options_of

        return {option.name: option for option in options_of(*self.models)}


def command(*examples: str, settings: tuple[type[Settings], ...] = ()) -> Callable[[Body], Command]:
    """Makes a command of a function.

    Args:
        examples: command lines to copy, at the end of the help.
        settings: models whose settings are options; the function's first argument then holds those that were given.
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


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


@dataclass(frozen=True)
class Entry:
    """A line of the table of commands.

    Args:
        line: what it does, in a line of the help.
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


class Group(TyperGroup):
    """A group of the table: its help takes lines from there, and a command is imported when it runs."""

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
    app.callback(help=entry.line, epilog=o.examples(*entry.examples))(callback)
    made: Any = typer.main.get_command(app)
    found: Group = made
    found.name, found.table, found.path = path.rpartition(" ")[2], table, path
    for name, one in found.below.items():
        found.add_command(TyperCommand(name, help=one.line, rich_help_panel=one.panel))
    return found


def _about(help: o.PlainHelp = False) -> None:
    """The options of a group."""
