"""The extension's log: kept in memory and written only when told, because a frozen disk must not be written to."""

import os

from vmkeep_guest import clock

MAX_BYTES = 1 << 20
"""Size at which the file is set aside as `extension.log.1`; so at most twice this is ever kept."""


class Log:
    """Events with fields. Call `flush` only while no file system is frozen. Never give it a token."""

    def __init__(self, folder: str, max_bytes: int = MAX_BYTES) -> None:
        self._path = os.path.join(folder, "extension.log")
        self._max_bytes = max_bytes
        self._lines = []  # type: list[str]

    def event(self, name: str, **fields: object) -> None:
        """Remember that `name` happened, with its fields, until the next `flush`."""
        words = [clock.stamp(clock.now()), "[{}]".format(os.getpid()), name]
        words += ["{}={!r}".format(key, value) for key, value in fields.items()]
        self._lines.append(" ".join(words) + "\n")

    def accident(self, name: str, error: BaseException) -> None:
        """Remember an unforeseen exception and the way to it, outermost call first."""
        way, place = [], error.__traceback__
        while place is not None:
            code = place.tb_frame.f_code
            way.append("{}:{} {}".format(os.path.basename(code.co_filename), place.tb_lineno, code.co_name))
            place = place.tb_next
        self.event(name, error=repr(error), way=" > ".join(way))

    def flush(self) -> None:
        """Write what was remembered. A log that cannot be written never stops a backup."""
        lines, self._lines = self._lines, []
        try:
            if os.path.exists(self._path) and os.path.getsize(self._path) >= self._max_bytes:
                os.replace(self._path, self._path + ".1")
            with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(lines)
        except OSError:
            pass
