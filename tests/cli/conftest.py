from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner, Result

from tests.arm.running import Running, run_service
from vmkeep.cli.main import app


class Vmkeep(Protocol):
    def __call__(self, *arguments: str, fails: bool = False) -> Result: ...


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with run_service(tmp_path / "state") as service:
        yield service


@pytest.fixture
def vmkeep(running: Running) -> Vmkeep:
    """Run one command against the service."""

    def run(*arguments: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(app, ["--client-file", str(running.ready.client_file), *arguments])
        assert (result.exit_code != 0) == fails, result.output
        return result

    return run
