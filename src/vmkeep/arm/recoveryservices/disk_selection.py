"""Selective disks on the wire: `extendedProperties.diskExclusionProperties`."""

from vmkeep.arm.errors import BadRequestBody
from vmkeep.arm.members import Body, Json
from vmkeep.model.disk_selection import OS_LUN, DiskSelection
from vmkeep.model.machine import VirtualMachine


class DiskExclusion(Body):
    """A list of LUNs: of the data disks to back up alone, or of those to leave out."""

    disk_lun_list: tuple[int, ...] = ()
    is_inclusion_list: bool = False


class ExtendedProperties(Body):
    """What a client may say of an item's disks; nothing said means all disks."""

    disk_exclusion_properties: DiskExclusion | None = None


def read_selection(extended: ExtendedProperties, machine: VirtualMachine) -> DiskSelection | None:
    """Return the selection a client asks for, None for all disks.

    Raises BadRequestBody for a LUN that the VM has not, so that nobody relies on a backup of another disk.
    """
    asked = extended.disk_exclusion_properties
    if asked is None or not (asked.disk_lun_list or asked.is_inclusion_list):
        return None
    if OS_LUN in asked.disk_lun_list and not asked.is_inclusion_list:
        raise BadRequestBody(why="the OS disk (LUN -1) is always backed up and cannot be excluded")
    names = {disk.lun: disk.name for disk in machine.disks}
    luns = sorted(set(asked.disk_lun_list) - {OS_LUN})
    for lun in luns:
        if lun not in names:
            have = ", ".join(f"{lun} ({name})" for lun, name in names.items() if lun != OS_LUN) or "none"
            raise BadRequestBody(why=f"VM '{machine.name}' has no data disk with LUN {lun}; it has {have}")
    return DiskSelection(asked.is_inclusion_list, tuple(luns), tuple(names[lun] for lun in luns))


def show_selection(selection: DiskSelection | None) -> Json:
    """Return an item's `extendedProperties`."""
    if selection is None:
        return {}
    listed = {"diskLunList": list(selection.luns), "isInclusionList": selection.included}
    return {"diskExclusionProperties": listed}
