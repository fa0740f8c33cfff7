"""Errors are records.

The rules, kept by every package:

1. An error a user can meet is a subclass of `VmkeepError`: a `code`, fields, a `text` template and a `remedy`.
   Nobody parses sentences: the ARM body, the log line and the diagnosis read `code` and `facts()`.
2. The class is named for what went wrong in the user's words, `code` equals the class name unless Azure
   Backup already has a code for it.
3. `retry` says whether trying again can help: `NEVER` (same input, same answer), `LATER` (nothing need change),
   `AFTER_CHANGE` (the user must change something first).
4. The cause is kept (`raise … from error`). Errors from libraries are translated at the edge of the package
   that uses the library; they never cross a pillar.
5. Never pickled: what is journaled is `code` and `facts()`. Never frozen: contextmanagers re-raise.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar


class Retry(StrEnum):
    """Whether trying again can help."""

    NEVER = "never"
    LATER = "later"
    AFTER_CHANGE = "after-change"


@dataclass(eq=False)
class VmkeepError(Exception):
    """Root of every error that a user of vmkeep can meet.

    Subclasses are dataclasses. `text` and `remedy` are templates that see the error as `e`.
    """

    retry: ClassVar[Retry] = Retry.NEVER
    text: ClassVar[str] = "unexpected error"
    remedy: ClassVar[str] = ""
    code: ClassVar[str] = "InternalError"

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Give each subclass its own name as code, unless it says otherwise."""
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = cls.__name__

    def __str__(self) -> str:
        return self.text.format(e=self)

    @property
    def advice(self) -> str:
        """What the user can do, as one sentence; empty when there is nothing to do."""
        return self.remedy.format(e=self)

    def facts(self) -> dict[str, object]:
        """Return the error's own fields, ready for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(eq=False)
class InvalidValue(VmkeepError):
    """A value given by the user cannot be understood."""

    text = "{e.what} '{e.value}' is not valid: {e.why}"
    remedy = "Correct {e.what} and try again."
    what: str
    value: str
    why: str
