"""Request bodies, read liberally: members in any case, unknown and null ones ignored.

Clients send back what they once printed, so bodies carry foreign members, nulls and numbers as text.
"""

from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

E = TypeVar("E", bound=StrEnum)


class Body(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _spell(cls, data: Any) -> Any:  # JSON as it came
        if not isinstance(data, dict):
            return data
        known = {
            (field.alias or name).lower(): field.alias or name for name, field in cls.model_fields.items()
        }
        return {known.get(key.lower(), key): value for key, value in data.items() if value is not None}


def any_case(kind: type[E]) -> BeforeValidator:
    """Let an enum's values come in any case."""
    values = {member.value.lower(): member.value for member in kind}
    return BeforeValidator(
        lambda value: values.get(value.lower(), value) if isinstance(value, str) else value
    )


def member(data: dict[str, Any], *names: str) -> Any:  # JSON of any shape
    """Return what stands at a path of members, their case ignored; None when any of them is absent."""
    found: Any = data  # JSON of any shape
    for name in names:
        if not isinstance(found, dict):
            return None
        found = next((value for key, value in found.items() if key.lower() == name.lower()), None)
    return found


Json = dict[str, Any]
"""A JSON object; its values may be anything JSON can be."""

Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
"""A text; numbers are taken as text."""
