"""The lab's private libvirt."""

import libvirt


def open_libvirt() -> libvirt.virConnect:
    """Connect to libvirt; errors are raised, not printed as well."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt.open("qemu:///system")
