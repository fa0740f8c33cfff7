"""Small named texts that outlive the process."""

from sqlalchemy import select

from vmkeep.catalog.errors import SettingNotFound
from vmkeep.catalog.rows import Records, put_row
from vmkeep.catalog.schema import settings


class SettingRecords(Records):
    """The settings."""

    def find_setting(self, key: str) -> str | None:
        """Return a setting, or None when it was never put."""
        with self._database.reading() as connection:
            return connection.execute(select(settings.c.value).where(settings.c.key == key)).scalar()

    def get_setting(self, key: str) -> str:
        """Return a setting; raises SettingNotFound."""
        value = self.find_setting(key)
        if value is None:
            raise SettingNotFound(key=key)
        return value

    def put_setting(self, key: str, value: str) -> None:
        """Keep a setting."""
        with self._database.writing() as connection:
            put_row(connection, settings, {"key": key, "value": value})
