"""Files of a guest, read from outside: out of its frozen layers, or its disks while it is off. See docs/offline.md."""
