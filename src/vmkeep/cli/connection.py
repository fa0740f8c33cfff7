"""The connection that a command works with: made when first needed, by the file that `vmkeep up` wrote."""

import os
from pathlib import Path

import typer

from vmkeep.client.backup import Backup
from vmkeep.client.credentials import read_credentials
from vmkeep.client.session import Session

DEFAULT_STATE_DIR = "/var/lib/vmkeep"
CLIENT_FILE = "local-client.json"


def client_file(named: Path | None) -> Path:
    """Return the client file: the one named, else the one in VMKEEP_STATE_DIR or the default state folder."""
    return named or Path(os.environ.get("VMKEEP_STATE_DIR") or DEFAULT_STATE_DIR) / CLIENT_FILE


def connect(context: typer.Context) -> Backup:
    """Return the operations of the service; the connection closes with the command."""
    session = Session(read_credentials(client_file(context.find_root().obj)))
    context.call_on_close(session.close)
    return Backup(session)
