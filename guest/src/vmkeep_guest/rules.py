"""What the owner of the VM says about freezing, in `vmbackup.conf`."""

import configparser

from vmkeep_guest.freezer import HOLD_S, WAIT_S

_SECTION = "SnapshotThread"


class FreezeRules:
    """Time limits in seconds, and mount points to leave alone."""

    def __init__(self, path: str) -> None:
        """Read `path`; what is absent or cannot be understood has its usual value."""
        parser = configparser.RawConfigParser(strict=False)
        self.hold_s, self.wait_s = HOLD_S, WAIT_S
        self.skipped = set()  # type: set[str]
        self.problem = ""
        """Why nothing of the file could be read, when its encoding is to blame; else empty."""
        try:
            parser.read_string(self._text(path))
            points = parser.get(_SECTION, "MountsToSkip", fallback="").split(",")
            self.skipped = {point.strip().rstrip("/") or "/" for point in points if point.strip()}
            self.hold_s = parser.getfloat(_SECTION, "timeout", fallback=HOLD_S)
            self.wait_s = parser.getfloat(_SECTION, "SafeFreezeWaitInSeconds", fallback=WAIT_S)
        except (OSError, ValueError, configparser.Error):
            pass

    def _text(self, path: str) -> str:
        """Return the file's text, none when it cannot be decoded. Some UTF-16 passes for UTF-8 full of zeros."""
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if "\0" in text or "\ufffd" in text:
            self.problem = "{} is not encoded as ASCII or UTF-8, so it is not heeded".format(path)
            return ""
        return text
