"""What drills do to a guest and its host."""

from collections.abc import Callable

from tests.drills.drill import Drill, Remedy, Scene

NO_AGENT = "UserErrorGuestAgentStatusUnavailable"
NO_STATUS = "GuestAgentSnapshotTaskStatusError"
FAILED = "ExtensionOperationFailedForManagedDisks"
SILENT_S = 35.0
"""After this long an agent counts as silent."""
RESTART = "systemctl restart walinuxagent"
START = "systemctl unmask walinuxagent; systemctl enable --now walinuxagent"
EXTENSION = "/var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-9*"

Step = Callable[[Scene], None]


def in_guest(script: str) -> Step:
    """Return the step that runs a shell script in the guest."""

    def run(scene: Scene) -> None:
        scene.sh(script)

    return run


def agent(name: str, cause: str, inject: str, heal: str, *, remedy: Remedy = Remedy.PERSON) -> Drill:
    """Return a drill that silences the agent from within the guest."""
    return Drill(name, cause, (NO_AGENT,), in_guest(inject), in_guest(heal), remedy, SILENT_S)


def after_backup(script: str) -> Step:
    """Return the step that runs a shell script in a guest that a first backup has put the extension into."""

    def run(scene: Scene) -> None:
        scene.service.backup_now(scene.guest.name)
        scene.sh(script)

    return run


def in_background(script: str) -> Step:
    """Return the step that starts a shell script in the guest and leaves it running."""
    return in_guest(f"setsid sh -c '{script}' >/dev/null 2>&1 &")


def at_extension(command: str) -> Step:
    """Return the step that does something to the extension's processes whenever there are some, until `leave_extension`.

    A first backup puts the extension into the guest: its installation is spared.
    """
    loop = f"while [ -e /run/drill ]; do {command} -f VMSnapshotLinux-[9]; sleep 0.3; done"
    return after_backup(f"touch /run/drill; setsid sh -c '{loop}' >/dev/null 2>&1 &")


leave_extension = in_guest("rm /run/drill; sleep 1; pkill -KILL -f VMSnapshotLinux-[9] || true")
"""The step that ends `at_extension`."""
