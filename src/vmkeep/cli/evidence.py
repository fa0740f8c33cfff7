"""Evidence as a table, in order of time."""

from vmkeep.cli.options import Output
from vmkeep.cli.printing import Column, local_time, print_list
from vmkeep.client.session import Json

_EVIDENCE: list[Column] = [
    ("Time", lambda one: local_time(one["time"])),
    ("Seen from", lambda one: one["vantage"]),
    ("Fact", lambda one: one["fact"]),
    ("Value", lambda one: one["value"]),
    ("Source", lambda one: one["source"]),
]


def print_evidence(diagnosis: Json, output: Output) -> None:
    """Print what a diagnosis is based on."""
    print_list(output, _EVIDENCE, diagnosis["evidence"], empty="Nothing could be seen.")
