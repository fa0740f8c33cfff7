"""What vmkeep remembers: vaults, policies, protected items, recovery points, jobs, settings."""

from vmkeep.catalog.catalog import Catalog

__all__ = ["Catalog"]
