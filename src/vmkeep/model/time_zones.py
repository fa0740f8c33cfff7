"""Time zones by the names that people and Azure use."""

import difflib
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tzlocal.windows_tz import win_tz

from vmkeep.model.errors import InvalidPolicy

_WINDOWS = {name.lower(): iana for name, iana in win_tz.items()}


@cache
def find_zone(name: str) -> ZoneInfo:
    """Return a zone by its IANA name, or its Windows name as Azure sends it; raises InvalidPolicy.

    Windows names follow the CLDR's table: `Pacific Standard Time` is America/Los_Angeles, with daylight saving.
    """
    try:
        return ZoneInfo(_WINDOWS.get(name.lower(), name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        close = difflib.get_close_matches(name, [*available_timezones(), *win_tz], n=2)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        why = f"there is no time zone '{name}'{hint}; use a name such as UTC, Europe/Berlin or Pacific Standard Time"
        raise InvalidPolicy(where="timeZone", why=why) from error
