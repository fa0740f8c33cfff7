"""A group of commands that ends with one clear message when something goes wrong."""

from typing import Any

import typer
from typer.core import TyperGroup

from vmkeep.base.errors import VmkeepError

INTERRUPTED = 130


class Commands(TyperGroup):
    """Prints an error as what, why and what to do, and exits with 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # Typer always makes its own Context; Any: what the command returns
        """Run the command."""
        try:
            return super().invoke(ctx)
        except VmkeepError as error:
            typer.echo(f"Error: {error}", err=True)
            if error.advice:
                typer.echo(f"What to do: {error.advice}", err=True)
            raise typer.Exit(1) from error


def group(text: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(cls=Commands, help=text, no_args_is_help=True, rich_markup_mode="rich")


def example(*lines: str) -> str:
    """Return the epilog that shows how a command is used."""
    return "Example: " + "  |  ".join(lines)
