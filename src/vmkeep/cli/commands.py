"""A group of commands that ends with one clear message when something goes wrong."""

import json
from typing import Any

import typer
from typer.core import TyperGroup

from vmkeep.base.errors import VmkeepError
from vmkeep.cli.options import OUTPUT, Output
from vmkeep.client.errors import ClientError

INTERRUPTED = 130


class Commands(TyperGroup):
    """Prints an error as its code, what, why and what to do, and exits with 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # Typer always makes its own Context; Any: what the command returns
        """Run the command."""
        try:
            return super().invoke(ctx)
        except VmkeepError as error:
            typer.echo(_explain(error, ctx.meta.get(OUTPUT)), err=True)
            raise typer.Exit(1) from error


def _explain(error: VmkeepError, output: Output | None) -> str:
    code = error.service_code if isinstance(error, ClientError) else error.code
    if output is Output.JSON:
        return json.dumps({"error": {"code": code, "message": str(error), "advice": error.advice}}, indent=2)
    what_to_do = f"\nWhat to do: {error.advice}" if error.advice else ""
    return f"Error: {code}: {error}{what_to_do}"


def group(text: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(cls=Commands, help=text, no_args_is_help=True, rich_markup_mode="rich")


def example(*lines: str) -> str:
    """Return the epilog that shows how a command is used."""
    return "Example: " + "  |  ".join(lines)
