"""Options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"


class RestoreTier(StrEnum):
    """Where a restore reads from."""

    INSTANT = "instant"
    VAULT = "vault"

    @property
    def wire(self) -> str:
        """Azure's word."""
        return {RestoreTier.INSTANT: "InstantRP", RestoreTier.VAULT: "HardenedRP"}[self]


OUTPUT = "vmkeep.output"
"""Where a command's context keeps how answers are printed, for those who print its errors."""


def _remember(context: typer.Context, output: Output) -> Output:
    context.meta[OUTPUT] = output
    return output


OutputOption = Annotated[
    Output,
    typer.Option(
        "--output",
        "-o",
        callback=_remember,
        is_eager=True,
        help="table for people, json for programs (the API's own JSON).",
    ),
]
VmOption = Annotated[str, typer.Option("--vm", help="Name of the VM.")]
VaultOption = Annotated[
    str | None, typer.Option("--vault", help="Vault; may be left out when only one fits.")
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Return as soon as the job has started.")]
PointOption = Annotated[str, typer.Option("--recovery-point", help="Id of the recovery point, or 'latest'.")]
TierOption = Annotated[
    RestoreTier | None,
    typer.Option(
        "--tier",
        case_sensitive=False,
        help="instant (the host's own layers) or vault; default: instant when there is one.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
