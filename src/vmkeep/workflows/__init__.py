"""The only place where the pillars meet: backup, restore, deletion, expiry, as durable work."""

from vmkeep.workflows.engine import Engine
from vmkeep.workflows.limits import Limits

__all__ = ["Engine", "Limits"]
