"""The fabric: hosts, VMs, disks and the wire server. The only door to libvirt and QEMU."""
