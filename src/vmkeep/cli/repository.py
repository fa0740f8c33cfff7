"""`vmkeep repository`: the store behind a vault."""

from typing import Annotated

import typer

from vmkeep.base.units import format_size
from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, VaultOption
from vmkeep.cli.printing import print_facts
from vmkeep.client.session import Json

app = group("Check and tidy the repository behind a vault.")


@app.command(epilog=example("vmkeep repository check --vault main --read-data"))
def check(
    context: typer.Context,
    vault: VaultOption = None,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Read every stored byte; finds any flipped bit.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare the repository with what it claims. Exits with 1 when something is wrong."""
    backup = connect(context)
    answer = backup.check_repository(backup.vault(vault), read_data=read_data)
    problems = [("Problem", problem) for problem in answer["problems"]]
    print_facts(output, [*_figures(answer), *(problems or [("Problems", "none")])], answer)
    if problems:
        raise typer.Exit(1)


@app.command(epilog=example("vmkeep repository prune --vault main"))
def prune(context: typer.Context, vault: VaultOption = None, output: OutputOption = Output.TABLE) -> None:
    """Remove what no recovery point needs."""
    backup = connect(context)
    answer = backup.prune_repository(backup.vault(vault))
    print_facts(output, _figures(answer), answer)


def _figures(answer: Json) -> list[tuple[str, str]]:
    """Return the figures of a report; a name that ends in `Bytes` is a size."""
    return [
        (name, format_size(value) if name.endswith("Bytes") else str(value))
        for name, value in answer["figures"].items()
    ]
