"""What can go wrong in the lab.

VmkeepError
├── LabNotPermitted      this machine does not let us make namespaces, bridges or taps
├── NotInLab             asked for a guest outside of the lab
├── LabCommandFailed     a tool (mmdebstrap, qemu-img, …) ended badly
└── LabTimedOut          something did not happen in time
"""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class LabNotPermitted(VmkeepError):
    """This machine does not allow what the lab is made of."""

    retry = Retry.AFTER_CHANGE
    text = "the lab cannot run here: {e.why}"
    remedy = (
        "Run as root on a machine (or in a container) that may make network namespaces, bridges and taps."
    )
    why: str


@dataclass(eq=False)
class NotInLab(VmkeepError):
    """Something that needs a real guest was started outside of the lab."""

    retry = Retry.AFTER_CHANGE
    text = "real guests live inside the lab only"
    remedy = "Run it as `scripts/lab .venv/bin/pytest …`."


@dataclass(eq=False)
class LabCommandFailed(VmkeepError):
    """A tool that the lab runs ended with an error."""

    text = "`{e.command}` ended with {e.rc}: {e.output}"
    command: str
    rc: int
    output: str


@dataclass(eq=False)
class LabTimedOut(VmkeepError):
    """Something the lab waits for did not happen in time."""

    retry = Retry.LATER
    text = "{e.what}: not within {e.waited_s:.0f} s"
    what: str
    waited_s: float
