"""Options that say which disks of a VM are backed up; their names are az's."""

from enum import StrEnum
from typing import Annotated

import typer

from vmkeep.client.session import Json


class DiskListSetting(StrEnum):
    """What a list of LUNs means."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    RESET = "resetexclusionsettings"


SettingOption = Annotated[
    DiskListSetting | None,
    typer.Option("--disk-list-setting", help="Back up the listed disks alone, or all others, or all again."),
]
LunsOption = Annotated[
    list[int] | None,
    typer.Option("--diskslist", help="LUNs of data disks, as `vmkeep vm show` shows them: --diskslist 0 1"),
]
MoreLunsArgument = Annotated[list[int] | None, typer.Argument(hidden=True, show_default=False)]
"""The LUNs that follow the first one; the option takes one, `--diskslist 0 1` is how az writes it."""
OnlyOsDiskOption = Annotated[
    bool, typer.Option("--exclude-all-data-disks", help="Back up the OS disk alone.")
]


def read_disks(
    setting: DiskListSetting | None, luns: list[int] | None, more: list[int] | None, *, only_os_disk: bool
) -> Json | None:
    """Return what the options say as `extendedProperties`; None when they say nothing."""
    listed = [*(luns or []), *(more or [])]
    if more and not luns:
        raise typer.BadParameter("LUNs follow --diskslist")
    if only_os_disk:
        if setting or listed:
            raise typer.BadParameter("--exclude-all-data-disks goes with no list of disks")
        return _exclusion([], included=True)
    if setting is DiskListSetting.RESET:
        return {}
    if bool(setting) != bool(listed):
        raise typer.BadParameter("--disk-list-setting and --diskslist go together")
    return _exclusion(listed, included=setting is DiskListSetting.INCLUDE) if setting else None


def show_disks(item: Json) -> str:
    """Return which disks of an item are backed up; empty when all are."""
    listed = (item["properties"].get("extendedProperties") or {}).get("diskExclusionProperties")
    if not listed:
        return ""
    luns = ", ".join(map(str, listed["diskLunList"]))
    if listed["isInclusionList"]:
        return f"OS disk and LUN {luns}" if luns else "OS disk alone"
    return f"all but LUN {luns}"


def _exclusion(luns: list[int], *, included: bool) -> Json:
    return {"diskExclusionProperties": {"diskLunList": luns, "isInclusionList": included}}
