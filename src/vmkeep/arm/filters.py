"""Reads ARM's `$filter`: `key eq 'value' and key eq 'value'`."""

import re
from datetime import UTC, datetime

from vmkeep.arm.errors import BadFilter

_TERM = re.compile(r"\s*(?P<key>[A-Za-z/]+)\s+eq\s+(?:'(?P<quoted>(?:[^']|'')*)'|(?P<bare>[^\s']+))\s*")
_AND = re.compile(r"and\s", re.IGNORECASE)
TIME_FORMATS = ("%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


class Filter:
    """A `$filter` as read; keys without regard to case. Keys that nobody asks for are ignored."""

    def __init__(self, text: str | None) -> None:
        self._text = text or ""
        self._terms: dict[str, str] = {}
        position = 0
        while position < len(self._text):
            term = _TERM.match(self._text, position)
            if term is None:
                raise BadFilter(filter=self._text, why=f"nothing sensible at position {position + 1}")
            value = term["quoted"].replace("''", "'") if term["bare"] is None else term["bare"]
            self._terms[term["key"].lower()] = value
            position = term.end()
            if position < len(self._text):
                link = _AND.match(self._text, position)
                if link is None:
                    raise BadFilter(filter=self._text, why=f"'and' is wanted at position {position + 1}")
                position = link.end()

    def find(self, key: str) -> str | None:
        """Return the value asked for, or None when the filter does not mention the key."""
        return self._terms.get(key.lower()) or None

    def accepts(self, key: str, value: str) -> bool:
        """Whether a resource with this value passes; case is ignored."""
        wanted = self.find(key)
        return wanted is None or wanted.lower() == value.lower()

    def find_time(self, key: str) -> datetime | None:
        """Return a moment in UTC; ISO 8601 or the 12-hour clock that `az` sends. Raises BadFilter."""
        value = self.find(key)
        if value is None:
            return None
        for form in TIME_FORMATS:
            try:
                return datetime.strptime(value, form).replace(tzinfo=UTC)
            except ValueError:
                continue
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise BadFilter(filter=self._text, why=f"'{value}' is not a time") from error
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
