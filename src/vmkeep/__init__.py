"""vmkeep: Azure Backup for your own hypervisors."""

__version__ = "0.1.0"
