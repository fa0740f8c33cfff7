"""The catalog: all that vmkeep remembers, on one database."""

from vmkeep.base.clock import Clock
from vmkeep.catalog.database import Database
from vmkeep.catalog.diagnoses import DiagnosisRecords
from vmkeep.catalog.due_runs import DueRunRecords
from vmkeep.catalog.items import ItemRecords
from vmkeep.catalog.jobs import JobRecords
from vmkeep.catalog.locks import LockRecords
from vmkeep.catalog.recovery_points import RecoveryPointRecords
from vmkeep.catalog.settings import SettingRecords
from vmkeep.catalog.vaults import PolicyRecords, VaultRecords


class Catalog(
    VaultRecords,
    PolicyRecords,
    ItemRecords,
    RecoveryPointRecords,
    JobRecords,
    DiagnosisRecords,
    DueRunRecords,
    SettingRecords,
    LockRecords,
):
    """Keeps the model's records and hands them back. Safe to use from many threads and processes.

    `url` is SQLAlchemy's: `sqlite:////var/lib/vmkeep/catalog.db`, `postgresql://user@host/database`.
    Opening it brings the schema up to date; raises CatalogUnavailable, CatalogTooNew.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(Database(url), clock)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()
