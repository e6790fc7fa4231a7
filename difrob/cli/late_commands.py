"""Commands that are imported when they are used: a list of them, with a line about each, costs the import of none."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
import typer.core
import typer.main

from difrob.signals import ended_by_system


class LateCommand(NamedTuple):
    """Where a command comes from, and the line that stands for it in the list of commands.

    Attributes:
        module: whose ``register(app)`` adds the command, perhaps among others.
        line: the first paragraph of the command's own help.
    """

    module: str
    line: str


class LateGroup(typer.core.TyperGroup):
    """A group that lists commands by their lines, and imports the one that is called or asked for its own help."""

    late: Mapping[str, LateCommand] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, command in self.late.items():
            self.add_command(typer.core.TyperCommand(name=name, help=command.line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the words begin with, imported; shell completion asks for it here, too."""
        if (named := self.late.get(args[0])) is not None:
            self.commands.update(commands_in(named.module, self.rich_markup_mode))
        return super().resolve_command(ctx, args)


def commands_in(module: str, markup: typer.core.MarkupMode = "rich") -> dict[str, Any]:
    """The commands that a module registers, by name, as the group holds them."""
    part = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=markup)
    with ended_by_system():
        import_module(module).register(part)
    return dict(typer.main.get_group(part).commands)


def late_group(commands: Mapping[str, LateCommand]) -> type[LateGroup]:
    """The class of a group of such commands, for ``typer.Typer(cls=...)``."""
    return type("LateGroup", (LateGroup,), {"late": commands})
