"""Settings from a TOML file, the environment and the command line, in rising order of weight.

A settings class is a flat frozen dataclass; every field has a default and one sentence of help:
`port: Annotated[int, "TCP port to listen on."] = 8443`.
"""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from vmkeep.base.errors import InvalidValue, Retry, VmkeepError

PREFIX = "VMKEEP_"
T = TypeVar("T")


@dataclass(eq=False)
class UnknownSetting(VmkeepError):
    """The configuration file has a key that nothing reads."""

    retry = Retry.AFTER_CHANGE
    text = "{e.file}: there is no setting '{e.name}'"
    remedy = "Correct the name{e.hint} or remove the line."
    file: str
    name: str
    hint: str = ""


@dataclass(eq=False)
class UnreadableConfig(VmkeepError):
    """The configuration file cannot be read or is not TOML."""

    retry = Retry.AFTER_CHANGE
    text = "cannot read the configuration file {e.file}: {e.why}"
    remedy = "Correct the file, or name another one with --config."
    file: str
    why: str


def load(
    kind: type[T], *, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object | None]
) -> T:
    """Return the settings; flags that are None count as absent.

    Raises UnreadableConfig, UnknownSetting, InvalidValue.
    """
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type] # any dataclass
    values: dict[str, object] = {}
    for name, value in (_read(file) if file else {}).items():
        if name not in known:
            raise UnknownSetting(file=str(file), name=name, hint=_hint(name, known))
        values[name] = _convert(known[name], value, source=f"setting {name} in {file}")
    for name, one in known.items():
        variable = PREFIX + name.upper()
        if environ.get(variable):
            values[name] = _convert(one, environ[variable], source=f"environment variable {variable}")
        if flags.get(name) is not None:
            values[name] = _convert(one, flags[name], source=f"--{name.replace('_', '-')}")
    return kind(**values)


def describe(kind: type) -> list[tuple[str, str, str]]:
    """Return (name, default, help) of every setting, for documentation."""
    helps = get_type_hints(kind, include_extras=True)
    return [(one.name, _show(one.default), helps[one.name].__metadata__[0]) for one in fields(kind)]


def _show(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _read(file: Path) -> dict[str, Any]:  # TOML values
    try:
        return tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UnreadableConfig(file=str(file), why=str(error)) from error


def _hint(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _convert(one: Field[Any], value: object, *, source: str) -> object:  # a field of any type
    convert = _CONVERT[type(one.default) if not isinstance(one.default, Path) else Path]
    try:
        return convert(value)
    except (ValueError, TypeError) as error:
        raise InvalidValue(what=source, value=str(value), why=str(error)) from error


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("a whole number is wanted")
    return int(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return value


def _yes_or_no(value: object) -> bool:
    words = {"true": True, "false": False}
    if str(value).lower() not in words:
        raise ValueError("true or false is wanted")
    return words[str(value).lower()]


_CONVERT: dict[type, Callable[[Any], object]] = {  # raw TOML, environment or flag values
    bool: _yes_or_no,
    str: _text,
    int: _number,
    float: float,
    Path: Path,
}
