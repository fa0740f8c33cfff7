"""Which disks of a VM are backed up."""

from dataclasses import dataclass

OS_LUN = -1


@dataclass(frozen=True, slots=True)
class DiskSelection:
    """The data disks that are backed up alone (`included`), or left out. The OS disk is always backed up.

    Disks are known by name, for LUNs move up when a disk is taken away; `luns` are what the user said.
    """

    included: bool
    luns: tuple[int, ...]
    names: tuple[str, ...]

    def selects(self, name: str, lun: int) -> bool:
        """Return whether a disk is backed up."""
        return lun == OS_LUN or (name in self.names) == self.included


def is_selected(selection: DiskSelection | None, name: str, lun: int) -> bool:
    """Return whether a disk is backed up; without a selection every one is."""
    return selection is None or selection.selects(name, lun)
