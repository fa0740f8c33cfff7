"""`make demo`: what a person would type, on a real guest: backups, a fault found and mended, a restore and its proof."""

import shlex
import subprocess
import sys

from rich.console import Console

from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import VMKEEP, RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

GUEST = "alpha"
COPY = "alpha-copy"
DISKS = ("/root", "/data")

screen = Console(highlight=False)


def say(text: str) -> None:
    """Tell what comes next."""
    screen.print(f"\n[bold]{text}[/bold]")


def typed(service: RunningService, *words: str) -> None:
    """Run one command as a person would, on this terminal."""
    screen.print(f"[green]$ vmkeep {shlex.join(words)}[/green]")
    subprocess.run([VMKEEP, *words], env=service.environment, check=True)


def fill(guest: Guest, name: str, mib: int) -> dict[str, str]:
    """Write new random files inside the guest; return their digests, computed inside the guest."""
    digests = {}
    for folder in DISKS:
        path = f"{folder}/{name}"
        guest.run("dd", "if=/dev/urandom", f"of={path}", "bs=1M", f"count={mib}", "conv=fsync", "status=none")
        digests[path] = guest.digest(path)
    return digests


def compare(name: str, before: dict[str, str], copy: Guest) -> bool:
    """Print the digests of both guests side by side; return whether they are the same."""
    after = {path: copy.digest(path) for path in before}
    for path, digest in before.items():
        verdict = "[green]same[/green]" if after[path] == digest else "[red]DIFFERENT[/red]"
        screen.print(f"  {path:18} {name} {digest[:16]}…  {copy.name} {after[path][:16]}…  {verdict}")
    return after == before


def demonstrate(lab: Lab, service: RunningService) -> bool:
    """Show everything; return whether the restored VM holds what the guest held."""
    say("A Debian guest with the unmodified Azure Linux agent, on this host's libvirt")
    guest = lab.restore_guest(GUEST)
    service.start()
    screen.print(f"vmkeep up: {service.state_dir}")
    typed(service, "vault", "create", "main")
    typed(service, "protection", "enable-for-vm", "--vm", GUEST)
    wait_for_agent(service, guest)
    typed(service, "vm", "list")

    say("20 MiB of new files on each disk; then a full backup while the guest goes on writing")
    digests = fill(guest, "first.bin", 20)
    with guest.writer() as writes:
        typed(service, "protection", "backup-now", "--vm", GUEST)
    screen.print(f"  the guest's own writer stood still for {writes.longest_gap_s:.2f} s at most")

    say("25 MiB more on each disk; the second backup reads and stores what changed only")
    digests |= fill(guest, "second.bin", 25)
    with guest.writer() as writes:
        typed(service, "protection", "backup-now", "--vm", GUEST)
    screen.print(f"  the guest's own writer stood still for {writes.longest_gap_s:.2f} s at most")

    say("Somebody switches the agent off; the doctor proves what the backup lacked, and mends it")
    guest.run("systemctl", "disable", "--now", "walinuxagent")
    typed(service, "protection", "backup-now", "--vm", GUEST)
    typed(service, "doctor", "--vm", GUEST, "--apply")
    typed(service, "recoverypoint", "list", "--vm", GUEST)

    say("A new VM out of the newest recovery point, booted beside the original")
    typed(service, "restore", "vm", "--vm", GUEST, "--recovery-point", "latest", "--name", COPY)
    copy = lab.get_guest(COPY)
    screen.print(f"[green]$ virsh start {COPY}[/green]")
    copy.boot()
    typed(service, "vm", "list")

    say("Digests computed inside the guest before the backups, and inside the restored VM now")
    return compare(GUEST, digests, copy)


def main() -> int:
    """Run the demo; the exit code is 0 when the restore is proven."""
    lab = Lab()
    service = RunningService(lab.new_folder("demo") / "state")
    try:
        proven = demonstrate(lab, service)
    finally:
        service.stop()
    say("The restored VM is what the guest was." if proven else "The restored VM is NOT what the guest was.")
    return 0 if proven else 1


if __name__ == "__main__":
    sys.exit(main())
