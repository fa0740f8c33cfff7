"""All drills, by branches of the tree of causes."""

from tests.drills.drill import Drill
from tests.drills.faults import agent, extension, healthy, host, network

DRILLS: tuple[Drill, ...] = (
    *agent.DRILLS,
    *network.DRILLS,
    *extension.DRILLS,
    *host.DRILLS,
    *healthy.DRILLS,
)
