"""The one tree of causes, in the order in which they are excluded."""

from vmkeep.diagnosis.cause import Cause
from vmkeep.diagnosis.leaves import agent, extension, host, network

TREE: tuple[Cause, ...] = (
    *host.LEAVES,
    *agent.FIRST_LEAVES,
    *network.LEAVES,
    *agent.LEAVES,
    *extension.LEAVES,
    *host.LATE_LEAVES,
)
