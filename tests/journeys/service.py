"""The whole service as a user runs it: `vmkeep up` in a process of its own, driven by the command line only."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.tools import wait_for

VMKEEP = str(Path(sys.executable).with_name("vmkeep"))
WAIT_S = 400


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class JobSeen:
    """A job as the command line shows it."""

    json: dict[str, Any]  # the API's own JSON

    @property
    def id(self) -> str:
        return str(self.json["name"])

    @property
    def status(self) -> str:
        return str(self.json["properties"]["status"])

    @property
    def facts(self) -> dict[str, str]:
        """What the job measured or made, by name."""
        return dict(self.json["properties"]["extendedInfo"]["propertyBag"])

    @property
    def warnings(self) -> list[str]:
        return [warning["code"] for warning in self.json["properties"]["vmkeep"]["warnings"]]

    @property
    def error(self) -> str:
        error = self.json["properties"]["vmkeep"]["error"]
        return str(error["code"]) if error else ""

    @property
    def message(self) -> str:
        """Why it failed, or what it warns of, and what to do, as one text."""
        own = self.json["properties"]["vmkeep"]
        said = [own["error"]] if own["error"] else own["warnings"]
        return " ".join(f"{error['message']} {error['advice']}" for error in said)

    def task(self, name: str) -> dict[str, Any]:
        tasks = self.json["properties"]["extendedInfo"]["tasksList"]
        return next(task for task in tasks if task["taskId"] == name)


@dataclass
class RunningService:
    """`vmkeep up` on a state folder of its own."""

    state_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        return self.state_dir.with_suffix(".log")

    @property
    def environment(self) -> dict[str, str]:
        own = {"VMKEEP_STATE_DIR": str(self.state_dir), "VMKEEP_PORT": "0", "VMKEEP_SCHEDULES": "false"}
        return {**os.environ, **own, **self.settings}

    def start(self) -> None:
        """Start the service; return when it says it is ready."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [VMKEEP, "up"], stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "https://" in line, f"vmkeep up did not become ready: {line}\n{self.tail()}"

    def stop(self) -> None:
        """Ask the service to end, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self._reap()

    def kill(self) -> None:
        """End the service as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def tail(self) -> str:
        """Return the end of the service's log."""
        return self.log.read_text()[-6000:]

    def run(self, *args: str) -> Answer:
        """Run one command and return what it answered."""
        done = subprocess.run(
            [VMKEEP, *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
            env=self.environment,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ask(self, *args: str) -> Any:  # whatever the command prints as JSON
        """Run one command that must succeed and return its JSON."""
        answer = self.run(*args, "--output", "json")
        assert answer.code == 0, f"vmkeep {' '.join(args)}: {answer.out}{answer.err}\n{self.tail()}"
        return json.loads(answer.out)

    def job(self, *args: str) -> JobSeen:
        """Run one command that starts or shows a job; return the job, however it ended."""
        answer = self.run(*args, "--output", "json")
        assert answer.out.startswith("{"), f"vmkeep {' '.join(args)}: {answer.out}{answer.err}\n{self.tail()}"
        return JobSeen(json.loads(answer.out))

    def backup_now(self, vm: str, *options: str) -> JobSeen:
        """Back a VM up and return the job."""
        return self.job("protection", "backup-now", "--vm", vm, *options)

    def verdict(self, job: JobSeen, *, limit_s: float = 90) -> str:
        """Return the verdict that the doctor notes on an unwell job by itself."""
        look = lambda: self.job("job", "show", job.id).facts.get("Verdict", "")  # noqa: E731
        return wait_for(look, f"a verdict on job {job.id}", limit_s=limit_s)

    def refusal(self, *args: str) -> str:
        """Run one command that must fail with an explanation; return the explanation."""
        answer = self.run(*args)
        assert answer.code == 1, f"vmkeep {' '.join(args)}: {answer.out}{answer.err}"
        assert answer.err.startswith("Error: "), answer.err
        return " ".join(answer.err.split())

    def job_in(self, phase: str, vm: str) -> JobSeen:
        """Start a backup and return its job as soon as the service's log says that it is in `phase`."""
        job = self.backup_now(vm, "--no-wait")
        wait_for(lambda: (job.id, phase) in self._phases(), f"{phase} of job {job.id}", limit_s=WAIT_S)
        return job

    def _phases(self) -> set[tuple[str, str]]:
        lines = [line for line in self.log.read_text().splitlines() if '"job.phase"' in line]
        return {(event["job"], event["phase"]) for event in map(json.loads, lines)}

    def points(self, vm: str) -> list[str]:
        """Return the ids of a VM's recovery points, newest first."""
        return [point["name"] for point in self.ask("recoverypoint", "list", "--vm", vm)]

    def findings(self) -> Any:  # JSON
        """Return what `fabric check` finds amiss on the host."""
        return json.loads(self.run("fabric", "check", "--output", "json").out)
