"""Writes docs/cli.md from the commands themselves: `python -m vmkeep.cli.reference > docs/cli.md`."""

import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from vmkeep.cli.main import app

_HEAD = """# The command line

Written by `python -m vmkeep.cli.reference`; a test compares. Every command also explains itself with `--help`.

All commands but `up` talk to the running service over its HTTPS API. They find it through the client file that
`vmkeep up` writes (`local-client.json` in the state folder); name another one with `vmkeep --client-file FILE …` or
`VMKEEP_CLIENT_FILE`. `--output json` prints the API's own JSON. Tab completion: `vmkeep --install-completion`.

| Exit code | Means |
|---|---|
| 0 | all went well |
| 1 | it was refused, or failed, or a check found something |
| 2 | the command was not understood |
| 130 | Ctrl-C; a job that was started goes on |

A refusal stands on stderr: `Error: CODE: what and why`, then `What to do: …`. With `--output json` it is
`{"error": {"code", "message", "advice"}}`, on stderr too. The code is Azure Backup's where it has one.
"""


def commands() -> Iterator[tuple[str, Any]]:  # Typer keeps its command classes to itself
    """Yield each command with its full name, groups left out."""
    yield from _walk("vmkeep", get_command(app))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:  # see commands
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for word, subcommand in subcommands.items():
        yield from _walk(f"{name} {word}", subcommand)


def render() -> str:
    """Return the whole page."""
    return _HEAD + "".join(_section(name, command) for name, command in commands())


def _section(name: str, command: Any) -> str:  # see commands
    arguments = [one for one in command.params if one.param_type_name == "argument" and not one.hidden]
    usage = " ".join([name, *(one.name.upper() for one in arguments), "[OPTIONS]"])
    rows = [_row(one) for one in command.params if getattr(one, "help", None)]
    table = "\n".join(["| | |", "|---|---|", *rows]) + "\n"
    examples = "\n".join(f"    {line.strip()}" for line in command.epilog.removeprefix("Example:").split("|"))
    return f"\n## {name}\n\n`{usage}`\n\n{command.help}\n\n{examples}\n\n{table}"


def _row(parameter: Any) -> str:  # see commands
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    needed = " Required." if parameter.required and parameter.param_type_name == "option" else ""
    return f"| {names} | {parameter.help}{needed} |"


if __name__ == "__main__":
    sys.stdout.write(render())
