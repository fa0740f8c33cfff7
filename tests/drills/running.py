"""Runs one drill: a healthy guest, the fault, a backup, the doctor's verdict, the remedy, a backup."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.drills.drill import Drill, Outcome, Remedy, Scene
from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import JobSeen, RunningService
from tests.lab.errors import LabTimedOut
from tests.lab.lab import Lab
from tests.lab.tools import wait_for
from vmkeep.base.clock import SystemClock

CLOCK = SystemClock()
HEAL_LIMIT_S = 240
VERDICT_LIMIT_S = 240
"""A look into a starved guest takes minutes."""
PAUSE_S = 10
"""Between backups after a remedy, so that they do not reach the limit of restore points."""
WELL = {"Completed"}


@contextmanager
def scene_of(lab: Lab) -> Iterator[Scene]:
    """Yield a healthy, protected guest; all of it is gone afterwards."""
    service = RunningService(lab.new_folder("service") / "state")
    service.start()
    try:
        guest = lab.restore_guest()
        service.ask("vault", "create", "main")
        service.ask("protection", "enable-for-vm", "--vm", guest.name)
        wait_for_agent(service, guest)
        yield Scene(service, guest, lab)
    finally:
        service.stop()
        lab.clear()


def run_drill(drill: Drill, scene: Scene) -> Outcome:
    """Do a drill on a healthy guest and return what it came to."""
    drill.inject(scene)
    injected = CLOCK.monotonic()
    CLOCK.sleep(drill.settles_s)
    answer = scene.service.run("protection", "backup-now", "--vm", scene.guest.name, "--output", "json")
    ended = CLOCK.monotonic()
    job = JobSeen(json.loads(answer.out)) if answer.out.startswith("{") else None
    if job is not None:
        code, status = job.error or next(iter(job.warnings), ""), job.status
        verdict = wait_for_verdict(scene, job)
    else:
        code, status = json.loads(answer.err)["error"]["code"], "refused"
        verdict = read_refusal(scene, answer.err)
    proven = verdict.removeprefix("proven ").split(":")[0] if verdict.startswith("proven ") else ""
    told = CLOCK.monotonic()
    is_tried = bool(drill.cause) and drill.remedy is not Remedy.NOT_TRIED
    healed = heal(drill, scene) if is_tried else None
    return Outcome(
        name=drill.name,
        cause=drill.cause,
        proven=proven,
        codes=drill.codes,
        code=code,
        status=status,
        fault_to_end_s=round(ended - injected, 1),
        end_to_proof_s=round(told - ended, 1) if proven else None,
        remedy=drill.remedy.value if drill.cause else "",
        healed=healed,
        verdict=verdict,
    )


def read_refusal(scene: Scene, said: str) -> str:
    """Return the cause that a refused backup was told at once: no job, so no doctor. It must name the job in the way."""
    jobs = [job["name"] for job in scene.service.ask("job", "list")]
    return f"proven J1: {said}" if any(name in said for name in jobs) else said


def wait_for_verdict(scene: Scene, job: JobSeen) -> str:
    """Return the verdict that the service notes on an unwell job; of a well one, the doctor's on demand."""
    if job.status in WELL:
        return str(scene.service.job("doctor", "--vm", scene.guest.name).json["verdict"])
    try:
        return scene.service.verdict(job, limit_s=VERDICT_LIMIT_S)
    except LabTimedOut:
        return ""


def heal(drill: Drill, scene: Scene) -> bool:
    """Carry the remedy out; return whether the cause is no longer proven and a backup ends well."""
    if drill.remedy is Remedy.APPLY:
        applied = scene.service.run(
            "doctor", "--vm", scene.guest.name, "--apply", "--yes", "--output", "json"
        )
        is_healed = applied.code == 0 and JobSeen(json.loads(applied.out)).status in WELL
        if not is_healed:
            print(applied.out, applied.err, scene.service.tail())
        return is_healed
    drill.heal(scene)
    try:
        return wait_for(lambda: is_well(drill, scene), "a backup ends well", limit_s=HEAL_LIMIT_S)
    except LabTimedOut:
        print(scene.service.tail())
        return False


def is_well(drill: Drill, scene: Scene) -> bool:
    """Back up; return whether that ended well and the doctor finds nothing of the cause."""
    CLOCK.sleep(PAUSE_S)
    job = scene.service.backup_now(scene.guest.name)
    if job.status not in WELL:
        return False
    found = scene.service.job("doctor", "--vm", scene.guest.name).json
    return not (found["cause"] and found["cause"]["id"] == drill.cause)
